"""What a recording is worth: found, missed, false, early and late."""

from pathlib import Path

import pytest

from bench.harness import Result, at_least, at_most, keep, table
from bench.scoring import joined, runs, score

WINDOW = (0.0, 100.0)


def test_an_event_recorded_from_two_seconds_before_to_its_end_is_found() -> None:
    found = score([(10, 20)], [(8, 20)], WINDOW)
    assert (found.events, found.found, found.false_s) == (1, 1, 0)
    assert found.start_errors_s == (-2,)
    assert found.stop_errors_s == (0,)


@pytest.mark.parametrize(("recorded", "is_found"), [((10.3, 20), True), ((10.5, 20), False)])
def test_an_event_needs_four_fifths_of_it_and_of_the_two_seconds_before(
    recorded: tuple[float, float], is_found: bool
) -> None:
    assert score([(10, 20)], [recorded], WINDOW).found == is_found


def test_two_pieces_of_a_recording_count_together_but_what_overlaps_counts_once() -> None:
    assert score([(10, 20)], [(8, 13), (14, 20)], WINDOW).found == 1
    assert score([(10, 20)], [(8, 14), (8, 14)], WINDOW).found == 0


def test_only_a_recording_without_any_event_is_false() -> None:
    found = score([(10, 20)], [(5, 40), (50, 57)], WINDOW)
    assert found.false_s == 7
    assert (found.kept_s, found.needed_s) == (42, 12)


def test_an_event_that_the_window_cuts_does_not_count_as_missed_nor_its_recording_as_false() -> None:
    found = score([(95, 105)], [(93, 100)], WINDOW)
    assert (found.events, found.missed, found.false_s) == (0, (), 0)


def test_frames_that_follow_each_other_are_one_recording_and_a_lost_one_makes_two() -> None:
    assert runs([0, 1, 2, 4, 5], 10) == [(0.0, 0.3), (0.4, 0.6)]
    assert joined([(5, 6), (0, 2), (1, 3)]) == [(0, 3), (5, 6)]


def test_a_figure_that_could_not_be_measured_does_not_meet_its_target(tmp_path: Path) -> None:
    result = Result("sample", [at_most("a", 1, "s", 1), at_most("b", None, "s", 1), at_least("c", 0.9, "s", 1)])
    assert [metric.met for metric in result.metrics] == [True, False, False]
    assert table(result).count("MISSED") == 2
    assert keep(result, 1.0, tmp_path).name == "sample.json"
