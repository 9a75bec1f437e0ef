"""The benchmarks in their short forms: what they count must be right on any machine; how fast it was is not asked."""

import os
import shutil

import pytest

from bench import backup, disk_full, probe, prune, recorder_kill, recorder_scale, recorder_soak, recorder_vs_motion
from bench.harness import VTEST
from bench.stepped_clock import can_be_built
from small_disk import why_not

pytestmark = pytest.mark.skipif(
    not VTEST.exists() or shutil.which("ffmpeg") is None,
    reason="the footage needs ffmpeg and opencv-doc: apt-get install ffmpeg opencv-doc",
)


def test_every_frame_that_was_sent_was_received_and_nothing_was_lost() -> None:
    result = recorder_scale.run(short=True)
    assert [result.value(name) for name in ("frames_lost", "reconnects", "gap_rows")] == [0, 0, 0]


def test_after_ten_kills_all_files_play_and_the_index_is_right() -> None:
    result = recorder_kill.run(short=True)
    assert (result.value("kills") or 0) >= 10
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
    if can_be_built():
        assert (result.value("cameras_watched_at_a_clock_step") or 0) >= 2


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_each_way_of_pruning_takes_the_oldest_hundredth_and_nothing_else() -> None:
    result = prune.run(short=True)
    assert result.value("wrongly_deleted_or_kept") == 0
    assert [row["deleted"] for row in result.rows] == [5] * 8 + [20] * 8
    assert not prune.FOLDER.exists()


def test_every_channel_of_a_difficult_dvr_gets_its_right_answer() -> None:
    result = probe.run(short=True)
    assert (result.value("channels"), result.value("answers_wrong"), result.value("logins_refused")) == (32, 0, 0)


def test_every_channel_is_backed_up_whole_as_the_shell_loops_do() -> None:
    result = backup.run(short=True)
    assert result.value("recorded_whole") == result.value("recorded_whole_on_burnt_cores") == 4
    assert [row["whole"] for row in result.rows] == [4, 4, 1, 4]


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_on_a_disk_that_is_always_full_no_second_is_lost_and_the_lesser_class_goes_first() -> None:
    result = disk_full.run(short=True)
    assert (result.value("bursts_that_filled_the_disk") or 0) >= 1
    assert (result.value("deleted_motion") or 0) > 0
    assert result.value("deleted_pinned") == 0
    names = ("seconds_lost", "gap_rows_of_the_disk", "frames_missing_in_files")
    assert [result.value(name) for name in names] == [0, 0, 0]
    assert result.value("higher_class_deleted_while_lower_existed") == 0
