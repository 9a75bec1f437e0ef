"""What a camera can do with its time stamps and its stream: schedules for the simulated DVR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from fakes.fake_dvr import CLOCK_HZ, Footage, Sample, Schedule, on_the_time_line


def jumping(after: int, by_s: float) -> Schedule:
    """After so many pictures the camera's clock jumps by so many seconds."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        for number, sample in enumerate(on_the_time_line(footage)):
            yield replace(sample, stamp=sample.stamp + (round(by_s * CLOCK_HZ) if number >= after else 0))

    return schedule


def slowing(after: int, factor: int) -> Schedule:
    """After so many pictures the camera takes that many times fewer a second, as many do in the dark."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        for number, sample in enumerate(on_the_time_line(footage)):
            more_s = max(0, number - after) * (factor - 1) / footage.fps
            yield replace(sample, due=sample.due + more_s, stamp=sample.stamp + round(more_s * CLOCK_HZ))

    return schedule


def without_a_clock(footage: Footage) -> Iterator[Sample]:
    """Every picture has the same time stamp."""
    for sample in on_the_time_line(footage):
        yield replace(sample, stamp=0)


def without_keyframes(after: int) -> Schedule:
    """After so many pictures no keyframe is sent any more."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        keyframes = {id(unit.payloads) for unit in footage.units if unit.keyframe}
        for number, sample in enumerate(on_the_time_line(footage)):
            if number < after or id(sample.payloads) not in keyframes:
                yield sample

    return schedule


def changing_to(other: Footage, after: int) -> Schedule:
    """After so many pictures the camera sends other footage, from its next keyframe on, in the same session."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        first = None
        for sample in islice(on_the_time_line(footage), after):
            first = first or sample
            yield sample
        assert first is not None
        for later in on_the_time_line(other, sample.due):
            yield replace(later, stamp=round((later.due - first.due) * CLOCK_HZ))

    return schedule


def ending(after: int, told: Callable[[], object] = lambda: None) -> Schedule:
    """After so many pictures none comes any more; `told` is called then."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        yield from islice(on_the_time_line(footage), after)
        told()

    return schedule


def with_a_second_picture(after: int) -> Schedule:
    """In a second track the same goes on for ever; in the first one after so many pictures none comes any more."""

    def schedule(footage: Footage) -> Iterator[Sample]:
        for number, sample in enumerate(on_the_time_line(footage)):
            if number < after:
                yield sample
            yield replace(sample, track=1)

    return schedule
