"""The archive of lines that no store will ever take: `<site>/<day>-<part>.jsonl`, one JSON object a line."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from cllmh_hub import log
from cllmh_hub.contract.times import iso_ms
from cllmh_hub.log_door.batch import NOT_JSON, DeadLetter

_PARTS = 8
_COUNTED_AT_ONCE_BYTES = 1024 * 1024
_logger = logging.getLogger(__name__)


class DeadLetters:
    """The archive in `directory`, with at most `max_bytes` for each site: there, the oldest file goes first."""

    def __init__(self, directory: Path, *, max_bytes: int, now: Callable[[], datetime]) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._now = now
        self._lock = threading.Lock()

    def add(self, site: str, store: str, letters: Sequence[DeadLetter]) -> Path:
        """Archive the letters and return their file; raise OSError, with none of them archived, when that fails."""
        now = self._now()
        lines = b"".join(_line(now, site, store, letter) for letter in letters)
        folder = self._directory / site
        with self._lock:
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(0o750)  # the umask is the socket's
            path = self._part(folder, f"{now:%Y-%m-%d}")
            _append(path, lines)
            self._make_room(folder)
        return path

    def _part(self, folder: Path, day: str) -> Path:
        """Return the file to write to: a day's is cut into parts, so that the oldest can go before the day is over."""
        newest = max(folder.glob(f"{day}-*.jsonl"), default=None)
        if newest is None:
            return folder / f"{day}-0000.jsonl"
        if newest.stat().st_size < self._max_bytes // _PARTS:
            return newest
        return folder / f"{day}-{int(newest.stem.rpartition('-')[2]) + 1:04d}.jsonl"

    def _make_room(self, folder: Path) -> None:
        files = sorted(folder.glob("*.jsonl"))
        sizes = {path: path.stat().st_size for path in files}
        used = sum(sizes.values())
        for path in files[:-1]:
            if used <= self._max_bytes:
                return
            with path.open("rb") as file:
                letters = sum(1 for _ in file)
            path.unlink()
            used -= sizes[path]
            log.event(
                _logger,
                "dead_letters_deleted",
                level=logging.ERROR,
                site=folder.name,
                path=path,
                letters=letters,
                max_bytes=self._max_bytes,
            )


class ArchivedLetters:
    """How many letters the archive in `directory` has; of a file that was counted before, only what is new is read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._counted: dict[Path, tuple[int, int]] = {}  # bytes and letters of each file
        self._lock = threading.Lock()

    def count(self) -> int | None:
        """Return the number, None where there is no archive; raise OSError when it cannot be read."""
        if not self._directory.exists():
            return None
        with self._lock:
            paths = [path for folder in self._directory.iterdir() for path in folder.glob("*.jsonl")]
            self._counted = {path: self._count(path) for path in paths}
            return sum(letters for _, letters in self._counted.values())

    def _count(self, path: Path) -> tuple[int, int]:
        size, letters = self._counted.get(path, (0, 0))
        try:
            with path.open("rb") as file:
                file.seek(size)
                while part := file.read(_COUNTED_AT_ONCE_BYTES):
                    size += len(part)
                    letters += part.count(b"\n")
        except FileNotFoundError:  # deleted meanwhile
            return 0, 0
        return size, letters


def _line(now: datetime, site: str, store: str, letter: DeadLetter) -> bytes:
    try:
        sent = msgspec.json.decode(letter.line)
    except NOT_JSON:
        sent = letter.line.decode(errors="backslashreplace")
    fields = {"at": iso_ms(now), "site": site, "store": store, "cause": letter.cause, "reason": letter.reason}
    return msgspec.json.encode({**fields, "line": sent}) + b"\n"


def _append(path: Path, lines: bytes) -> None:
    """Add the lines, synced, or nothing at all."""
    path.touch(mode=0o640)
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(lines) != len(lines):
                raise OSError(f"{path}: the disk has no room for {len(lines)} bytes")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
