"""The node's statement: every ten minutes, which ids were taken, as log lines that go the way of all others."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cllmh_node.log import event
from cllmh_node.logs.ledger import RANGES_PER_PART, Range, Taken, floor, read, slots

logger = logging.getLogger(__name__)

GRACE = timedelta(minutes=2)
"""syslog-ng closes a ledger file after 10 s without a line; by then it has written all of its slot."""


def state_what_was_taken(directory: Path, stated_until: datetime | None, now: datetime) -> datetime | None:
    """State every slot that is over and delete its file; return the end of what is stated now.

    Statements follow each other without a hole from `stated_until` on. After a kill between statement and deletion the
    same is stated twice, which says nothing new.
    """
    closed = floor(now - GRACE)
    for slot in slots(directory):
        if slot.end > closed and not _is_of_another_clock(slot.path, slot.start, now):
            continue
        if stated_until is not None and stated_until < slot.start:
            _state(stated_until, slot.start, None)
        _state(slot.start, slot.end, read(slot.path))
        slot.path.unlink()
        stated_until = max(stated_until or slot.end, slot.end)
    if stated_until is None or stated_until > now + GRACE:  # the first run, or the clock was set back
        return closed
    if stated_until < closed:
        _state(stated_until, closed, None)
        stated_until = closed
    return stated_until


def _is_of_another_clock(path: Path, start: datetime, now: datetime) -> bool:
    """Whether a file lies in the future because the clock was set back since."""
    return start > now + GRACE and path.stat().st_mtime > (now + GRACE).timestamp()


def _state(start: datetime, end: datetime, taken: Taken | None) -> None:
    ranges = taken.ranges if taken else []
    parts = [ranges[first : first + RANGES_PER_PART] for first in range(0, len(ranges), RANGES_PER_PART)] or [[]]
    for number, part in enumerate(parts, 1):
        event(
            logger,
            "lines_taken",
            start=_stamp(start),
            end=_stamp(end),
            lines=sum(one.lines for one in part),
            part=number,
            parts=len(parts),
            first_at=_precise(taken.first_at_ns) if taken else None,
            last_at=_precise(taken.last_at_ns) if taken else None,
            ids=_text(part),
        )


def _text(ranges: list[Range]) -> str:
    return ",".join(str(one) for one in ranges)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _precise(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 1000 / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
