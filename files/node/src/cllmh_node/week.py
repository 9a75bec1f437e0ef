"""Hours of the week on the wall clock of the site, as a configuration names them."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from cllmh_node.config import StrictModel

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$|^24:00$")


class WeekHours(StrictModel):
    """Hours of some days of the week."""

    days: Annotated[tuple[str, ...], Field(min_length=1)] = ("mon-sun",)
    """Days on which they begin: mon, tue, wed, thu, fri, sat, sun, or from one to another such as mon-fri."""

    begin: Annotated[str, Field(alias="from")] = "00:00"
    """Time of day at which they begin, such as "18:00", in quotes."""

    to: str = "24:00"
    """Time of day at which they end; one that is not later than `from` is on the next day."""

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
        """Return the hours as a person would write them."""
        return f"{','.join(self.days)} {self.begin}-{self.to}"

    def minutes(self) -> list[tuple[int, int]]:
        """Return from when to when they are, in minutes since Monday 00:00; the end may be in the next week."""
        begin, end = _minute(self.begin), _minute(self.to)
        if end <= begin:
            end += DAY_MINUTES
        return [(day * DAY_MINUTES + begin, day * DAY_MINUTES + end) for day in sorted(_numbers(self.days))]

    def hold_at(self, minute: int) -> bool:
        """Whether a minute of the week, counted from Monday 00:00, is among them."""
        return any(begin <= minute < end or begin <= minute + WEEK_MINUTES < end for begin, end in self.minutes())


def minute_of_week(at: float, zone: tzinfo) -> int:
    """Return the minute since Monday 00:00 that the wall clock in `zone` shows at a unix time."""
    local = datetime.fromtimestamp(at, zone)
    return local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute


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
