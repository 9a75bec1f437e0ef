"""When a camera is recorded: a weekly schedule on the wall clock of the site."""

import re
from datetime import UTC, datetime, tzinfo
from itertools import combinations
from typing import Annotated, Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator

from cllmh_node.clips.index import Mode
from cllmh_node.config import StrictModel


def _off(value: object) -> object:
    """Return the word where YAML has read `off` without quotes as false."""
    return "off" if value is False else value


CameraMode = Annotated[Literal["motion", "continuous", "off"], BeforeValidator(_off)]
"""When to record: when something moves, always, never."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$|^24:00$")


class ScheduleEntry(StrictModel):
    """Hours of some days of the week in which a camera has another mode."""

    days: Annotated[tuple[str, ...], Field(min_length=1)] = ("mon-sun",)
    """Days on which it begins: mon, tue, wed, thu, fri, sat, sun, or from one to another such as mon-fri."""

    begin: Annotated[str, Field(alias="from")] = "00:00"
    """Time of day at which it begins, such as "18:00", in quotes."""

    to: str = "24:00"
    """Time of day at which it ends; one that is not later than `from` is on the next day."""

    mode: CameraMode
    """When to record in these hours: motion (when something moves), continuous (always), off (never)."""

    @field_validator("begin", "to", mode="before")
    @classmethod
    def _is_a_time(cls, value: object) -> object:
        # YAML reads 18:00 without quotes as the number 1080.
        if not isinstance(value, str) or not _TIME.match(value):
            raise ValueError('must be a time of day in quotes, from "00:00" to "24:00"')
        return value

    @field_validator("days")
    @classmethod
    def _are_days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        for day in days:
            if not set(day.split("-", 1)) <= set(DAYS):
                raise ValueError(f"{day!r} is neither one of {', '.join(DAYS)} nor a range such as mon-fri")
        return days

    def __str__(self) -> str:
        """Return the entry as a person would write it."""
        return f"{','.join(self.days)} {self.begin}-{self.to} {self.mode}"

    def minutes(self) -> list[tuple[int, int]]:
        """Return from when to when it holds, in minutes since Monday 00:00; the end may be in the next week."""
        begin, end = _minute(self.begin), _minute(self.to)
        if end <= begin:
            end += _DAY_MINUTES
        return [(day * _DAY_MINUTES + begin, day * _DAY_MINUTES + end) for day in sorted(_numbers(self.days))]


class Scheduled(Protocol):
    """What has a mode, and a schedule of other modes."""

    @property
    def mode(self) -> Mode:
        """The mode at all other times."""

    @property
    def schedule(self) -> tuple[ScheduleEntry, ...]:
        """The exceptions."""


def mode_at(scheduled: Scheduled, at: float, zone: tzinfo) -> Mode:
    """Return the mode at a unix time. An hour that daylight saving repeats has its mode twice, a skipped one never."""
    if not scheduled.schedule:
        return scheduled.mode
    local = datetime.fromtimestamp(at, zone)
    minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
    for entry in scheduled.schedule:
        if any(begin <= minute < end or begin <= minute + _WEEK_MINUTES < end for begin, end in entry.minutes()):
            return entry.mode
    return scheduled.mode


def check_overlaps(schedule: tuple[ScheduleEntry, ...]) -> tuple[ScheduleEntry, ...]:
    """Return the schedule; raise ValueError when two entries hold at the same time."""
    spans = [(begin, end, entry) for entry in schedule for begin, end in entry.minutes()]
    for (begin, end, entry), (other_begin, other_end, other) in combinations(spans, 2):
        for shift in (-_WEEK_MINUTES, 0, _WEEK_MINUTES):
            first = max(begin, other_begin + shift)
            if first < min(end, other_end + shift):
                when = f"{DAYS[first // _DAY_MINUTES % 7]} {first % _DAY_MINUTES // 60:02d}:{first % 60:02d}"
                raise ValueError(f"two entries hold at once, on {when}: {entry}, and {other}")
    return schedule


def zone_of(name: str) -> tzinfo:
    """Return a time zone; raise ValueError when it is not known on this machine."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not known here; a name such as Asia/Jakarta is wanted, and the package tzdata") from None


def _minute(time_of_day: str) -> int:
    return int(time_of_day[:2]) * 60 + int(time_of_day[3:])


def _numbers(days: tuple[str, ...]) -> set[int]:
    numbers: set[int] = set()
    for day in days:
        first, _, last = day.partition("-")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        numbers |= {number % 7 for number in range(begin, end + 1 if end >= begin else end + 8)}
    return numbers
