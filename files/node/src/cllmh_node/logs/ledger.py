"""Which ids syslog-ng took: it writes `ID NANOSECONDS` lines into a file for each ten minutes, these become ranges.

Holes in syslog-ng's own counter mean nothing: each line that is read back from the disk buffer spends a number. So the
node states what it took, and the hub proves that the stores have it (docs/logs.md).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SLOT = timedelta(minutes=10)
RANGES_PER_PART = 500
"""Keeps a statement far below the longest line that journald and Loki take."""

_NAME = re.compile(r"^(\d{8}T\d{4})Z\.ids$")
_LINE = re.compile(rb"([0-9a-f]{8})@([0-9a-f]{16}) (\d{1,19})")


@dataclass(frozen=True, slots=True)
class Slot:
    """A ledger file and the ten minutes that it covers."""

    path: Path
    start: datetime

    @property
    def end(self) -> datetime:
        """The first moment that is no longer in it."""
        return self.start + SLOT


@dataclass(frozen=True, slots=True)
class Range:
    """Ids of one host id, from `first` to `last`."""

    host_id: str
    first: int
    last: int

    @property
    def lines(self) -> int:
        """How many ids these are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """Return it as a statement writes it."""
        numbers = f"{self.first:x}" if self.first == self.last else f"{self.first:x}-{self.last:x}"
        return f"{self.host_id}@{numbers}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a ledger file says."""

    ranges: list[Range]
    first_at_ns: int
    last_at_ns: int


def slots(directory: Path) -> list[Slot]:
    """Return the ledger's files, oldest first."""
    found = ((path, _NAME.match(path.name)) for path in directory.iterdir())
    dated = (Slot(path, datetime.strptime(f"{match[1]}+0000", "%Y%m%dT%H%M%z")) for path, match in found if match)
    return sorted(dated, key=lambda slot: slot.start)


def read(path: Path) -> Taken | None:
    """Return what a ledger file says, None when it has no whole line (a power cut may leave zeros in it)."""
    times = _Times()
    with path.open("rb") as file:
        ranges = merged(_runs(file, times))
    return Taken(ranges, times.first, times.last) if ranges else None


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the ranges in order, with those that touch made one."""
    result: list[Range] = []
    for part in sorted(ranges, key=lambda part: (part.host_id, part.first)):
        last = result[-1] if result else None
        if last is not None and last.host_id == part.host_id and part.first <= last.last + 1:
            result[-1] = Range(last.host_id, last.first, max(last.last, part.last))
        else:
            result.append(part)
    return result


def floor(moment: datetime) -> datetime:
    """Return the beginning of the ten minutes that `moment` is in."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute // 10 * 10, second=0, microsecond=0)


class _Times:
    """The earliest and the latest time seen."""

    def __init__(self) -> None:
        self.first = 2**63 - 1
        self.last = 0

    def note(self, at_ns: int) -> None:
        self.first = min(self.first, at_ns)
        self.last = max(self.last, at_ns)


def _runs(lines: Iterable[bytes], times: _Times) -> Iterator[Range]:
    """Yield runs of following ids: syslog-ng writes them nearly in order, so there are few."""
    host_id, first, last = b"", 0, -1
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        times.note(int(match[3]))
        number = int(match[2], 16)
        if match[1] == host_id and number == last + 1:
            last = number
            continue
        if host_id:
            yield Range(host_id.decode(), first, last)
        host_id, first, last = match[1], number, number
    if host_id:
        yield Range(host_id.decode(), first, last)
