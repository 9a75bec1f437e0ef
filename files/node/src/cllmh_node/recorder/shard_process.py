"""A shard as its supervisor sees it: a child process that says every second how its cameras are."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

SILENT_S = 10.0
"""A shard that has spoken and then says nothing for so long is stuck, in seconds."""

STARTING_S = 60.0
"""So long a shard has for its first word, in seconds: on a busy machine Python and OpenCV take more than 10 s to load,
and ending it then would begin that anew, for ever."""

LONGEST_DELAY_S = 2.0
"""A shard that ends again and again is started no faster than this, in seconds."""

_SETTLED_S = 10.0
_MAX_MESSAGE_BYTES = 1 << 20


class ShardProcess:
    """Starts one shard, hears it, ends it."""

    def __init__(self, number: int, cameras: tuple[str, ...], plan: int, lock: int) -> None:
        """`plan` and `lock`: open files that the child inherits."""
        self.number = number
        self.cameras = cameras
        self._inherited = (plan, lock)
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._started_at = 0.0
        self._heard_at = 0.0
        self._failures = 0
        self.start_at = 0.0
        """Monotonic time before which it is not started again, in seconds."""
        self.said: dict[str, Any] = {}
        """What it last said of its cameras; empty until it has spoken."""

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def is_well(self) -> bool:
        """Whether it runs, has spoken and is not stuck."""
        return self._process is not None and bool(self.said) and not self.is_stuck()

    def start(self) -> None:
        """Start the process; only the supervisor's main thread may do so, since the child dies with it."""
        link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.setblocking(False)
        plan, lock = self._inherited
        command = [sys.executable, "-P", "-m", "cllmh_node.recorder.shard"]
        command += [f"--number={self.number}", f"--plan={plan}", f"--parent={os.getpid()}"]
        with far_end:
            self._process = subprocess.Popen(command, stdin=far_end.fileno(), pass_fds=(plan, lock))
        self._link = link
        self._started_at = self._heard_at = time.monotonic()
        self.said = {}

    def hear(self) -> None:
        """Take what the shard has said since."""
        while self._link is not None:
            try:
                message = self._link.recv(_MAX_MESSAGE_BYTES)
            except (BlockingIOError, ConnectionError):
                return
            if not message:
                return
            self.said = json.loads(message)
            self._heard_at = time.monotonic()

    def is_stuck(self) -> bool:
        """Whether it runs but says nothing."""
        limit_s = SILENT_S if self.said else STARTING_S
        return self._process is not None and time.monotonic() - self._heard_at > limit_s

    def ended(self) -> int | None:
        """Return the exit code once the process has ended by itself (a signal's number, negative), else None."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is None:
            return None
        now = time.monotonic()
        self._failures = 1 if now - self._started_at > _SETTLED_S else self._failures + 1
        # The first time at once: the cameras wait.
        self.start_at = now + (
            0.0 if self._failures == 1 else min(LONGEST_DELAY_S, 0.25 * 2.0 ** min(self._failures, 8))
        )
        self._process = None
        self.said = {}
        if self._link is not None:
            self._link.close()
            self._link = None
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process is not None:
            self._process.send_signal(number)
