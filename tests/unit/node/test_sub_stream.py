"""Motion is looked for in the small second stream; the main stream is recorded, and watched where there is no other."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from cllmh_node.clips.index import ClipIndex, ClipRow, read_clips
from cllmh_node.recorder import sub_stream
from cllmh_node.recorder.decode_plan import most_sub_stream_pixels_s
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.retry import retry_delay_s
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.states import CameraState
from cllmh_node.recorder.sub_stream import SubStreamThread, SubStreamWatch
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError
from unit.node.scenes import BEGINS_AT, Camera, Walk, encode, play

LOST = CameraError("camera_lost", "453")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing moves for 40 s; keyframes every 2 s."""
    return encode(tmp_path_factory.mktemp("scene") / "still.mp4", play(40), gop_s=2)


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody crosses the picture between 18 s and 25 s; keyframes every 4 s."""
    return encode(tmp_path_factory.mktemp("scene") / "crossing.mp4", play(40, Walk(18, 25)), gop_s=4)


class Recorder:
    """One camera with two streams, whose frames come in the order of their times."""

    def __init__(self, folder: Path) -> None:
        self.index = folder / "index.db"
        settings = CameraSettings(name="gate", host="192.0.2.1", path="/main", sub_path="/sub")
        self.pipeline = CameraPipeline(settings, folder / "recordings", Ledger(ClipIndex(self.index), None))
        assert self.pipeline.sub is not None
        self.sub = self.pipeline.sub
        self.plans: list[str | None] = []

    def watch(self, main: Path, sub: Path, *, sub_ends_s: float = 1e9) -> list[ClipRow]:
        camera = Camera(main)
        self.pipeline.connected(camera.info)
        small: Iterator[EncodedFrame] = Camera(sub).frames()
        for frame in camera.frames():
            if frame.at - BEGINS_AT < sub_ends_s:
                self.sub.observe(next(small))
            elif self.sub.is_watching:
                self.sub.end(LOST)
            self.pipeline.feed(frame)
            if self.pipeline.status.decode_plan not in self.plans[-1:]:
                self.plans.append(self.pipeline.status.decode_plan)
        self.pipeline.stop()
        return list(read_clips(self.index))


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def test_motion_in_the_sub_stream_records_the_main_stream_with_its_pre_roll(
    recorder: Recorder, still: Path, crossing: Path
) -> None:
    # In the main stream nothing moves, so that only the sub-stream can be the reason.
    (clip,) = recorder.watch(still, crossing)
    assert 18 - 5 - 2 <= clip.start - BEGINS_AT <= 18 - 5 + 0.5
    assert 25 + 5 - 1 <= clip.end - BEGINS_AT <= 25 + 5 + 2 + 1


def test_nothing_of_the_main_stream_is_decoded_while_the_sub_stream_is_watched(
    recorder: Recorder, still: Path, crossing: Path
) -> None:
    recorder.watch(still, crossing)
    assert recorder.plans[1:] == ["sub_stream"]
    assert recorder.sub.frames == recorder.pipeline.counters.frames == 400
    # Until the sub-stream's scene was known: its first seconds.
    assert recorder.pipeline.counters.decoded <= 40


def test_a_lost_sub_stream_is_no_gap_and_the_main_stream_is_watched_at_once(
    recorder: Recorder, still: Path, crossing: Path
) -> None:
    (clip,) = recorder.watch(crossing, still, sub_ends_s=17.5)
    assert 18 - 5 - 4 <= clip.start - BEGINS_AT <= 18 - 5 + 0.5
    # Keyframes at once; later densely, since those of this stream are far apart.
    assert recorder.plans[-3:] == ["sub_stream", "keyframes", "dense"]
    assert recorder.pipeline.counters.gaps == 0
    assert recorder.pipeline.state()["sub_stream"] == {
        "is_watched": False,
        "frames": 175,
        "looked_at": recorder.sub.state()["looked_at"],
        "error": {"cause": "camera_lost", "text": "453"},
    }


def test_the_scene_is_not_learned_anew_when_the_sub_stream_is_lost(recorder: Recorder, still: Path) -> None:
    states: list[CameraState] = []
    camera, small = Camera(still), Camera(still).frames()
    recorder.pipeline.connected(camera.info)
    for frame in camera.frames():
        if frame.at - BEGINS_AT < 20:
            recorder.sub.observe(next(small))
        elif recorder.sub.is_watching:
            recorder.sub.end(LOST)
        recorder.pipeline.feed(frame)
        if frame.at - BEGINS_AT >= 20:
            states.append(recorder.pipeline.status.state)
    recorder.pipeline.stop()
    assert set(states) == {CameraState.QUIET}


def test_a_sub_stream_that_stands_still_is_not_waited_for(
    recorder: Recorder, still: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Camera(still).frames()
    for _ in range(50):
        recorder.sub.observe(next(frames))
    assert recorder.sub.is_watching
    later = time.monotonic() + sub_stream.STALE_S
    monkeypatch.setattr(sub_stream.time, "monotonic", lambda: later)
    assert not recorder.sub.is_watching


def test_a_scene_that_is_not_known_yet_is_left_to_the_main_stream(still: Path) -> None:
    watch = SubStreamWatch(CameraSettings(name="gate", host="192.0.2.1", path="/").motion)
    frames = Camera(still).frames()
    watch.observe(next(frames))
    assert not watch.is_watching
    assert watch.take() == []


def test_a_sub_stream_that_costs_more_than_the_main_streams_keyframes_is_not_watched(
    recorder: Recorder, still: Path
) -> None:
    recorder.sub.most_pixels_s = 320 * 240 * 10 - 1
    with pytest.raises(CameraError, match="320x240 at 10 frames/s costs more to watch"):
        recorder.sub.observe(next(Camera(still).frames()))
    assert not recorder.sub.is_watching


def test_what_a_sub_stream_may_cost_depends_on_what_the_main_stream_costs() -> None:
    full_hd = 1920 * 1080
    assert 640 * 480 * 15 < most_sub_stream_pixels_s(full_hd, 2.0, look_every_s=2) < 704 * 576 * 25
    assert most_sub_stream_pixels_s(640 * 360, 2.0, look_every_s=2) > 640 * 360 * 10
    for gop_s in (0.0, 4.0):  # not known yet; too long for keyframes alone
        assert most_sub_stream_pixels_s(full_hd, gop_s, look_every_s=2) == math.inf


def test_a_refused_sub_stream_is_asked_for_ever_more_rarely() -> None:
    waits = [retry_delay_s(failures, 1.0, first_s=5.0, longest_s=300.0) for failures in (1, 2, 3, 7, 60)]
    assert waits == [5, 10, 20, 300, 300]


def test_the_thread_of_a_sub_stream_ends_while_it_waits() -> None:
    settings = CameraSettings(name="gate", host="127.0.0.1", port=1, path="/main", sub_path="/sub")
    assert settings.sub_address is not None
    thread = SubStreamThread(settings, settings.sub_address, SubStreamWatch(settings.motion))
    thread.start()
    thread.end()
    thread.join(5)
    assert not thread.is_alive()


def test_a_sub_stream_that_is_the_main_stream_is_refused() -> None:
    with pytest.raises(ValidationError, match="sub_path is the same as path, it must be that of another"):
        CameraSettings(name="gate", host="192.0.2.1", path="/main", sub_path="/main")
