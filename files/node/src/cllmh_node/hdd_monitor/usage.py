"""What the clips take, by camera and class, as the recorder's index knows it."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllmh_node.clips.naming import iso_time
from cllmh_node.recordings import RetentionError
from cllmh_node.retention import open_index_read_only

# Totals are kept by the index itself; the oldest is the first entry of one of its sorted lists. So this costs the same
# with a million clips as with ten.
_TOTALS = """
SELECT camera, importance, bytes, clips, min(
    coalesce((SELECT min(start) FROM clips WHERE camera = total.camera AND importance = total.importance
              AND (safe_at IS NULL) = 0), 1e18),
    coalesce((SELECT min(start) FROM clips WHERE camera = total.camera AND importance = total.importance
              AND (safe_at IS NULL) = 1), 1e18))
FROM clip_totals AS total WHERE clips > 0 ORDER BY camera, importance
"""
_TOTALS_OF_FIRST_VERSION = """
SELECT camera, importance, sum(bytes), count(*), min(start) FROM clips GROUP BY camera, importance
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What some clips take: bytes, their number, and the start of the oldest (unix seconds)."""

    size_bytes: int = 0
    clips: int = 0
    oldest: float | None = None

    def __add__(self, other: "Use") -> "Use":
        """Return what both take together."""
        starts = [start for start in (self.oldest, other.oldest) if start is not None]
        return Use(self.size_bytes + other.size_bytes, self.clips + other.clips, min(starts, default=None))

    def as_report(self) -> dict[str, Any]:
        """Return it as report and API show it."""
        oldest = None if self.oldest is None else iso_time(self.oldest)
        return {"bytes": self.size_bytes, "clips": self.clips, "oldest": oldest}


Usage = Mapping[tuple[str, str], Use]
"""(camera, importance) -> what its clips take."""


def usage_in(index: Path | None) -> dict[tuple[str, str], Use]:
    """Return what clips take; nothing when there is no index (yet). Raises RetentionError when it cannot be read."""
    if index is None or not index.exists():
        return {}
    try:
        with contextlib.closing(open_index_read_only(index)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            rows = connection.execute(_TOTALS if version else _TOTALS_OF_FIRST_VERSION)
            return {(camera, importance): Use(*values) for camera, importance, *values in rows}
    except sqlite3.Error as error:
        raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error


def by_camera(usage: Usage) -> dict[str, Use]:
    """Return what each camera's clips take."""
    return _summed(usage, lambda key: key[0])


def by_class(usage: Usage) -> dict[str, Use]:
    """Return what each class's clips take."""
    return _summed(usage, lambda key: key[1])


def total_bytes(usage: Usage) -> int:
    """Return what all clips take."""
    return sum(use.size_bytes for use in usage.values())


def _summed(usage: Usage, name: Callable[[tuple[str, str]], str]) -> dict[str, Use]:
    sums: dict[str, Use] = {}
    for key, use in usage.items():
        sums[name(key)] = sums.get(name(key), Use()) + use
    return sums
