"""What the recorder puts down of a camera's time, and what gives way when there is too much to do."""

import contextlib
import random
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from cllmh_node.clips.coverage import read_coverage
from cllmh_node.clips.damage import set_aside_if_damaged
from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, SpanRow
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.overload import MOST_SKIPPED, OverloadRule
from cllmh_node.recorder.plan import spread
from cllmh_node.recorder.time_line import LONGEST_HOLD_S, StepDetector, TimeLine


def test_every_second_is_a_clip_quiet_off_or_a_gap_and_a_hole_shows(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = ClipIndex(path)
    index.put_spans([SpanRow("gate", 0.0, 100.0, "motion"), SpanRow("gate", 100.0, 150.0, "off")])
    index.put_spans([SpanRow("gate", 170.0, 200.0, "motion")])
    index.add_clip(ClipRow("gate", "gate/a.mp4", 10.0, 30.0, 1, "motion"))
    index.open_gap(GapRow("gate", 150.0, 160.0, "restart"))
    index.open_gap(GapRow("gate", 200.0, None, "camera_lost"))
    told = [(s.start, s.end, s.kind, s.cause) for s in read_coverage(path, now=230.0)]
    assert told == [
        (0.0, 10.0, "quiet", None),
        (10.0, 30.0, "clip", None),
        (30.0, 100.0, "quiet", None),
        (100.0, 150.0, "off", None),
        (150.0, 160.0, "gap", "restart"),
        (160.0, 170.0, "unknown", None),
        (170.0, 200.0, "quiet", None),
        (200.0, 230.0, "gap", "camera_lost"),
    ]
    (first, *_) = read_coverage(path, since=20.0, now=230.0)
    assert (first.start, first.end, first.kind) == (20.0, 30.0, "clip")


def test_a_clip_that_is_still_written_is_told_as_one(tmp_path: Path) -> None:
    index = ClipIndex(tmp_path / "index.db")
    index.put_spans([SpanRow("gate", 1_767_323_000.0, 1_767_323_050.0, "motion")])
    index.clip_opened("gate", "gate/2026-01-02/20260102T030320.000Z.mp4", "motion")
    told = [stretch.kind for stretch in read_coverage(tmp_path / "index.db", now=0.0)]
    assert told == ["clip"]


@pytest.mark.parametrize("content", [b"this was a database" * 1000, None])
def test_a_damaged_index_is_set_aside_and_a_well_one_is_left(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "index.db"
    index = ClipIndex(path)
    for number in range(2000):
        index.add_clip(ClipRow("gate", f"gate/{number}.mp4", number, number + 1, 1, "motion"))
    index.close()
    assert set_aside_if_damaged(path) is None
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 16384 + whole[24576:] if content is None else content)
    aside = set_aside_if_damaged(path)
    assert aside is not None
    assert aside.exists()
    assert not path.exists()


def test_an_index_that_is_damaged_while_it_is_used_is_noticed_and_a_full_disk_is_none(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    ledger = Ledger(ClipIndex(path), None)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"garbage!" * 4096)
    ledger.gap_opened(GapRow("gate", 1.0, None, "camera_lost"))
    assert ledger.is_index_damaged

    class Full(ClipIndex):
        def open_gap(self, gap: GapRow) -> None:
            raise sqlite3.OperationalError(f"database or disk is full: {gap}")

    ledger = Ledger(Full(tmp_path / "full.db"), None)
    ledger.gap_opened(GapRow("gate", 1.0, None, "camera_lost"))
    assert not ledger.is_index_damaged


def test_an_index_that_cannot_be_opened_is_not_taken_for_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError):
        set_aside_if_damaged(path)
    assert path.is_dir()


def test_rows_stay_in_order_when_the_clock_is_set_back() -> None:
    line = TimeLine()
    line.passed(1000.0)
    assert line.at(1001.0) == 1001.0
    assert line.at(400.0) == 1000.0  # the clock was set back by ten minutes
    line.passed(1030.0)
    assert line.at(430.0) == 1030.0
    assert line.at(1031.0) == 1031.0  # it has caught up


