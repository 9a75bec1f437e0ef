"""The file under a clip: what FFmpeg writes to, so that it is on the disk in the right order."""

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that room cures."""

SYNC_EVERY_S = 0.5
"""What was written is synced so long after the last sync at the earliest, in seconds: each whole fragment."""

LATEST_SYNC_S = 5.0
"""On a slow disk it is synced less often, but at least so often, in seconds: so much a power cut can take there."""

SYNC_SHARE = 0.1
"""A clip waits for its syncs for at most this part of the time."""

PATIENCE_S = 10.0
"""So long a full disk may take until there is room again, in seconds; what is written meanwhile waits in memory."""

MOST_WAITING_BYTES = 16 * 1024**2
"""And so much may wait."""

CLOSE_PATIENCE_S = 3.0
"""Who closes a file has to wait for room himself, but no longer than this, in seconds."""

_TRY_EVERY_S = 0.05


class ClipFile:
    """A new file that FFmpeg writes through; whoever writes a clip says when a fragment is whole, and so worth a sync.

    At the end of a clip FFmpeg turns the fragmented file into a plain MP4 by changing eight bytes at its beginning.
    All before that is synced first: otherwise a power cut could keep the change and lose the table it points to.

    A full disk refuses nothing at first: somebody makes room, and nobody shall wait for that who receives video.
    """

    def __init__(self, path: Path, need_room: Callable[[], None] = lambda: None) -> None:
        """Create the file; raise OSError, FileExistsError too. `need_room` is called while the disk is full."""
        self.name = str(path)
        self._need_room = need_room
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._is_synced = True
        self._next_sync_at = 0.0
        self._waiting: deque[bytes] = deque()
        self._full_since = 0.0
        self._is_full = False
        self._refusal: OSError | None = None
        self.size_bytes = 0
        """Bytes that the disk has taken."""
        self.synced_at = 0.0
        """Monotonic time of the last sync, in seconds: what was written before is surely on the disk."""

    def write(self, data: bytes) -> int:
        """Write all of `data` at the present position, or keep it until there is room; raise OSError."""
        if self._refusal is not None:
            raise self._refusal
        self._waiting.append(data)
        full = self._drain()
        if full is not None and (
            time.monotonic() - self._full_since > PATIENCE_S or sum(map(len, self._waiting)) > MOST_WAITING_BYTES
        ):
            raise full
        self._is_synced = False
        return len(data)

    def sync_if_due(self) -> None:
        """Sync what was written, if the last sync is long enough ago."""
        if not self._is_synced and time.monotonic() >= self._next_sync_at:
            self._sync()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position."""
        if self._refusal is not None:
            raise self._refusal
        self._drain_all()
        self._sync()
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        """Return the present position."""
        return os.lseek(self._handle, 0, os.SEEK_CUR) + sum(map(len, self._waiting))

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes from the present position."""
        return os.read(self._handle, size)

    def refuse(self, error: OSError) -> None:
        """Take no more: what waits is given up, and who writes on gets `error`."""
        self._waiting.clear()
        self._refusal = error

    def finish(self) -> int:
        """Sync and close; return the size in bytes."""
        try:
            self._drain_all()
            self._sync()
            return os.fstat(self._handle).st_size
        finally:
            os.close(self._handle)

    def _drain_all(self) -> None:
        """Write what waits, waiting for room as long as one who closes a file may."""
        deadline = time.monotonic() + CLOSE_PATIENCE_S
        while (full := self._drain()) is not None:
            if time.monotonic() > deadline:
                raise full
            time.sleep(_TRY_EVERY_S)

    def _drain(self) -> OSError | None:
        """Write what waits; return the error of a disk that is full, raise any other."""
        try:
            while self._waiting:
                data = self._waiting[0]
                written = os.write(self._handle, data)
                self.size_bytes += written
                if written == len(data):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = data[written:]
        except OSError as error:
            if error.errno not in FULL:
                raise
            if not self._is_full:
                self._is_full, self._full_since = True, time.monotonic()
            self._need_room()
            return error
        self._is_full = False
        return None

    def _sync(self) -> None:
        began = time.monotonic()
        os.fdatasync(self._handle)
        now = self.synced_at = time.monotonic()
        self._next_sync_at = now + min(max(SYNC_EVERY_S, (now - began) / SYNC_SHARE), LATEST_SYNC_S)
        self._is_synced = True
