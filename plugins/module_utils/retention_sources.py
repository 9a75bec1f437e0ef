# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Where retention looks clips up: the recorder's index, or the dated folders themselves.

Both answer in the order in which clips are given up, and look no further than they are asked: with the index by its own
sorted lists and totals, without it by reading the names in the oldest folders. Python's standard library only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .recordings import Clip, RetentionError, Root
from .retention_policy import IMPORTANCE_ORDER, Scope

WRITTEN_S = 10.0
"""A file that was written to less than this ago counts as being written, in seconds; for folders without an index."""


_TOTAL = """
SELECT coalesce(sum(bytes), 0) FROM clip_totals
WHERE (:camera IS NULL OR camera = :camera) AND (:importance IS NULL OR importance = :importance)
"""


class Source(Protocol):
    """Where clips are looked up."""

    def clips(self, scope: Scope, before: float, future: float | None = None) -> Iterator[Clip]:
        """Yield deletable clips that ended before `before`: the lesser class, in it what is safe, in it the oldest.

        Those that are dated after `future` (unix seconds) count as ended, too, if it is given.
        """

    def total_bytes(self, scope: Scope) -> int:
        """Return the size of all clips, those that are never deleted too."""

    def open_paths(self) -> frozenset[str]:
        """Return the paths of files that are being written."""

    def close(self) -> None:
        """Give back what is open."""


class Walked:
    """Clips as the dated folders hold them; their importance is not known, nor whether they are safe."""

    def __init__(self, root: Root, now: float) -> None:
        """`now` is the present in unix seconds."""
        self._root = root
        self._written = now - WRITTEN_S

    def clips(self, scope: Scope, before: float, future: float | None = None) -> Iterator[Clip]:  # noqa: ARG002  as in Source
        """Yield them, oldest first; none from the future, as it is not known which of them is being written."""
        _refuse_class(scope)
        before = min(before, self._written)
        for clip in self._root.walk(scope.camera):
            if clip.start >= before:
                if _is_in_its_day(clip):  # oldest first, so none that follows ended before
                    return
                continue
            if clip.end < before:
                yield clip

    def total_bytes(self, scope: Scope) -> int:
        """Look at every file: without an index there is no other way to know."""
        _refuse_class(scope)
        return self._root.total_bytes(scope.camera)

    def open_paths(self) -> frozenset[str]:
        """Know of none by name; `WRITTEN_S` protects them."""
        return frozenset()

    def close(self) -> None:
        """Nothing stays open between two calls."""


class Indexed:
    """Clips as the recorder's index names them.

    An index of the first version, as a recorder that was not upgraded yet writes it, knows of nothing that is safe and
    keeps no totals: there the same is asked for with more work.
    """

    def __init__(self, index: Path) -> None:
        """Open it; raise RetentionError when it cannot be read."""
        self._connection = open_index_read_only(index)
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            self._connection.close()
            raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error
        self._is_first = version == 0

    def clips(self, scope: Scope, before: float, future: float | None = None) -> Iterator[Clip]:
        """Yield them by class, safe or not, and start, each of which is one stretch of a list in the index, or two."""
        columns = 'SELECT path, start, "end", bytes, importance FROM clips'
        unsafe = "1" if self._is_first else "(safe_at IS NULL)"
        camera = "" if scope.camera is None else "camera = :camera AND "
        chosen = f"{columns} WHERE {camera}importance = :importance AND {unsafe} = :unsafe"
        queries = [f'{chosen} AND start < :before AND "end" < :before ORDER BY start']
        if future is not None:
            queries.append(f"{chosen} AND start > :future ORDER BY start")
        for importance in IMPORTANCE_ORDER if scope.importance is None else (scope.importance,):
            for is_unsafe in (0, 1):
                values: dict[str, str | float | None] = {"before": before, "future": future}
                values |= {"camera": scope.camera, "importance": importance, "unsafe": is_unsafe}
                for query in queries:
                    yield from map(Clip._make, self._connection.execute(query, values))

    def total_bytes(self, scope: Scope) -> int:
        """Sum the totals of cameras and classes."""
        query = _TOTAL.replace("clip_totals", "clips") if self._is_first else _TOTAL
        values = {"camera": scope.camera, "importance": scope.importance}
        (total,) = self._connection.execute(query, values).fetchone()
        return int(total)

    def open_paths(self) -> frozenset[str]:
        """Return what the recorder says it is writing."""
        return frozenset(path for (path,) in self._connection.execute("SELECT path FROM open_clips"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def open_index_read_only(index: Path) -> sqlite3.Connection:
    """Open the recorder's index so that not even SQLite's side files are written; raise RetentionError if it cannot."""
    # A write-ahead log means that the recorder is (or was) at work: join it. Without one nobody is, and `immutable`
    # keeps SQLite from making its side files, which a check mode must not.
    mode = "mode=ro" if Path(f"{index}-wal").exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{index.absolute().as_uri()}?{mode}", uri=True, timeout=10)
        connection.execute("SELECT 1 FROM clips LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error
    return connection


def _is_in_its_day(clip: Clip) -> bool:
    """Whether a clip is in the folder of the day that it is named after."""
    _camera, date, name = clip.path.split("/")
    return name.startswith(date.replace("-", ""))


def _refuse_class(scope: Scope) -> None:
    if scope.importance is not None:
        raise RetentionError(f"classes: {scope.importance}: only the recorder's index knows which class a clip has")
