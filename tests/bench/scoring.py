"""How well recordings cover what happened: pure functions on intervals, in seconds of one time line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float]

BEFORE_S = 2.0
"""So much of the time before an event belongs to it: one wants to see somebody come."""

ENOUGH = 0.8
"""An event counts as recorded when so much of [start - BEFORE_S, end] is on the disk and can be decoded."""


@dataclass(frozen=True, slots=True)
class Score:
    """What became of a camera's events."""

    events: int
    found: int
    false_s: float
    """Length of the recordings in which no event is."""

    kept_s: float
    needed_s: float
    start_errors_s: tuple[float, ...]
    """For each event that was found: begin of its recording minus begin of the event; below 0 is earlier."""

    stop_errors_s: tuple[float, ...]
    """For each event that was found: end of its recording minus end of the event; above 0 is later."""

    missed: tuple[Interval, ...]


def joined(intervals: Sequence[Interval], within_s: float = 0.0) -> list[Interval]:
    """Return the intervals in order, those that overlap or are at most `within_s` apart as one."""
    out: list[Interval] = []
    for begin, end in sorted(intervals):
        if out and begin <= out[-1][1] + within_s:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def overlap_s(interval: Interval, intervals: Sequence[Interval]) -> float:
    """Return how much of an interval others, which do not overlap each other, cover."""
    return sum(max(0.0, min(interval[1], end) - max(interval[0], begin)) for begin, end in intervals)


def runs(numbers: Sequence[int], fps: float) -> list[Interval]:
    """Return frame numbers as intervals: those that follow each other are one."""
    return joined([(number / fps, (number + 1) / fps) for number in numbers], within_s=0.5 / fps)


def score(events: Sequence[Interval], recorded: Sequence[Interval], window: Interval) -> Score:
    """Compare events with what was recorded, both cut to `window` (events that it cuts do not count)."""
    inside = [event for event in events if event[0] - BEFORE_S >= window[0] and event[1] <= window[1]]
    cut = [(max(b, window[0]), min(e, window[1])) for b, e in recorded if e > window[0] and b < window[1]]
    cut = joined(cut)
    found: list[Interval] = []
    missed: list[Interval] = []
    for begin, end in inside:
        wanted = (begin - BEFORE_S, end)
        has = overlap_s(wanted, cut) >= ENOUGH * (wanted[1] - wanted[0])
        (found if has else missed).append((begin, end))
    starts: list[float] = []
    stops: list[float] = []
    for begin, end in found:
        touching = [run for run in cut if run[0] < end and run[1] > begin]
        starts.append(round(touching[0][0] - begin, 2))
        stops.append(round(touching[-1][1] - end, 2))
    false_s = sum(e - b for b, e in cut if not any(b < end and e > begin for begin, end in events))
    kept_s = sum(e - b for b, e in cut)
    needed = joined([(begin - BEFORE_S, end) for begin, end in inside])
    needed_s = sum(e - b for b, e in needed)
    return Score(len(inside), len(found), false_s, kept_s, needed_s, tuple(starts), tuple(stops), tuple(missed))
