"""The benchmarks in their short forms: what they count must be right on any machine; how fast it was is not asked."""

import shutil

import pytest

from bench import recorder_kill, recorder_scale, recorder_soak, recorder_vs_motion
from bench.harness import VTEST

pytestmark = pytest.mark.skipif(
    not VTEST.exists() or shutil.which("ffmpeg") is None,
    reason="the footage needs ffmpeg and opencv-doc: apt-get install ffmpeg opencv-doc",
)


def test_every_frame_that_was_sent_was_received_and_nothing_was_lost() -> None:
    result = recorder_scale.run(short=True)
    assert [result.value(name) for name in ("frames_lost", "reconnects", "gap_rows")] == [0, 0, 0]


def test_after_ten_kills_all_files_play_and_the_index_is_right() -> None:
    result = recorder_kill.run(short=True)
    assert result.value("kills") == 10
    for name in ("unplayable_files", "not_recording_again", "index_rows_wrong"):
        assert result.value(name) == 0, name


def test_the_recorder_finds_what_motion_finds_and_what_it_does_not() -> None:
    result = recorder_vs_motion.run(short=True)
    assert result.value("recall_ours") == 1.0


def test_a_minute_of_faults_leaves_no_second_unaccounted_and_no_gap_without_its_cause() -> None:
    result = recorder_soak.run(short=True)
    assert (result.value("faults") or 0) >= 3
    names = ("camera_seconds_unaccounted", "faults_without_a_gap", "gaps_with_another_cause", "recorder_died")
    assert [result.value(name) for name in names] == [0, 0, 0, 0]
    assert (result.value("threads_grown") or 0) <= 2
