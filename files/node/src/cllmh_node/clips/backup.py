"""A copy of the index beside the recordings: what only the index knows outlives it, however the index is lost.

The whole index is copied, whoever wrote into it: a clip that somebody pinned by hand matters most. Writing importance
and labels into the clips themselves would miss that, and a journal of gaps would be a second index.
"""

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from cllmh_node.clips.damage import is_well

BACKUP = ".cllmh-index.db"
"""Its name below the recordings directory, which often is another disk than the index's."""

_SALVAGED = {
    # What was newer than the backup; a gap may have ended since.
    "gaps": ('SELECT camera, start, "end", cause FROM gaps', "INSERT OR REPLACE INTO {} VALUES (NULL, ?, ?, ?, ?)"),
    "spans": ('SELECT camera, start, "end", mode FROM spans', "INSERT OR REPLACE INTO {} VALUES (?, ?, ?, ?)"),
    "clips": (
        'SELECT camera, path, start, "end", bytes, importance, peak_score, labels FROM clips',
        "INSERT OR IGNORE INTO {} "
        '(camera, path, start, "end", bytes, importance, peak_score, labels) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
}


def back_up(index: Path, recordings_dir: Path) -> None:
    """Copy the index as it is now; others read and write it meanwhile.

    Raises sqlite3.DatabaseError when it is damaged (the last copy stays), sqlite3.OperationalError and OSError when the
    disk does not take it.
    """
    new = recordings_dir / f"{BACKUP}.new"
    with (index.with_name("backup.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # each of the recorder's processes makes one at its end
        new.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(f"file:{quote(str(index))}?mode=ro", uri=True)) as connection:
                connection.execute("VACUUM INTO ?", (str(new),))
            _sync(new)
            new.replace(recordings_dir / BACKUP)
        finally:
            new.unlink(missing_ok=True)


def restore(index: Path, recordings_dir: Path) -> float | None:
    """Make the index that is missing from its copy; return the unix time of that, None when there is none to use."""
    backup = recordings_dir / BACKUP
    if not backup.exists() or not is_well(backup):
        return None
    for suffix in ("-wal", "-shm"):  # of the one that was lost: they would damage this one
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    new = index.with_name(f"{index.name}.new")
    shutil.copyfile(backup, new)
    _sync(new)
    new.replace(index)
    return backup.stat().st_mtime


def salvage(damaged: Path, index: Path) -> int:
    """Add what can still be read of a damaged index; return how many rows that was."""
    count = 0
    with closing(sqlite3.connect(damaged)) as source, closing(sqlite3.connect(index)) as target, target:
        for table, (read, write) in _SALVAGED.items():
            count += target.executemany(write.format(table), _readable(source, read)).rowcount
    return count


def _readable(source: sqlite3.Connection, statement: str) -> list[tuple[object, ...]]:
    """Return rows until the first page that cannot be read."""
    rows: list[tuple[object, ...]] = []
    try:
        for row in source.execute(statement):
            rows.append(row)
    except sqlite3.DatabaseError:  # what was read before counts
        pass
    return rows


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
