"""The index of clips and gaps: SQLite, in WAL mode, so that others read while the recorder writes.

Times are unix seconds (UTC). `importance` is one of pinned, object, motion, continuous. `labels` is a JSON list.
Retention deletes rows of clips; mending (see `reconcile`) deletes rows whose file is gone; nobody else does.

Each of the recorder's processes has its own connection and writes the rows of its own cameras: no process waits for
another, none can take another's rows with it when it ends, and some rows a second are far below what WAL can take.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from cllmh_node.clips.naming import clip_start
from cllmh_node.clips.schema import bring_up_to_date

Mode = Literal["motion", "continuous", "off"]
"""When a camera is recorded: when something moves, always, never."""

GapCause = Literal["camera_lost", "auth_failed", "network", "restart", "disk", "overload", "clock"]
"""Why nothing could be recorded."""

Importance = Literal["pinned", "object", "motion", "continuous"]
"""How long a clip outlives others, the most important first."""

_BUSY_TIMEOUT_S = 10.0

_INSERT_CLIP = """
INSERT OR IGNORE INTO clips (camera, path, start, "end", bytes, importance, peak_score, labels)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_CLIPS = """
SELECT camera, path, start, "end", bytes, importance, peak_score, labels FROM clips
WHERE (:cameras IS NULL OR camera IN (SELECT value FROM json_each(:cameras))) AND (:since IS NULL OR "end" > :since)
ORDER BY start, camera
"""
_SELECT_GAPS = """
SELECT camera, start, "end", cause FROM gaps
WHERE (:cameras IS NULL OR camera IN (SELECT value FROM json_each(:cameras)))
  AND (:since IS NULL OR "end" IS NULL OR "end" > :since)
ORDER BY start, camera
"""
_SELECT_SPANS = """
SELECT camera, start, "end", mode FROM spans
WHERE (:cameras IS NULL OR camera IN (SELECT value FROM json_each(:cameras))) AND (:since IS NULL OR "end" > :since)
ORDER BY start, camera
"""
_SELECT_KNOWN = """
SELECT 1 FROM json_each(:cameras) WHERE value IN (SELECT camera FROM clips)
  OR value IN (SELECT camera FROM gaps) OR value IN (SELECT camera FROM spans)
"""
_SELECT_OPEN_GAP = """
SELECT camera, start, "end", cause FROM gaps WHERE camera = ? AND "end" IS NULL ORDER BY start DESC LIMIT 1
"""
# A run that was killed had no time to say until when it watched; its last clip may know better.
_SELECT_WATCHED = """
SELECT max("end") FROM (
    SELECT "end" FROM spans WHERE camera = :camera
    UNION ALL SELECT "end" FROM clips WHERE camera = :camera
    UNION ALL SELECT "end" FROM gaps WHERE camera = :camera
) WHERE "end" <= :latest
"""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A closed clip."""

    camera: str
    path: str
    start: float
    end: float
    size_bytes: int
    importance: Importance
    peak_score: float | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GapRow:
    """Time in which a camera was not watched; `end` is None while it lasts."""

    camera: str
    start: float
    end: float | None
    cause: str


@dataclass(frozen=True, slots=True)
class SpanRow:
    """Time in which the recorder did with a camera what its mode asks for: what is no clip in it was quiet, or off."""

    camera: str
    start: float
    end: float
    mode: Mode


class ClipIndex:
    """A recorder process's own connection, which writes; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Open the index at `path`, making it when it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        bring_up_to_date(self._connection)

    def reopen(self) -> None:
        """Open the file at the same path anew, after its disk was away; raise sqlite3.Error when it is not there.

        A connection to a disk that broke stays broken when the disk is back. No file is made: below an unmounted disk
        it would be another index.
        """
        source = f"file:{quote(str(self._path))}?mode=rw"
        connection = sqlite3.connect(
            source, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("SELECT 1 FROM clips LIMIT 1").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        with self._lock:
            old, self._connection = self._connection, connection
            with suppress(sqlite3.Error):
                old.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def add_clip(self, clip: ClipRow) -> bool:
        """Add a clip; return False when its path is there already."""
        cursor = self._execute(_INSERT_CLIP, _values(clip))
        return cursor.rowcount > 0

    def add_clips(self, clips: Iterable[ClipRow]) -> None:
        """Add clips, all or none; paths that are there already are passed over."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT_CLIP, map(_values, clips))

    def is_empty(self) -> bool:
        """Whether no camera was ever watched with this index."""
        with self._lock:
            row = self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM clips) OR EXISTS (SELECT 1 FROM spans) OR EXISTS (SELECT 1 FROM gaps)"
            ).fetchone()
        return not row[0]

    def has_clips(self, camera: str) -> bool:
        """Whether there is any clip of a camera."""
        with self._lock:
            row = self._connection.execute("SELECT 1 FROM clips WHERE camera = ? LIMIT 1", (camera,)).fetchone()
        return row is not None

    def known_paths(self, camera: str) -> frozenset[str]:
        """Return the paths of all of a camera's clips."""
        with self._lock:
            rows = self._connection.execute("SELECT path FROM clips WHERE camera = ?", (camera,)).fetchall()
        return frozenset(row[0] for row in rows)

    def open_gap(self, gap: GapRow) -> None:
        """Add a gap."""
        self._execute(
            'INSERT OR IGNORE INTO gaps (camera, start, "end", cause) VALUES (?, ?, ?, ?)',
            (gap.camera, gap.start, gap.end, gap.cause),
        )

    def close_gap(self, gap: GapRow) -> None:
        """Say when a gap ended that was opened with the same camera, start and cause."""
        self._execute(
            'UPDATE gaps SET "end" = ? WHERE camera = ? AND start = ? AND cause = ?',
            (gap.end, gap.camera, gap.start, gap.cause),
        )

    def last_open_gap(self, camera: str) -> GapRow | None:
        """Return the camera's gap that an earlier run left open."""
        with self._lock:
            row = self._connection.execute(_SELECT_OPEN_GAP, (camera,)).fetchone()
        return None if row is None else GapRow(*row)

    def watched_until(self, camera: str, latest: float) -> float | None:
        """Return until when the camera is accounted for by an earlier run, None when it never was watched.

        What ends after `latest` does not count: it was written under a clock that was wrong.
        """
        with self._lock:
            row = self._connection.execute(_SELECT_WATCHED, {"camera": camera, "latest": latest}).fetchone()
        return None if row[0] is None else float(row[0])

    def put_spans(self, spans: Sequence[SpanRow]) -> None:
        """Add spans, or move the ends of those that are there."""
        rows = [(span.camera, span.start, span.end, span.mode) for span in spans]
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?)", rows)

    def clip_opened(self, camera: str, path: str, importance: Importance) -> None:
        """Remember which file is being written, and how important it is by now."""
        self._execute("INSERT OR REPLACE INTO open_clips VALUES (?, ?, ?)", (camera, path, importance))

    def open_clip(self, camera: str) -> tuple[str, Importance] | None:
        """Return path and importance of the clip that an earlier run did not close, None when there is none."""
        with self._lock:
            row = self._connection.execute(
                "SELECT path, importance FROM open_clips WHERE camera = ?", (camera,)
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def clip_ended(self, camera: str) -> None:
        """Forget the file that was being written: it has its row, or none can be made."""
        self._execute("DELETE FROM open_clips WHERE camera = ?", (camera,))

    def remove_clips(self, paths: Sequence[str]) -> None:
        """Remove the rows of clips whose files are gone."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM clips WHERE path = ?", [(path,) for path in paths])

    def set_safe(self, paths: Sequence[str], at: float | None) -> None:
        """Say that a verified copy of these clips was elsewhere at `at` (unix seconds); None takes it back.

        Retention prefers to delete what is safe. Paths that the index does not know are passed over.
        """
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("UPDATE clips SET safe_at = ? WHERE path = ?", [(at, path) for path in paths])

    def _execute(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        with self._lock:
            return self._connection.execute(statement, values)


def _values(clip: ClipRow) -> tuple[Any, ...]:
    """Return a clip as `_INSERT_CLIP` wants it."""
    return (
        *(clip.camera, clip.path, clip.start, clip.end, clip.size_bytes),
        *(clip.importance, clip.peak_score, json.dumps(clip.labels)),
    )


def read_clips(path: Path, *, cameras: Sequence[str] = (), since: float | None = None) -> Iterator[ClipRow]:
    """Yield the clips that end after `since`, oldest first; of all cameras when none is named."""
    for camera, file, start, end, size_bytes, importance, score, labels in _select(path, _SELECT_CLIPS, cameras, since):
        yield ClipRow(camera, file, start, end, size_bytes, importance, score, tuple(json.loads(labels)))


def read_gaps(path: Path, *, cameras: Sequence[str] = (), since: float | None = None) -> Iterator[GapRow]:
    """Yield the gaps that last or end after `since`, oldest first; of all cameras when none is named."""
    for row in _select(path, _SELECT_GAPS, cameras, since):
        yield GapRow(*row)


def read_spans(path: Path, *, cameras: Sequence[str] = (), since: float | None = None) -> Iterator[SpanRow]:
    """Yield the spans that end after `since`, oldest first; of all cameras when none is named."""
    for row in _select(path, _SELECT_SPANS, cameras, since):
        yield SpanRow(*row)


def is_known_camera(path: Path, camera: str) -> bool:
    """Whether the index has anything of a camera."""
    return next(_select(path, _SELECT_KNOWN, [camera], None), None) is not None


def read_open_clips(path: Path, *, cameras: Sequence[str] = ()) -> Iterator[tuple[str, float]]:
    """Yield (camera, unix time of its start) of each clip that is being written."""
    for camera, file in _select(path, "SELECT camera, path FROM open_clips", (), None):
        start = clip_start(file.rsplit("/", 1)[-1])
        if start is not None and (not cameras or camera in cameras):
            yield camera, start


def _select(path: Path, statement: str, cameras: Sequence[str], since: float | None) -> Iterator[tuple[Any, ...]]:
    values = {"cameras": json.dumps(cameras) if cameras else None, "since": since}
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
        yield from connection.execute(statement, values)
