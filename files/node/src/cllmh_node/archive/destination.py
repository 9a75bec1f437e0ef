"""Where copies go: each destination copies clips and says of which it has verified a copy."""

import hashlib
import logging
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import ValidationError

from cllmh_node.archive.claim import Answer, Claim, Room, to_line
from cllmh_node.archive.rclone import ArchiveError, Rclone, rclone_for
from cllmh_node.archive.settings import ArchiveConfig, HubDestination
from cllmh_node.clips.index import ClipRow
from cllmh_node.log import event

logger = logging.getLogger(__name__)

_VERIFY_S = 900.0
"""The hub reads what was sent once more, and its disk may be slow."""

Model = TypeVar("Model", Answer, Room)


class Destination(Protocol):
    """What copies clips away and verifies the copies."""

    def check(self) -> None:
        """Raise ArchiveError when nothing can be sent now."""

    def copy(
        self, root: Path, paths: Sequence[str], max_bytes_per_s: int | None, go_on: Callable[[], bool]
    ) -> str | None:
        """Copy clips; return what was complained of when not all were copied. See `Rclone.copy`."""

    def verified(self, root: Path, clips: Sequence[ClipRow]) -> frozenset[str]:
        """Return the paths of those clips of which the destination has a copy with the same checksum."""


class Hub:
    """The clip store of the hub: rclone over SFTP brings clips, a second ssh session asks the hub to keep them."""

    def __init__(self, hub: HubDestination, rclone: Rclone) -> None:
        self._hub = hub
        self._rclone = rclone

    def check(self) -> None:
        """Ask the hub whether it has room; raise ArchiveError when it has none, is away, or is not our hub."""
        (line, *_) = self._ask("room", "", timeout_s=120.0) or [""]
        room = _read(Room, line)
        if not room.has_room:
            raise ArchiveError(f"the hub takes no clips now: {room.reason}")

    def copy(
        self, root: Path, paths: Sequence[str], max_bytes_per_s: int | None, go_on: Callable[[], bool]
    ) -> str | None:
        """Copy clips by rclone."""
        return self._rclone.copy(root, paths, max_bytes_per_s, go_on)

    def verified(self, root: Path, clips: Sequence[ClipRow]) -> frozenset[str]:
        """Tell the hub the SHA-256 of each clip; it compares, and puts those that are right where we cannot reach."""
        claims = list(_claims(root, clips))
        answers = [_read(Answer, line) for line in self._ask("keep", "".join(map(to_line, claims)), _VERIFY_S)]
        for answer in answers:
            # What is missing was not sent, and rclone has said why.
            if answer.verdict in ("differs", "taken", "refused"):
                event(logger, "clip_not_kept", level=logging.WARNING, path=answer.path, verdict=answer.verdict)
        return frozenset(answer.path for answer in answers if answer.verdict == "kept")

    def _ask(self, word: str, text: str, timeout_s: float) -> list[str]:
        """Give the hub's door one word and some lines; return the lines it answers."""
        hub = self._hub
        command = [
            *("ssh", "-F", "none", "-T", "-p", str(hub.port), "-l", hub.user, "-i", str(hub.key_file)),
            *("-o", f"UserKnownHostsFile={hub.known_hosts_file}", "-o", "GlobalKnownHostsFile=none"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
            *("-o", "LogLevel=ERROR", "--", hub.host, word),
        ]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise ArchiveError(f"{hub.host}: did not answer `{word}` within {timeout_s:.0f} s") from None
        except FileNotFoundError:
            raise ArchiveError("ssh is not installed here: apt install openssh-client") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ArchiveError(f"{hub.host}: `{word}` failed: {said[-1]}")
        return done.stdout.splitlines()


class Bucket:
    """A bucket of an S3 server, which has checked the MD5 of what it took, and says it."""

    def __init__(self, rclone: Rclone) -> None:
        self._rclone = rclone

    def check(self) -> None:
        """Nothing is asked beforehand: the first clip shows whether the server takes it."""

    def copy(
        self, root: Path, paths: Sequence[str], max_bytes_per_s: int | None, go_on: Callable[[], bool]
    ) -> str | None:
        """Copy clips by rclone."""
        return self._rclone.copy(root, paths, max_bytes_per_s, go_on)

    def verified(self, root: Path, clips: Sequence[ClipRow]) -> frozenset[str]:
        """Compare the MD5 that the server says with that of our files."""
        theirs = self._rclone.md5([clip.path for clip in clips])
        return frozenset(path for path, md5 in theirs.items() if md5 == checksum(root / path, "md5"))


@contextmanager
def destination_of(config: ArchiveConfig) -> Iterator[Destination]:
    """Give the configured destination."""
    where = config.hub or config.bucket
    assert where is not None  # the settings see to it
    with rclone_for(where, config.idle_timeout_s) as rclone:
        yield Hub(where, rclone) if isinstance(where, HubDestination) else Bucket(rclone)


def checksum(file: Path, algorithm: str) -> str | None:
    """Return the checksum of a file in hexadecimal, None when it is gone: retention may take it at any time."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, algorithm).hexdigest()
    except FileNotFoundError:
        return None


def _claims(root: Path, clips: Sequence[ClipRow]) -> Iterator[Claim]:
    """Yield what the hub is told of each clip that is still there."""
    for clip in clips:
        sha256 = checksum(root / clip.path, "sha256")
        if sha256 is not None:
            yield Claim(
                path=clip.path,
                sha256=sha256,
                start=clip.start,
                end=clip.end,
                importance=clip.importance,
                peak_score=clip.peak_score,
                labels=clip.labels,
            )


def _read(model: type[Model], line: str) -> Model:
    """Read one line of the hub; raise ArchiveError when it is something else."""
    try:
        return model.model_validate_json(line)
    except ValidationError:
        raise ArchiveError(f"the hub answered what is no {model.__name__.lower()}: {line[:80]!r}") from None
