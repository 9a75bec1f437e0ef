"""The disk of the recordings as one process of the recorder may use it: is it there, does it take data, is it full."""

import contextlib
import errno
import os
import threading
from pathlib import Path

from cllmh_node.clips.file import FULL
from cllmh_node.recordings import MARKER

PROBE_BYTES = 4 * 1024**2
"""A disk that refused is usable again when it takes so much, in bytes."""


class Disk:
    """What is known of the disk. Cameras' threads ask and tell and are never made to wait; `look` is one thread's."""

    def __init__(self, root: Path, mount_point: Path | None = None, *, needs_marker: bool = True) -> None:
        """`root`: the recordings folder; `mount_point`: the mount it must be on; `needs_marker`: False for a scratch
        folder that is no recordings folder.
        """
        self._root = root
        self._mount_point = mount_point
        self._needs_marker = needs_marker
        self._refusal: OSError | None = None
        self._errno = errno.EIO
        self._news = threading.Event()
        self._wants_room = False
        self.problem: str | None = None
        """Why nothing can be written now, for people; None when it can."""
        self.is_absent = False
        """Whether the problem is that the disk is not mounted: what would be written would fill another one."""

    @property
    def wants_room(self) -> bool:
        """Whether a camera was refused for want of room."""
        return self._wants_room

    def check(self) -> None:
        """Raise OSError when the disk cannot be used or is not there: then a clip would fill the disk below."""
        if self.problem is not None:
            raise OSError(self._errno, self.problem)
        absence = self._absence()
        if absence is not None:
            self._news.set()
            raise OSError(errno.ENODEV, absence)

    def refused(self, error: Exception) -> None:
        """Tell that a write has failed."""
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            self._refusal = error
            if error.errno in FULL:
                self._wants_room = True
            self._news.set()

    def need_room(self) -> None:
        """Ask for room: the disk is full, what was to be written waits in memory."""
        self._wants_room = True
        self._news.set()

    def wait_for_news(self, seconds: float) -> None:
        """Wait until there is something to look at, or so long."""
        self._news.wait(seconds)
        self._news.clear()

    def wake(self) -> None:
        """Have `wait_for_news` return at once."""
        self._news.set()

    def look(self) -> None:
        """Find out whether the disk can be used; where it refused, by writing to it."""
        absence = self._absence()
        self.is_absent = absence is not None
        self._errno = errno.ENODEV
        if absence is None and self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            try:
                self._probe()
            except OSError as error:
                self._refusal = self._refusal or refusal
                self._errno = error.errno or errno.EIO
                absence = f"{self._root}: {error.strerror}"
                self._wants_room = self._wants_room or error.errno in FULL
        self.problem = absence

    def room_made(self) -> None:
        """Say that all was done to make room; who is refused again asks again."""
        self._wants_room = False

    def _absence(self) -> str | None:
        """Return why the folder is not the one to record to, None when it is."""
        if self._mount_point is not None and not os.path.ismount(self._mount_point):
            return f"{self._mount_point}: no disk is mounted there"
        if self._needs_marker:
            try:
                os.lstat(self._root / MARKER)
            except OSError as error:
                return f"{self._root}: has no file {MARKER} ({error.strerror}). Is its disk mounted?"
        return None

    def _probe(self) -> None:
        """Write and sync a file; raise OSError when the disk refuses."""
        path = self._root / f".cllmh-probe-{os.getpid()}"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(handle, 0, PROBE_BYTES)
                os.pwrite(handle, b"\0" * 4096, 0)
                os.fsync(handle)
            finally:
                os.close(handle)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
