"""Clips and files as the recorder's index has them: questions checked, answers in JSON's own types."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from cllmh_node.clips.index import Importance
from cllmh_node.hdd_monitor.disk import iso
from cllmh_node.retention import open_index_read_only

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

# Only what was asked for is in the statement: an index of the table serves no `:camera IS NULL OR camera = :camera`.
_CLIPS = """
SELECT path, camera, start, "end", bytes, importance, peak_score, labels FROM clips
WHERE {asked} ORDER BY start DESC LIMIT :limit
"""
_CLIPS_ASKED = {"from": '"end" > :from', "to": "start < :to", "camera": "camera = :camera"}

# By what was last seen and not by how many: what is deleted or added meanwhile moves no page.
_FILES = """
SELECT id, path, camera, start, "end", bytes, importance, {safe_at} AS safe_at FROM clips
WHERE (start, id) > (:start, :id) AND {asked} ORDER BY start, id LIMIT :limit
"""
_FILES_ASKED = {"camera": "camera = :camera", "importance": "importance = :importance"}
_CURSOR = re.compile(r"^(\d{1,12}\.\d{1,17})-(\d{1,18})$")


def clips(index: Path | None, query: Mapping[str, str]) -> dict[str, Any]:
    """Return clips that touch a span of time, newest first: from, to, camera, limit.

    Raises ValueError for a wrong question, RetentionError or sqlite3.Error when the index cannot be read.
    """
    wanted = {
        "from": _moment("from", query.get("from")),
        "to": _moment("to", query.get("to")),
        "camera": query.get("camera"),
        "limit": whole_number("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    }
    _refuse_unknown(query, wanted)
    return {"items": [_clip(row) for row in _select(index, _CLIPS, _CLIPS_ASKED, wanted)]}


def files(index: Path | None, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of all files, oldest first: camera, importance, limit, after (the `next` of the page before).

    Each file that is there from the first page to the last is in exactly one page, whatever comes or goes meanwhile.
    Raises as `clips` does.
    """
    limit = whole_number("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
    start, row_id = _cursor(query.get("after"))
    wanted = {
        "start": start,
        "id": row_id,
        "camera": query.get("camera"),
        "importance": query.get("importance"),
        "limit": limit + 1,
    }
    _refuse_unknown(query, {"camera", "importance", "limit", "after"})
    importance = query.get("importance")
    if importance is not None and importance not in get_args(Importance):
        raise ValueError(f"importance is {importance[:80]!r}, it must be one of {', '.join(get_args(Importance))}")
    rows = _select(index, _FILES, _FILES_ASKED, wanted)
    page = rows[:limit]
    following = f"{page[-1]['start']!r}-{page[-1]['id']}" if len(rows) > limit else None
    return {"items": [_file(row) for row in page], "next": following}


def whole_number(name: str, value: str | None, least: int, most: int) -> int:
    """Return a number that was asked with; raise ValueError when it is none or out of range."""
    if value is None or not re.fullmatch(r"[0-9]{1,19}", value) or not least <= int(value) <= most:
        raise ValueError(f"{name} is {value!r}, it must be a number from {least} to {most}")
    return int(value)


def _refuse_unknown(query: Mapping[str, str], known: Collection[str]) -> None:
    """Raise ValueError for what cannot be asked with: left out, a misspelt filter would answer with all."""
    for name in query:
        if name not in known:
            raise ValueError(f"{name[:80]!r} cannot be asked with, it must be one of {', '.join(sorted(known))}")


def _select(
    index: Path | None, statement: str, filters: Mapping[str, str], values: Mapping[str, Any]
) -> list[sqlite3.Row]:
    """Return the rows that pass the filters whose values are given; none while there is no index."""
    if index is None or not index.exists():
        return []
    with contextlib.closing(open_index_read_only(index)) as connection:
        connection.row_factory = sqlite3.Row
        # An index of the first version, before the recorder was upgraded, knows of nothing that is safe.
        has_safe = any(column["name"] == "safe_at" for column in connection.execute("PRAGMA table_info(clips)"))
        asked = " AND ".join(text for name, text in filters.items() if values[name] is not None) or "TRUE"
        statement = statement.format(asked=asked, safe_at="safe_at" if has_safe else "NULL")
        return connection.execute(statement, values).fetchall()


def _cursor(value: str | None) -> tuple[float, int]:
    """Return (start, id) of the last file of the page before; what is before all without one."""
    if value is None:
        return -1.0, 0
    match = _CURSOR.match(value)
    if match is None:
        raise ValueError(f"after is {value[:80]!r}, it must be the `next` of the page before")
    return float(match[1]), int(match[2])


def _moment(name: str, value: str | None) -> float | None:
    """Return unix seconds of an ISO 8601 time; without a zone it is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name} is {value!r}, it must be a time such as 2026-11-22T02:51:36Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _clip(row: sqlite3.Row) -> dict[str, Any]:
    """Return one row of the index as `/clips` shows it."""
    return {
        "path": row["path"],
        "camera": row["camera"],
        "start": iso(row["start"]),
        "end": iso(row["end"]),
        "seconds": round(row["end"] - row["start"], 3),
        "bytes": row["bytes"],
        "importance": row["importance"],
        "peak_score": row["peak_score"],
        "labels": json.loads(row["labels"] or "[]"),
    }


def _file(row: sqlite3.Row) -> dict[str, Any]:
    """Return one row of the index as `/files` shows it."""
    return {
        "path": row["path"],
        "camera": row["camera"],
        "start": iso(row["start"]),
        "end": iso(row["end"]),
        "bytes": row["bytes"],
        "importance": row["importance"],
        "safe_at": iso(row["safe_at"]),
    }
