"""Continuous recording, events that become one clip, clocks that are set, and the account of a camera's time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from cllmh_node.clips.coverage import read_coverage
from cllmh_node.clips.index import ClipIndex, ClipRow, Mode, read_clips, read_gaps
from cllmh_node.recorder.camera_thread import CameraThread
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.states import CameraState
from cllmh_node.recorder.time_line import StepDetector
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError
from unit.node.scenes import BEGINS_AT, FPS, Camera, Walk, encode, play, playable_seconds


class Recorder:
    """One camera's pipeline over a folder."""

    def __init__(self, folder: Path, mode_at: Callable[[float], Mode] | None = None, **settings: Any) -> None:
        self.recordings = folder / "recordings"
        self.index = folder / "index.db"
        self.settings = CameraSettings(name="gate", host="192.0.2.1", path="/", **settings)
        self.ledger = Ledger(ClipIndex(self.index), None)
        self.pipeline = CameraPipeline(self.settings, self.recordings, self.ledger, mode_at=mode_at)

    def feed(self, frames: Iterator[EncodedFrame]) -> None:
        for frame in frames:
            self.pipeline.mode(frame.at)
            self.pipeline.feed(frame)

    @property
    def clips(self) -> list[ClipRow]:
        return list(read_clips(self.index))

    @property
    def kinds(self) -> list[str]:
        return [stretch.kind for stretch in read_coverage(self.index, now=BEGINS_AT + 1000)]


def frames_in(recorder: Recorder) -> int:
    count = 0
    for clip in recorder.clips:
        with av.open(str(recorder.recordings / clip.path)) as container:
            count += sum(1 for _ in container.decode(video=0))
    return count


def record(recorder: Recorder, path: Path) -> None:
    camera = Camera(path)
    recorder.pipeline.connected(camera.info)
    recorder.feed(camera.frames())
    recorder.pipeline.stop()


def test_continuous_recording_is_cut_without_losing_a_frame(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, mode="continuous", max_clip_s=10)
    record(recorder, encode(tmp_path / "scene.mp4", play(45)))
    assert len(recorder.clips) == 5
    assert {clip.importance for clip in recorder.clips} == {"continuous"}
    assert frames_in(recorder) == 45 * FPS
    for earlier, later in pairwise(recorder.clips):
        assert later.start == pytest.approx(earlier.end, abs=0.002)
    assert recorder.kinds == ["clip"]


def test_what_moves_during_continuous_recording_is_kept_longer_than_the_rest(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, mode="continuous", max_clip_s=600, merge_gap_s=0)
    record(recorder, encode(tmp_path / "scene.mp4", play(50, Walk(20, 26))))
    assert [clip.importance for clip in recorder.clips] == ["motion", "continuous"]
    assert recorder.clips[0].end - BEGINS_AT == pytest.approx(26 + 5, abs=3)
    assert recorder.clips[0].peak_score
    assert frames_in(recorder) == 50 * FPS


def test_two_visits_that_are_close_are_one_clip_and_two_that_are_not_are_two(tmp_path: Path) -> None:
    scene = encode(tmp_path / "scene.mp4", play(60, Walk(15, 20), Walk(33, 38)))
    apart, together = Recorder(tmp_path / "a", merge_gap_s=5), Recorder(tmp_path / "b", merge_gap_s=20)
    record(apart, scene)
    record(together, scene)
    assert len(apart.clips) == 2
    (clip,) = together.clips
    seconds = clip.end - clip.start
    assert seconds > 38 - 15 + 5
    assert frames_in(together) == pytest.approx(seconds * FPS, abs=1)  # with all that came between them
    assert playable_seconds(together.recordings / clip.path) == pytest.approx(seconds, abs=0.2)


def test_a_visit_that_nobody_follows_has_its_post_roll_and_no_more(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, merge_gap_s=30)
    record(recorder, encode(tmp_path / "scene.mp4", play(45, Walk(15, 20))))
    (clip,) = recorder.clips
    assert clip.end - BEGINS_AT <= 20 + 5 + 3


def test_the_schedule_switches_from_continuous_to_motion_to_off(tmp_path: Path) -> None:
    def mode_at(at: float) -> Mode:
        return "continuous" if at < BEGINS_AT + 15 else "motion"

    recorder = Recorder(tmp_path, mode_at)
    record(recorder, encode(tmp_path / "scene.mp4", play(40)))
    (clip,) = recorder.clips
    assert clip.end - BEGINS_AT == pytest.approx(15, abs=1.1)
    assert recorder.kinds == ["clip", "quiet"]
    recorder.pipeline.off()
    assert recorder.pipeline.status.state is CameraState.OFF
    assert not recorder.pipeline.is_writing


@pytest.mark.parametrize("step_s", [-20.0, -600.0, 600.0])
def test_no_two_clips_overlap_when_the_clock_is_set(tmp_path: Path, step_s: float) -> None:
    scene = encode(tmp_path / "scene.mp4", play(20))
    recorder = Recorder(tmp_path, mode="continuous")
    camera = Camera(scene)
    recorder.pipeline.connected(camera.info)
    recorder.feed(camera.frames())
    recorder.pipeline.lost(CameraError("clock", "set"))
    camera = Camera(scene)
    recorder.pipeline.connected(camera.info)
    recorder.feed(replace(frame, at=frame.at + 21 + step_s) for frame in camera.frames())
    recorder.pipeline.stop()
    first, second = recorder.clips
    assert first.end <= second.start
    assert second.end - second.start == pytest.approx(20, abs=0.1)
    (gap,) = read_gaps(recorder.index)
    assert gap.cause == "clock"
    assert gap.end is not None
    assert first.end <= gap.start <= gap.end <= second.start
    assert "unknown" not in recorder.kinds


