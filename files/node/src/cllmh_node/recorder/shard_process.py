"""A shard as its supervisor sees it: a child process that says every second how its cameras are."""

import json
import os
import signal
import socket
import time
from typing import Any

from cllmh_node.recorder.fork_server_process import ForkServerProcess
from cllmh_node.recorder.restarts import Restarts

SILENT_S = 10.0
"""A shard that says nothing for so long is stuck, in seconds."""

STARTING_S = 60.0
"""So long a shard has for its first word, in seconds: before it, it looks at the clips that were cut off."""

_MAX_MESSAGE_BYTES = 1 << 20


class ShardProcess:
    """Starts one shard, hears it, ends it."""

    def __init__(self, number: int, cameras: tuple[str, ...]) -> None:
        self.number = number
        self.cameras = cameras
        self.pid: int | None = None
        """Its process id, None while it does not run."""
        self._link: socket.socket | None = None
        self._started_at = 0.0
        self._heard_at = 0.0
        self._restarts = Restarts()
        self.is_clean = True
        """Whether its last run, if that is over, closed its clips."""
        self.said: dict[str, Any] = {}
        """What it last said of its cameras; empty until it has spoken."""

    @property
    def is_well(self) -> bool:
        """Whether it runs, has spoken and is not stuck."""
        return self.pid is not None and bool(self.said) and not self.is_stuck()

    @property
    def is_due(self) -> bool:
        """Whether it is to be started."""
        return self.pid is None and time.monotonic() >= self._restarts.start_at

    def start(self, server: ForkServerProcess) -> None:
        """Have the process made; when that fails it is due still."""
        link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far_end:
            self.pid = server.fork(self.number, far_end)
        if self.pid is None:
            link.close()
            return
        link.setblocking(False)
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
        return self.pid is not None and time.monotonic() - self._heard_at > limit_s

    def ended(self) -> int | None:
        """Return the exit code once the process has ended by itself (a signal's number, negative), else None."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self._restarts.ended(self._started_at)
        code = os.waitstatus_to_exitcode(status)
        self.is_clean = code == 0
        self.pid = None
        self.said = {}
        if self._link is not None:
            self._link.close()
            self._link = None
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.pid is not None:
            os.kill(self.pid, number)
