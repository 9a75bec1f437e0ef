"""Which days go: pure functions on the list of indices."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

CLASSES = ("info", "warning", "critical")
"""From the least to the most important."""

_NAME = re.compile(rf"cllmh-logs-({'|'.join(CLASSES)})-(\d{{4}}\.\d\d\.\d\d)")


@dataclass(frozen=True, slots=True)
class DayIndex:
    """The lines of one class and UTC day."""

    name: str
    log_class: str
    day: date
    size_bytes: int


def parse(sizes: Mapping[str, int]) -> list[DayIndex]:
    """Return the indices of `sizes` (name -> bytes) that are a day's, oldest first; others are not ours."""
    found = []
    for name, size in sizes.items():
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        try:
            day = datetime.strptime(match[2], "%Y.%m.%d").date()
        except ValueError:
            continue
        found.append(DayIndex(name, match[1], day, size))
    return sorted(found, key=lambda index: (index.day, CLASSES.index(index.log_class)))


def over_age(indices: Iterable[DayIndex], keep_days: Mapping[str, int], today: date) -> list[DayIndex]:
    """Return the days that are over: a class with 30 days keeps today and the 30 days before."""
    return [index for index in indices if index.day < today - timedelta(days=keep_days[index.log_class])]


def over_budget(indices: Iterable[DayIndex], max_bytes: int, today: date) -> list[DayIndex]:
    """Return what has to go so that the rest fits: by class, the least important first, then by day; never today."""
    by_worth = sorted(indices, key=lambda index: (CLASSES.index(index.log_class), index.day))
    used = sum(index.size_bytes for index in by_worth)
    gone = []
    for index in by_worth:
        if used <= max_bytes:
            break
        if index.day < today:
            gone.append(index)
            used -= index.size_bytes
    return gone
