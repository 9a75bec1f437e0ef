"""The file under a clip: what FFmpeg writes to, so that it is on the disk in the right order."""

import os
import time
from pathlib import Path

SYNC_EVERY_S = 5.0
"""A power cut can take so much of the clip that is being written, in seconds."""


class ClipFile:
    """A new file that FFmpeg writes through; what it holds is synced every few seconds.

    At the end of a clip FFmpeg turns the fragmented file into a plain MP4 by changing eight bytes at its beginning.
    All before that is synced first: otherwise a power cut could keep the change and lose the table it points to.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; raise OSError, FileExistsError too."""
        self.name = str(path)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._synced_at = time.monotonic()

    def write(self, data: bytes) -> int:
        """Write all of `data` at the present position."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        if time.monotonic() - self._synced_at > SYNC_EVERY_S:
            self._sync()
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position."""
        self._sync()
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        """Return the present position."""
        return os.lseek(self._handle, 0, os.SEEK_CUR)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes from the present position."""
        return os.read(self._handle, size)

    def finish(self) -> int:
        """Sync and close; return the size in bytes."""
        try:
            self._sync()
            return os.fstat(self._handle).st_size
        finally:
            os.close(self._handle)

    def _sync(self) -> None:
        os.fdatasync(self._handle)
        self._synced_at = time.monotonic()
