"""The fork server as the supervisor sees it: a child process that makes shards on request."""

import contextlib
import os
import select
import signal
import socket
import sys
import time

from cllmh_node.recorder.plan import READY
from cllmh_node.recorder.restarts import Restarts

STARTING_S = 60.0
"""So long it has to load everything, in seconds: on a busy machine OpenCV takes more than 10 s, and ending it then
would begin that anew, for ever."""

ANSWER_S = 10.0
"""So long it has to fork, in seconds."""

_MAX_MESSAGE_BYTES = 64


class ForkServerProcess:
    """Starts the fork server again when it ended, and asks it for shards."""

    def __init__(self, plan: int, pid: int, link: int) -> None:
        """`plan`: the open file with the plan; `pid`, `link`: one that was started with us, and the socket to it."""
        self._plan = plan
        self.pid: int | None = pid
        self._link = socket.socket(fileno=link)
        self._link.set_inheritable(False)
        self._started_at = time.monotonic()
        self._restarts = Restarts()
        self.is_ready = False
        """Whether it has loaded everything."""

    def watch(self) -> int | None:
        """Hear it, and start it again when it has ended; return the exit code then, else None."""
        code = self._ended()
        if self.pid is None:
            if time.monotonic() >= self._restarts.start_at:
                self._start()
        elif not self.is_ready:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self.is_ready = self._link.recv(_MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT) == READY
            if not self.is_ready and time.monotonic() - self._started_at > STARTING_S:
                os.kill(self.pid, signal.SIGKILL)
        return code

    def fork(self, number: int, link: socket.socket) -> int | None:
        """Have it make shard `number`, with its end of a link; return the child's process id, None when it fails."""
        assert self.pid is not None
        try:
            socket.send_fds(self._link, [str(number).encode()], [link.fileno()])
            if select.select([self._link], [], [], ANSWER_S)[0]:
                return int(self._link.recv(_MAX_MESSAGE_BYTES))
        except (OSError, ValueError):  # it has just ended
            pass
        os.kill(self.pid, signal.SIGKILL)
        self.is_ready = False
        return None

    def end(self) -> None:
        """End it; the shards do not mind."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None

    def _ended(self) -> int | None:
        """Return the exit code (a signal's number, negative) once the process has ended, else None."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self._restarts.ended(self._started_at)
        self.pid = None
        self.is_ready = False
        self._link.close()
        return os.waitstatus_to_exitcode(status)

    def _start(self) -> None:
        """Start the process; only the supervisor's main thread may do so, since the child dies with it."""
        self._link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._started_at = time.monotonic()
        command = [sys.executable, "-P", "-m", "cllmh_node.recorder.fork_server"]
        command += [f"--plan={self._plan}", f"--link={far_end.fileno()}", f"--parent={os.getpid()}"]
        with far_end:
            os.set_inheritable(far_end.fileno(), True)
            self.pid = os.posix_spawn(sys.executable, command, os.environ)
