"""The file under a clip: what FFmpeg writes to, so that it is on the disk in the right order."""

import os
import time
from pathlib import Path

SYNC_EVERY_S = 0.5
"""What was written is synced so long after the last sync at the earliest, in seconds: each whole fragment."""

LATEST_SYNC_S = 5.0
"""On a slow disk it is synced less often, but at least so often, in seconds: so much a power cut can take there."""

SYNC_SHARE = 0.1
"""A clip waits for its syncs for at most this part of the time."""


class ClipFile:
    """A new file that FFmpeg writes through; whoever writes a clip says when a fragment is whole, and so worth a sync.

    At the end of a clip FFmpeg turns the fragmented file into a plain MP4 by changing eight bytes at its beginning.
    All before that is synced first: otherwise a power cut could keep the change and lose the table it points to.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; raise OSError, FileExistsError too."""
        self.name = str(path)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._is_synced = True
        self._next_sync_at = 0.0

    def write(self, data: bytes) -> int:
        """Write all of `data` at the present position."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        self._is_synced = False
        return len(data)

    def sync_if_due(self) -> None:
        """Sync what was written, if the last sync is long enough ago."""
        if not self._is_synced and time.monotonic() >= self._next_sync_at:
            self._sync()

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
        began = time.monotonic()
        os.fdatasync(self._handle)
        now = time.monotonic()
        self._next_sync_at = now + min(max(SYNC_EVERY_S, (now - began) / SYNC_SHARE), LATEST_SYNC_S)
        self._is_synced = True
