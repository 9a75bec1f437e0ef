"""A camera's time stamps are mended: whatever its clock does, no second is lost or doubled."""

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import pytest

from cllmh_node.rtsp.parameter_sets import parameter_sets, picture_of, to_extradata
from cllmh_node.rtsp.stamps import StampLine
from cllmh_node.rtsp.track import Track

TICKS = 3600  # one picture at 25 frames/s


def placed(stamps: list[int], *, every_s: float = 0.04) -> list[int]:
    line = StampLine(1 / 90_000, TICKS)
    return [line.place(stamp, 100 + number * every_s) for number, stamp in enumerate(stamps)]


@pytest.mark.parametrize("jump_s", [3600, 5, -1.5, -3, -3600])
def test_a_clock_that_jumps_does_not_show(jump_s: float) -> None:
    jump = round(jump_s * 90_000)
    line = placed([number * TICKS + (jump if number >= 50 else 0) for number in range(100)])
    assert {later - earlier for earlier, later in pairwise(line)} == {TICKS}


def test_frames_shown_out_of_order_are_no_jump() -> None:
    stamps = [0, 3 * TICKS, TICKS, 2 * TICKS, 6 * TICKS, 4 * TICKS, 5 * TICKS]
    assert placed(stamps) == stamps


def test_a_pause_of_the_camera_stays_a_pause() -> None:
    line = StampLine(1 / 90_000, TICKS)
    line.place(0, 100.0)
    assert line.place(4 * 90_000, 104.0) == 4 * 90_000


def test_a_camera_whose_clock_stands_still_is_timed_by_arrival() -> None:
    line = placed([0] * 250)
    assert line[-1] == pytest.approx(249 * TICKS, abs=2)
    assert all(later - earlier == pytest.approx(TICKS, abs=2) for earlier, later in pairwise(line[50:]))


def test_a_stamp_that_comes_twice_now_and_then_shifts_nothing() -> None:
    stamps = [number * TICKS - (TICKS if number % 7 == 6 else 0) for number in range(250)]
    assert placed(stamps) == stamps


@pytest.mark.parametrize("step_s", [-20.0, -3.0, 0.0, 3.0, 20.0])
def test_the_last_frame_of_a_silent_camera_is_dated_when_it_was_sent_whatever_was_done_to_the_clock(
    step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(steady_s=100.0, unix_s=1000.0)
    clock = SimpleNamespace(monotonic=lambda: now.steady_s, time=lambda: now.unix_s)
    monkeypatch.setattr("cllmh_node.rtsp.track.time", clock)
    track = Track(SimpleNamespace(time_base=Fraction(1, 90_000), type="video"))
    for number in range(50):
        packet = SimpleNamespace(pts=number * TICKS, dts=number * TICKS, duration=TICKS, size=1)
        is_last = number == 49
        now.steady_s += 5.0 if is_last else 0.04
        now.unix_s += 5.0 + step_s if is_last else 0.04
        (stamped,) = track.put(packet, is_live=True, is_held=is_last)
    assert stamped.at == pytest.approx(1000 + 50 * 0.04, abs=0.01)


def test_parameter_sets_are_read_up_to_the_first_slice() -> None:
    sps = bytes.fromhex("6742c00ad90421a04000000fa4000003e900f12a92")  # not read here, only cut out
    pps, slice_ = b"\x68\xce\x3c\x80", b"\x65" + bytes(range(1, 200)) * 50
    sets = parameter_sets("h264", b"".join(b"\0\0\0\1" + nal for nal in (sps, pps, slice_, pps + b"late")))
    assert sets == {7: (sps,), 8: (pps,)}
    assert parameter_sets("h264", to_extradata(sets)) == sets


def test_broken_parameter_sets_have_no_size() -> None:
    assert picture_of("h264", {7: (b"\x67\xff",)}) is None
    assert picture_of("hevc", {}) is None
