"""How fast recordings come in, how many days of them the disk holds, and when it is full.

What was recorded is counted when it appears in the index, hour by hour, and stays counted when retention deletes it:
what is left on a disk that is being pruned does not tell how much was written to it.
"""

import contextlib
import json
import logging
import math
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cllmh_node.clips.naming import iso_time
from cllmh_node.log import event
from cllmh_node.recordings import RetentionError, Space
from cllmh_node.retention import Policy, open_index_read_only

logger = logging.getLogger(__name__)

HOUR_S = 3600
DAY_S = 24 * HOUR_S
WINDOW_HOURS = 7 * 24
"""Growth is measured over so many hours: a week has quiet days and busy ones."""
LEAST_DAYS = 1.0
"""Less than a day says nothing: day and night differ."""
FAR_DAYS = 3650
"""What is farther away than ten years is never."""

_NEWEST = "SELECT id, path FROM clips ORDER BY id DESC LIMIT 1"
_NEW = """
SELECT CAST("end" / 3600 AS INTEGER), sum(bytes), max(start), min(start) FROM clips WHERE {is_new} GROUP BY 1
"""
# SQLite gives numbers anew when the newest row was deleted, or the index was lost and made anew from the files: then
# what is new is what begins later than all that was counted.
_BY_ID, _BY_START = "id > :last_id", "start > :latest_start"


@dataclass(frozen=True, slots=True)
class Growth:
    """What was measured; a rate is None while too little is known, `reason` then says why."""

    recorded_bytes_per_day: int | None = None
    used_bytes_per_day: int | None = None
    """Of the file system, whoever writes there: about 0 where retention holds it."""
    measured_days: float = 0.0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the growth means for the disk, under the policy."""

    days_held: float | None = None
    """So many days of recordings fit, by the policy and by the disk; None while the growth is not known."""
    full_at: float | None = None
    """Unix time when nothing more fits; None when the policy deletes before, or the growth is not known."""


@dataclass(slots=True)
class _Counts:
    """What is remembered across restarts; hours are unix hours."""

    last_id: int = 0
    last_path: str = ""
    """Of the newest clip that was counted: its row's id, and its path."""
    latest_start: float = 0.0
    """Of all clips that were counted, unix seconds."""
    since: float | None = None
    """From when on every clip is counted, unix seconds."""
    recorded: dict[int, int] = field(default_factory=dict)
    """Hour -> bytes of the clips that ended in it."""
    used: dict[int, int] = field(default_factory=dict)
    """Hour -> bytes used on the file system when it was first looked at in that hour."""


