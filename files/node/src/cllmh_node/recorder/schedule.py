"""When a camera is recorded: a weekly schedule on the wall clock of the site."""

from datetime import tzinfo
from itertools import combinations
from typing import Annotated, Literal, Protocol

from pydantic import BeforeValidator

from cllmh_node.clips.index import Mode
from cllmh_node.week import DAY_MINUTES, DAYS, WEEK_MINUTES, WeekHours, minute_of_week


def _off(value: object) -> object:
    """Return the word where YAML has read `off` without quotes as false."""
    return "off" if value is False else value


CameraMode = Annotated[Literal["motion", "continuous", "off"], BeforeValidator(_off)]
"""When to record: when something moves, always, never."""


class ScheduleEntry(WeekHours):
    """Hours of some days of the week in which a camera has another mode."""

    mode: CameraMode
    """When to record in these hours: motion (when something moves), continuous (always), off (never)."""

    def __str__(self) -> str:
        """Return the entry as a person would write it."""
        return f"{super().__str__()} {self.mode}"


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
    minute = minute_of_week(at, zone)
    for entry in scheduled.schedule:
        if entry.hold_at(minute):
            return entry.mode
    return scheduled.mode


def check_overlaps(schedule: tuple[ScheduleEntry, ...]) -> tuple[ScheduleEntry, ...]:
    """Return the schedule; raise ValueError when two entries hold at the same time."""
    spans = [(begin, end, entry) for entry in schedule for begin, end in entry.minutes()]
    for (begin, end, entry), (other_begin, other_end, other) in combinations(spans, 2):
        for shift in (-WEEK_MINUTES, 0, WEEK_MINUTES):
            first = max(begin, other_begin + shift)
            if first < min(end, other_end + shift):
                when = f"{DAYS[first // DAY_MINUTES % 7]} {first % DAY_MINUTES // 60:02d}:{first % 60:02d}"
                raise ValueError(f"two entries hold at once, on {when}: {entry}, and {other}")
    return schedule
