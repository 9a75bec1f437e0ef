"""What stands in the store: numbered lines, and the nodes' statements about them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from cllmh_hub.completeness.ranges import Range, count

STATEMENT = "event=lines_taken "
"""How the text of a statement begins."""

_ID = re.compile(r"([0-9a-f]{8})@([0-9a-f]{16})")
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_RANGE = re.compile(r"([0-9a-f]{8})@([0-9a-f]{1,16})(?:-([0-9a-f]{1,16}))?")


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """One stored line: `host_id` is that of the node's syslog-ng, `number` grows, with holes, from line to line."""

    host_id: str
    number: int
    received: datetime
    kind: str
    host: str

    @classmethod
    def parse(cls, text: str, kind: str) -> Self | None:
        """Return the line of `id rcv host`; None when no node of ours writes it so."""
        try:
            name, rcv, host = text.split(" ", 2)
            received = datetime.fromisoformat(rcv).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        found = _ID.fullmatch(name)
        return cls(found[1], int(found[2], 16), received, kind, host) if found else None


@dataclass(frozen=True, slots=True)
class Statement:
    """Which lines `node` took over from `start` to `end`; `ids` maps host ids to ranges."""

    node: str
    start: datetime
    end: datetime
    part: int
    parts: int
    first_at: datetime | None
    """The earliest time under which one of the lines is stored."""
    last_at: datetime | None
    ids: dict[str, list[Range]]

    @classmethod
    def parse(cls, node: str, text: str) -> Self | None:
        """Return the statement that a line's text is; None when it is none or contradicts itself."""
        if not text.startswith(STATEMENT):
            return None
        fields = {name: value.strip('"') for name, value in _FIELD.findall(text)}
        try:
            start, end = _time(fields["start"]), _time(fields["end"])
            first_at, last_at = (_time(fields[key]) if key in fields else None for key in ("first_at", "last_at"))
            ids = _ids(fields["ids"])
            lines, part, parts = (int(fields[key]) for key in ("lines", "part", "parts"))
        except (KeyError, ValueError, OverflowError):
            return None
        agrees = lines == sum(count(ranges) for ranges in ids.values())
        if not (start < end and agrees and 1 <= part <= parts):
            return None
        return cls(node, start, end, part, parts, first_at, last_at, ids)


def name_of(host_id: str, number: int) -> str:
    """Return an id as it stands in the store, to be searched for."""
    return f"{host_id}@{number:016x}"


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment.astimezone(UTC)


def _ids(text: str) -> dict[str, list[Range]]:
    found: dict[str, list[Range]] = {}
    for item in text.split(",") if text else ():
        match = _RANGE.fullmatch(item)
        if not match:
            raise ValueError(f"{item} is no range of ids")
        first, last = int(match[2], 16), int(match[3] or match[2], 16)
        if last < first:
            raise ValueError(f"{item} ends before it begins")
        found.setdefault(match[1], []).append((first, last))
    return found
