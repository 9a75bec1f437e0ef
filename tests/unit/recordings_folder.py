"""A recordings folder with the recorder's index beside it, for tests that delete from it."""

import hashlib
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from cllmh_node.clips.index import ClipIndex
from cllmh_node.clips.naming import clip_path
from cllmh_node.recordings import MARKER

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
CLIP_BYTES = 10_000


class Recordings:
    """A recordings folder, filled clip by clip; ages count back from `now` (unix seconds)."""

    def __init__(self, folder: Path, now: float = NOW) -> None:
        self.now = now
        self.root = folder / "recordings"
        self.root.mkdir(parents=True)
        (self.root / MARKER).touch()
        self.index = folder / "index.db"
        ClipIndex(self.index).close()

    def add(self, age_s: float, importance: str = "motion", camera: str = "gate", size_bytes: int = CLIP_BYTES) -> str:
        """Add a clip of 10 s that ended `age_s` ago; return its path."""
        end = self.now - age_s
        path = str(clip_path(camera, end - 10))
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"v" * size_bytes)
        os.utime(file, (end, end))
        self.add_row(path, end - 10, end, importance, camera, size_bytes)
        return path

    def add_row(
        self, path: str, start: float, end: float, importance: str = "motion", camera: str = "gate", size_bytes: int = 1
    ) -> None:
        """Add a row to the index, whatever it says."""
        with closing(sqlite3.connect(self.index)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(
                'INSERT INTO clips (camera, path, start, "end", bytes, importance) VALUES (?, ?, ?, ?, ?, ?)',
                (camera, path, start, end, size_bytes, importance),
            )

    def resize_row(self, path: str, size_bytes: int) -> None:
        """Let the index say that a clip is of another size than its file."""
        with closing(sqlite3.connect(self.index)) as connection, connection:
            connection.execute("UPDATE clips SET bytes = ? WHERE path = ?", (size_bytes, path))

    def set_safe(self, *paths: str) -> None:
        """Say that verified copies of clips are elsewhere."""
        with closing(ClipIndex(self.index)) as index:
            index.set_safe(paths, self.now)

    def rows(self) -> set[str]:
        """Return the paths that the index knows."""
        with closing(sqlite3.connect(self.index)) as connection:
            return {path for (path,) in connection.execute("SELECT path FROM clips")}

    def files(self) -> set[str]:
        """Return the paths of the clips on the disk."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*.mp4")}


def tree_hash(folder: Path) -> str:
    """Return a hash of names, contents, modes and times of a folder and all below it."""
    digest = hashlib.sha256()
    for path in (folder, *sorted(folder.rglob("*"))):
        found = path.lstat()
        digest.update(f"{path} {found.st_mode} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_size}".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def safe_paths(index: Path) -> set[str]:
    """Return the paths of the clips that are safe, by the index."""
    with closing(sqlite3.connect(index)) as connection:
        return {path for (path,) in connection.execute("SELECT path FROM clips WHERE safe_at IS NOT NULL")}