class GrowthLedger:
    """Counts what is recorded. Used by one thread."""

    def __init__(self, path: Path | None) -> None:
        """Go on with what `path` remembers; None forgets at the end of the process."""
        self._path = path
        self._counts = _read(path)

    def note(self, index: Path | None, space: Space, now: float) -> None:
        """Count the clips that are new in the index, and how much is used; remember it.

        Raises RetentionError when the index cannot be read.
        """
        counts = self._counts
        if index is not None and index.exists():
            self._count_new(index, now)
        hour = int(now // HOUR_S)
        counts.used.setdefault(hour, space.used_bytes)
        for hours in (counts.recorded, counts.used):
            for old in [known for known in hours if known <= hour - WINDOW_HOURS]:
                del hours[old]
        _write(self._path, counts)

    def growth(self, space: Space, now: float) -> Growth:
        """Return what is known at the unix time `now`."""
        counts = self._counts
        used_bytes_per_day = self._used_bytes_per_day(space, now)
        if counts.since is None:
            return Growth(None, used_bytes_per_day, 0.0, "no index of clips was seen yet")
        since = max(counts.since, now - WINDOW_HOURS * HOUR_S)
        days = max(0.0, (now - since) / DAY_S)
        if days < LEAST_DAYS:
            reason = f"recordings are known for {days * 24:.1f} hours, a day is needed"
            return Growth(None, used_bytes_per_day, round(days, 2), reason)
        recorded = sum(size for hour, size in counts.recorded.items() if hour <= now // HOUR_S)
        none = None if recorded else f"nothing was recorded in the last {days:.0f} days"
        return Growth(int(recorded / days), used_bytes_per_day, round(days, 2), none)

    def _used_bytes_per_day(self, space: Space, now: float) -> int | None:
        if not self._counts.used:
            return None
        first = min(self._counts.used)
        days = (now - first * HOUR_S) / DAY_S
        return None if days < LEAST_DAYS else int((space.used_bytes - self._counts.used[first]) / days)

    def _count_new(self, index: Path, now: float) -> None:
        """Add the clips that came since the last time."""
        counts = self._counts
        rows = []
        try:
            with contextlib.closing(open_index_read_only(index)) as connection:
                newest = connection.execute(_NEWEST).fetchone()
                if newest is not None and newest != (counts.last_id, counts.last_path):
                    is_new = _BY_ID if newest[0] > counts.last_id else _BY_START
                    values = {"last_id": counts.last_id, "latest_start": counts.latest_start}
                    rows = connection.execute(_NEW.format(is_new=is_new), values).fetchall()
                    counts.last_id, counts.last_path = newest
        except sqlite3.Error as error:
            raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error
        for hour, size_bytes, latest_start, _ in rows:
            counts.recorded[hour] = counts.recorded.get(hour, 0) + size_bytes
            counts.latest_start = max(counts.latest_start, latest_start)
        if counts.since is None:
            counts.since = min((start for *_, start in rows), default=now)


def outlook(growth: Growth, recorded_bytes: int, space: Space, policy: Policy, now: float) -> Outlook:
    """Return how many days fit and when the disk is full, if the growth goes on as it was measured.

    `recorded_bytes`: what all clips take now. The disk never fills up when a rule about all clips deletes before it
    does; rules about single cameras and classes can only make that earlier, and are left out.
    """
    rate = growth.recorded_bytes_per_day
    if not rate:
        return Outlook()
    room_bytes = recorded_bytes + space.free_bytes
    limits = [
        recorded_bytes + space.free_bytes - reserve_bytes(space, policy),
        room_bytes if policy.max_bytes is None else policy.max_bytes,
        room_bytes if policy.max_age_s is None else int(rate * policy.max_age_s / DAY_S),
    ]
    held_bytes = max(0, min(limits))
    days_free = space.free_bytes / rate
    is_held = held_bytes < room_bytes or days_free > FAR_DAYS
    full_at = None if is_held else now + days_free * DAY_S
    return Outlook(round(held_bytes / rate, 1), full_at)


def as_report(growth: Growth, ahead: Outlook) -> dict[str, Any]:
    """Return both as report and API show them."""
    full_at = None if ahead.full_at is None else iso_time(ahead.full_at)
    return {**asdict(growth), "days_held": ahead.days_held, "full_at": full_at}


def reserve_bytes(space: Space, policy: Policy) -> int:
    """Return how much the policy keeps free."""
    share = (policy.max_used_percent if policy.max_used_percent is not None else 100.0) / 100.0
    usable_bytes = space.used_bytes + space.free_bytes
    return max(policy.min_free_bytes or 0, usable_bytes - int(share * usable_bytes))


def _read(path: Path | None) -> _Counts:
    """Return what was remembered; nothing when there is no such file, or it is broken."""
    if path is None or not path.exists():
        return _Counts()
    try:
        data = json.loads(path.read_bytes())
        since = None if data["since"] is None else _moment(data["since"])
        recorded, used = ({int(hour): int(size) for hour, size in data[name].items()} for name in ("recorded", "used"))
        newest = (int(data["last_id"]), str(data["last_path"]), _moment(data["latest_start"]))
        return _Counts(*newest, since, recorded, used)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        event(logger, "growth_forgotten", level=logging.WARNING, path=path, text=repr(error))
        return _Counts()


def _moment(value: Any) -> float:
    """Return unix seconds; raise ValueError for infinity and what is no number, which JSON in Python knows too."""
    moment = float(value)
    if not math.isfinite(moment):
        raise ValueError(f"{value} is no time")
    return moment


def _write(path: Path | None, counts: _Counts) -> None:
    """Remember; a disk that takes nothing costs the memory and no more."""
    if path is None:
        return
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(asdict(counts)), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        event(logger, "growth_not_kept", level=logging.WARNING, path=path, text=error.strerror)