def test_a_clock_that_was_years_ahead_does_not_date_clips_for_years() -> None:
    line = TimeLine(1000.0 + 10 * LONGEST_HOLD_S)
    assert line.at(1000.0) == 1000.0


def test_a_clock_that_is_set_is_noticed_and_one_that_drifts_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = [1000.0]
    monkeypatch.setattr("time.time", lambda: wall[0])
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    steps = StepDetector()
    wall[0] += 0.2
    assert steps.step_s() == 0
    wall[0] -= 3600
    assert steps.step_s() == -3600
    assert steps.step_s() == 0


def judged(rule: OverloadRule, lag_s: float, seconds: int, busy: float = 0.9, cameras: int = 4) -> int:
    return [rule.judge([lag_s] * cameras, busy) for _ in range(seconds)][-1]


def test_under_overload_fewer_keyframes_are_looked_at_and_all_again_when_it_is_over() -> None:
    rule = OverloadRule()
    assert judged(rule, 5.0, 12) == 2
    assert judged(rule, 5.0, 60) == MOST_SKIPPED
    assert judged(rule, 1.0, 300) == MOST_SKIPPED  # neither late nor in time: it does not swing
    assert judged(rule, 0.1, 20) == MOST_SKIPPED // 2
    assert judged(rule, 0.1, 100) == 1


def worked_off(
    rule: OverloadRule, receiving: float, looking: float, seconds: int, lag_s: float = 0.0, seed: int = 1
) -> list[int]:
    """Simulate a process that has one core: return the stride of each second.

    `receiving`: what the packets take, in parts of the core; `looking`: what all keyframes take. What does not fit is
    done later; frames are a little more or less late than that.
    """
    noise = random.Random(seed)
    strides = []
    for _ in range(seconds):
        wanted = receiving + looking / rule.stride
        lag_s = max(0.0, lag_s + wanted - 1.0)
        rule.judge([max(0.0, lag_s + noise.uniform(-0.2, 0.2)) for _ in range(8)], min(1.0, wanted))
        strides.append(rule.stride)
    return strides


@pytest.mark.parametrize(
    ("receiving", "looking", "enough"), [(0.5, 0.9, 2), (0.4, 1.1, 2), (0.4, 2.0, 4), (0.3, 5.0, 8), (0.6, 0.3, 1)]
)
def test_it_gives_up_no_more_than_it_must_while_it_works_off_what_has_piled_up(
    receiving: float, looking: float, enough: int
) -> None:
    strides = worked_off(OverloadRule(), receiving, looking, 3600)
    assert max(strides) == enough
    # Now and then it tries whether more can be looked at again, ever more rarely.
    assert sum(after > before for before, after in pairwise(strides)) <= 12


def test_a_short_standstill_is_worked_off_without_giving_anything_up() -> None:
    assert max(worked_off(OverloadRule(), 0.4, 0.4, 60, lag_s=6.0)) == 1


def test_a_heavy_overload_is_met_before_a_dvr_gives_the_session_up() -> None:
    lag_s, rule = 0.0, OverloadRule()
    late = []
    for _ in range(60):
        lag_s = max(0.0, lag_s + 0.3 + 1.6 / rule.stride - 1.0)
        late.append(lag_s)
        rule.judge([lag_s] * 8, 1.0)
    assert max(late) < 10


def test_a_slow_network_is_no_overload() -> None:
    assert judged(OverloadRule(), 5.0, 60, busy=0.1) == 1
    rule = OverloadRule()
    assert [rule.judge([9.0, 0.1, 0.1], 0.9) for _ in range(60)][-1] == 1  # one camera of three


def test_cameras_are_spread_over_processes_and_no_process_is_idle() -> None:
    names = ["a", "b", "c", "d", "e"]
    assert spread(names, 2) == (("a", "c", "e"), ("b", "d"))
    assert spread(["a"], 8) == (("a",),)