def test_a_recorder_that_was_killed_in_the_midst_of_a_visit_records_on_at_once(tmp_path: Path) -> None:
    scene = encode(tmp_path / "scene.mp4", play(40))
    recorder = Recorder(tmp_path)
    recorder.pipeline = CameraPipeline(
        recorder.settings, recorder.recordings, recorder.ledger, watched_until=BEGINS_AT - 3, was_recording=True
    )
    record(recorder, scene)
    assert recorder.clips[0].start == pytest.approx(BEGINS_AT)
    assert recorder.clips[0].end - BEGINS_AT < 20  # nothing moves: the clip ends
    assert recorder.kinds[:2] == ["gap", "clip"]


def test_a_camera_that_is_lost_and_back_leaves_no_second_unaccounted(tmp_path: Path) -> None:
    scene = encode(tmp_path / "scene.mp4", play(30, Walk(15, 20)))
    recorder = Recorder(tmp_path)
    for start in (0.0, 37.0):
        camera = Camera(scene)
        recorder.pipeline.connected(camera.info)
        recorder.feed(replace(frame, at=frame.at + start) for frame in camera.frames())
        recorder.pipeline.lost(CameraError("camera_lost", "gone"))
        recorder.pipeline.lost(CameraError("network", "gone"))
    assert "unknown" not in recorder.kinds
    assert recorder.kinds.count("gap") == 1 + 1
    assert [gap.cause for gap in read_gaps(recorder.index)] == ["camera_lost", "camera_lost"]


def test_under_overload_fewer_keyframes_are_looked_at_and_the_clip_is_whole_all_the_same(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, pre_roll_s=10)
    recorder.pipeline.stride = 4
    record(recorder, encode(tmp_path / "scene.mp4", play(70, Walk(40, 52))))
    (clip,) = recorder.clips
    assert clip.start - BEGINS_AT <= 40
    assert clip.end - BEGINS_AT >= 52
    assert frames_in(recorder) == pytest.approx((clip.end - clip.start) * FPS, abs=1)
    assert recorder.pipeline.counters.frames == 70 * FPS
    assert recorder.pipeline.counters.looked_at < 40


def test_a_camera_that_goes_off_while_it_is_lost_has_no_gap_for_the_time_it_is_off(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.pipeline.lost(CameraError("camera_lost", "gone"))
    recorder.pipeline.off()
    (gap,) = read_gaps(recorder.index)
    assert gap.end is not None
    recorder.pipeline.stop()
    assert "unknown" not in recorder.kinds


class PlayedSession(contextlib.AbstractContextManager["PlayedSession"]):
    """A session in which a file is played."""

    def __init__(self, scene: Path) -> None:
        self._camera = Camera(scene)
        self.info = self._camera.info
        self.dropped_audio = None
        self.is_silent = False

    def __exit__(self, *_: object) -> None:
        """End."""

    def played(self) -> Iterator[EncodedFrame]:
        return self._camera.frames()


def test_a_clock_that_is_set_is_one_gap_that_says_so_and_the_camera_is_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = encode(tmp_path / "scene.mp4", play(10))
    recorder = Recorder(tmp_path)
    stopping = threading.Event()
    steps = iter([0.0] * 50 + [-3600.0] + [0.0] * 40)
    sessions = []

    class Session(PlayedSession):
        def __init__(self, *_: object, with_audio: bool) -> None:
            assert with_audio
            super().__init__(scene)
            sessions.append(self)

        def frames(self, _: object) -> Iterator[EncodedFrame]:
            yield from self.played()
            stopping.set()

    monkeypatch.setattr("cllmh_node.recorder.camera_thread.RtspSession", Session)
    monkeypatch.setattr(StepDetector, "step_s", lambda _: next(steps, 0.0))
    thread = CameraThread(recorder.settings, recorder.pipeline, stopping)
    thread.start()
    thread.join(20)
    assert len(sessions) == 2
    (gap,) = read_gaps(recorder.index)
    assert gap.cause == "clock"
    assert gap.start == pytest.approx(BEGINS_AT + 4.9)
    assert gap.end is not None


@pytest.mark.parametrize(("is_silent", "cause"), [(False, "overload"), (True, "camera_lost")])
def test_a_session_whose_frames_were_read_late_ended_for_that_unless_the_camera_had_fallen_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_silent: bool, cause: str
) -> None:
    scene = encode(tmp_path / "scene.mp4", play(3))
    recorder = Recorder(tmp_path)
    stopping = threading.Event()
    sessions: list[PlayedSession] = []

    class Session(PlayedSession):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(scene)  # of long ago: each frame is read late
            sessions.append(self)

        def frames(self, _: object) -> Iterator[EncodedFrame]:
            if len(sessions) == 2:
                stopping.set()
                return
            yield from self.played()
            self.is_silent = is_silent
            raise CameraError("camera_lost", "no picture")

    monkeypatch.setattr("cllmh_node.recorder.camera_thread.RtspSession", Session)
    thread = CameraThread(recorder.settings, recorder.pipeline, stopping)
    thread.start()
    thread.join(20)
    (gap,) = read_gaps(recorder.index)
    assert gap.cause == cause
