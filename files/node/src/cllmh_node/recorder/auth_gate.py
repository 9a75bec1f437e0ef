"""Cameras of one DVR share an account: where its password is refused, one of them knocks for all, and rarely.

DVRs lock an account after a few wrong passwords, so sixteen channels must not try sixteen times.
"""

import threading
import time
from dataclasses import dataclass
from random import SystemRandom

from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.session import CameraError

AUTH_RETRY_S = 60.0
"""How often an account whose password is refused is tried, in seconds; half of that at the earliest."""

PATIENCE_S = 0.25
"""So long the others wait for the first camera's refusal, in seconds. It comes at once, the first picture later."""

Account = tuple[str, int, str | None]


@dataclass(slots=True)
class _Door:
    """What is known of one account; times are monotonic seconds."""

    sessions: int = 0
    knocking_since: float | None = None
    closed_until: float = 0.0
    is_trusted: bool = False


class AuthGate:
    """Shared by the cameras' threads of one process."""

    def __init__(self, shards: int = 1) -> None:
        """`shards`: how many processes knock at the same DVRs; each is so much slower."""
        self._shards = shards
        self._doors: dict[Account, _Door] = {}
        self._lock = threading.Lock()
        self._random = SystemRandom()

    def wait_s(self, address: CameraAddress) -> float:
        """Return how long to wait before asking again, 0 when the camera may knock now; then say how it went.

        Raises CameraError when the account was refused and it is not time to try it again.
        """
        now = time.monotonic()
        with self._lock:
            door = self._door(address)
            if door.sessions:
                return 0.0
            if now < door.closed_until:
                raise CameraError("auth_failed", f"{address.host}:{address.port} has refused {_user(address)}")
            if door.knocking_since is None or door.is_trusted:
                door.knocking_since = now
                return 0.0
            return 0.05 if now - door.knocking_since < PATIENCE_S else 0.0

    def trust(self, address: CameraAddress) -> None:
        """Its password was right a moment ago: until one is refused, nobody waits for another's answer."""
        with self._lock:
            self._door(address).is_trusted = True

    def opened(self, address: CameraAddress) -> None:
        """A session was accepted."""
        with self._lock:
            door = self._door(address)
            door.sessions += 1
            door.knocking_since, door.closed_until = None, 0.0

    def ended(self, address: CameraAddress) -> None:
        """A session that was accepted has ended."""
        with self._lock:
            self._door(address).sessions -= 1

    def failed(self, address: CameraAddress, error: CameraError) -> None:
        """The camera knocked, and got no session."""
        with self._lock:
            door = self._door(address)
            door.knocking_since = None
            # While others have a session the password is right: this channel alone is forbidden.
            if error.cause == "auth_failed" and not door.sessions:
                door.is_trusted = False
                share = 0.5 + 0.5 * self._random.random()
                door.closed_until = time.monotonic() + AUTH_RETRY_S * share * self._shards

    def opens_in_s(self, address: CameraAddress) -> float:
        """Return how long the account is not tried, in seconds."""
        with self._lock:
            return max(0.0, self._door(address).closed_until - time.monotonic())

    def _door(self, address: CameraAddress) -> _Door:
        return self._doors.setdefault((address.host, address.port, address.username), _Door())


def _user(address: CameraAddress) -> str:
    return f"user {address.username}" if address.username else "a session without a user"
