"""What is recorded of a scene: from before somebody comes until after he went, and nothing else."""

import errno
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from cllmh_node.clips.file import ClipFile
from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, read_clips, read_gaps
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.states import CameraState
from cllmh_node.reports import Spool
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError
from unit.node.scenes import BEGINS_AT, Camera, Picture, Walk, encode, play, playable_seconds, room, with_person

VTEST = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
MEDIA = Path(__file__).resolve().parents[4] / "shared/media"


class Recorder:
    """One camera's pipeline over a folder, and what it has written there."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.recordings = folder / "recordings"
        self.index_path = folder / "index.db"
        self.spool = folder / "spool"
        ledger = Ledger(ClipIndex(self.index_path), Spool(self.spool))
        camera = CameraSettings(name="gate", host="192.0.2.1", path="/", **settings)
        self.pipeline = CameraPipeline(camera, self.recordings, ledger)
        self.states: list[CameraState] = []

    def watch(self, camera: Camera) -> "Recorder":
        self.pipeline.connected(camera.info)
        for frame in camera.frames():
            self.pipeline.feed(frame)
            if self.pipeline.status.state not in self.states[-1:]:
                self.states.append(self.pipeline.status.state)
        return self

    def feed(self, frames: list[EncodedFrame]) -> None:
        for frame in frames:
            self.pipeline.feed(frame)

    def stop(self) -> list[ClipRow]:
        self.pipeline.stop()
        return self.clips

    @property
    def clips(self) -> list[ClipRow]:
        return list(read_clips(self.index_path))

    @property
    def gaps(self) -> list[GapRow]:
        return list(read_gaps(self.index_path))

    def reports(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text())["data"] for path in sorted(self.spool.glob(f"*-{kind}-*.json"))]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def scene(folder: Path, seconds: float, *walks: Walk, noise: float = 3.0, gop_s: float = 1.0) -> Camera:
    return Camera(encode(folder / "scene.mp4", play(seconds, *walks, noise=noise), gop_s=gop_s))


@pytest.mark.parametrize("gop_s", [1.0, 2.0])
def test_a_clip_starts_before_somebody_enters_and_plays_until_he_has_gone(
    recorder: Recorder, tmp_path: Path, gop_s: float
) -> None:
    clips = recorder.watch(scene(tmp_path, 40, Walk(18, 25), gop_s=gop_s)).stop()
    assert len(clips) == 1
    clip = clips[0]
    assert 18 - 5 - gop_s - 0.5 <= clip.start - BEGINS_AT <= 18 - 5 + 0.5
    assert 25 + 5 <= clip.end - BEGINS_AT <= 25 + 5 + 2 * gop_s
    path = recorder.recordings / clip.path
    assert playable_seconds(path) == pytest.approx(clip.end - clip.start, abs=0.2)
    assert clip.size_bytes == path.stat().st_size


def test_the_states_follow_each_other(recorder: Recorder, tmp_path: Path) -> None:
    recorder.watch(scene(tmp_path, 40, Walk(18, 25)))
    states = [state for state in recorder.states if state is not CameraState.SUSPICIOUS]
    assert states == ["starting", "quiet", "recording", "post_roll", "quiet"]


def test_the_hub_hears_of_the_clip_and_of_each_state(recorder: Recorder, tmp_path: Path) -> None:
    clip = recorder.watch(scene(tmp_path, 40, Walk(18, 25))).stop()[0]
    (report,) = recorder.reports("clip_closed")
    assert report["path"] == clip.path
    assert report["start"].startswith("2026-01-02T03:04:")
    assert report["importance"] == "motion"
    assert [status["state"] for status in recorder.reports("camera_status")][-1] == "quiet"


@pytest.mark.parametrize("noise", [0.0, 3.0, 8.0])
def test_a_still_scene_is_never_recorded_however_noisy(recorder: Recorder, tmp_path: Path, noise: float) -> None:
    assert recorder.watch(scene(tmp_path, 60, noise=noise)).stop() == []


def test_motion_in_the_post_roll_goes_into_the_same_clip(recorder: Recorder, tmp_path: Path) -> None:
    clips = recorder.watch(scene(tmp_path, 45, Walk(15, 20), Walk(23, 28))).stop()
    assert len(clips) == 1
    assert clips[0].end - BEGINS_AT >= 28 + 5


def test_who_cuts_the_cable_on_coming_is_recorded(recorder: Recorder, tmp_path: Path) -> None:
    recorder.watch(scene(tmp_path, 20.1, Walk(19.8, 22)))
    assert recorder.pipeline.status.state is CameraState.SUSPICIOUS
    recorder.pipeline.lost(CameraError("camera_lost", "it ended the session"))
    (clip,) = recorder.clips
    assert clip.start - BEGINS_AT <= 20 - 5
    assert clip.end - BEGINS_AT >= 20
    assert recorder.stop() == [clip]


def test_two_visits_are_two_clips_that_do_not_overlap(recorder: Recorder, tmp_path: Path) -> None:
    first, second = recorder.watch(scene(tmp_path, 50, Walk(15, 20), Walk(32, 37))).stop()
    assert first.end <= second.start
    assert second.start - BEGINS_AT <= 32 - 5


def test_visits_close_to_each_other_leave_no_hole_between_their_clips(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, pre_roll_s=10, merge_gap_s=0)
    first, second = recorder.watch(scene(tmp_path, 50, Walk(15, 20), Walk(29, 34))).stop()
    assert second.start == pytest.approx(first.end, abs=0.05)


def test_a_long_visit_is_cut_without_a_hole(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, max_clip_s=10)
    clips = recorder.watch(scene(tmp_path, 60, Walk(15, 50))).stop()
    assert len(clips) >= 4
    for earlier, later in pairwise(clips):
        assert later.start == pytest.approx(earlier.end, abs=0.05)


def test_somebody_there_at_the_start_leaves_no_clip_of_the_empty_place(recorder: Recorder, tmp_path: Path) -> None:
    def pictures() -> list[Picture]:
        generator = np.random.default_rng(1)
        shown = [with_person(room(), 100)] * 150 + [room()] * 400
        return [np.clip(picture + generator.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for picture in shown]

    clips = recorder.watch(Camera(encode(tmp_path / "scene.mp4", pictures()))).stop()
    assert sum(clip.end - clip.start for clip in clips) < 20


def test_somebody_who_stands_still_is_recorded_while_he_is_there(tmp_path: Path) -> None:
    walks_in = [with_person(room(), left) for left in range(0, 100, 4)]
    shown = [room()] * 150 + walks_in + [with_person(room(), 100)] * 150 + walks_in[::-1] + [room()] * 150
    generator = np.random.default_rng(1)
    pictures = [np.clip(picture + generator.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for picture in shown]
    clips = Recorder(tmp_path).watch(Camera(encode(tmp_path / "scene.mp4", pictures))).stop()
    assert len(clips) == 1
    assert clips[0].start - BEGINS_AT <= 15 - 4
    assert clips[0].end - BEGINS_AT >= 15 + 2.5 + 15 + 2.5


def test_what_was_left_there_keeps_no_clip_going_while_others_pass_elsewhere(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    shown = [room()] * 150 + [with_person(room(), left) for left in range(300, 240, -4)]
    for number in range(1200):
        left_there = with_person(room(), 240)
        passing = number % 250 - 200
        shown.append(with_person(left_there, 4 * passing) if passing >= 0 else left_there)
    pictures = (np.clip(picture + generator.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for picture in shown)
    recorder = Recorder(tmp_path, merge_gap_s=0)
    clips = recorder.watch(Camera(encode(tmp_path / "scene.mp4", pictures))).stop()
    # Each passes 25 s after the one before him, sooner than what was left is taken for background.
    assert [round(clip.start - BEGINS_AT) for clip in clips] == [9, 56, 81, 106]
    assert clips[0].end - BEGINS_AT < 56


def test_a_camera_that_is_lost_closes_its_clip_and_is_one_gap(recorder: Recorder, tmp_path: Path) -> None:
    recorder.watch(scene(tmp_path, 20, Walk(15, 20)))
    for _ in range(3):
        recorder.pipeline.lost(CameraError("camera_lost", "no picture for 5 s"))
    assert len(recorder.clips) == 1
    (gap,) = recorder.gaps
    assert (gap.cause, gap.end) == ("camera_lost", None)
    assert gap.start == pytest.approx(BEGINS_AT + 19.9)
    assert recorder.pipeline.status.state is CameraState.LOST

    recorder.watch(Camera(tmp_path / "scene.mp4", BEGINS_AT + 60))
    (gap,) = recorder.gaps
    assert gap.end == pytest.approx(BEGINS_AT + 60)
    assert [report["end"] for report in recorder.reports("gap")] == [None, "2026-01-02T03:05:00.000Z"]


def test_a_full_disk_is_a_gap_and_recording_goes_on_when_there_is_room(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ClipFile.write
    refusals = 0

    def refuse(file: ClipFile, data: bytes) -> int:
        nonlocal refusals
        if refusals < 2:
            refusals += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(file, data)

    monkeypatch.setattr(ClipFile, "write", refuse)
    clips = recorder.watch(scene(tmp_path, 60, Walk(15, 45))).stop()
    assert refusals == 2
    assert [gap.cause for gap in recorder.gaps] == ["disk"]
    assert recorder.gaps[0].end is not None
    assert any(playable_seconds(recorder.recordings / clip.path) > 10 for clip in clips)


@pytest.mark.skipif(not VTEST.exists(), reason=f"{VTEST} is missing: apt-get install opencv-doc")
def test_people_walking_in_real_footage_are_recorded(recorder: Recorder, tmp_path: Path) -> None:
    clips = recorder.watch(Camera(encode(tmp_path / "walking.mp4", vtest(300), gop_s=2))).stop()
    assert sum(clip.end - clip.start for clip in clips) > 20


def vtest(count: int) -> list[Picture]:
    with av.open(str(VTEST)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]
    return [half(frame) for frame in frames]


def half(frame: av.VideoFrame) -> Picture:
    size = (frame.width // 4 * 2, frame.height // 4 * 2)
    return np.asarray(cv2.resize(frame.to_ndarray(format="gray"), size, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.skipif(not MEDIA.exists(), reason="the hand-marked clips are not on this machine")
@pytest.mark.parametrize(("name", "most_seconds"), [("one-by-one-person.mp4", 139.4), ("car-detection.mp4", 30.2)])
def test_every_hand_marked_event_is_recorded_from_before_it_begins(
    recorder: Recorder, tmp_path: Path, name: str, most_seconds: float
) -> None:
    truth = json.loads((MEDIA / "truth.json").read_text())[name]["present"]
    with av.open(str(MEDIA / name)) as container:
        fps = round(float(container.streams.video[0].average_rate or 10))
        pictures = [half(frame) for frame in container.decode(video=0)]
    scale = fps / (len(pictures) / most_seconds)
    clips = recorder.watch(Camera(encode(tmp_path / "clip.mp4", pictures, gop_s=1, fps=fps))).stop()
    for begins, ends in truth:
        begins_at, ends_at = BEGINS_AT + begins / scale, BEGINS_AT + ends / scale
        covering = [clip for clip in clips if clip.start < ends_at and clip.end > begins_at]
        assert covering, f"missed the event at {begins} s"
        assert covering[0].start <= begins_at, f"the clip of the event at {begins} s begins late"


def test_a_stream_that_changes_in_mid_visit_goes_on_in_a_new_clip_without_a_hole(
    recorder: Recorder, tmp_path: Path
) -> None:
    before = scene(tmp_path, 20, Walk(14, 30))
    recorder.watch(before)
    after = Camera(encode(tmp_path / "after.mp4", play(20, Walk(0, 6))), BEGINS_AT + 20)
    for frame in after.frames():
        recorder.pipeline.feed(frame)
    first, second = recorder.stop()
    assert second.start == pytest.approx(first.end, abs=0.05)
    assert recorder.gaps == []
    for clip in (first, second):
        path = recorder.recordings / clip.path
        assert playable_seconds(path) == pytest.approx(clip.end - clip.start, abs=0.2)


def test_a_visit_of_which_not_one_gop_fits_into_memory_is_kept_from_the_next_keyframe_and_the_rest_is_a_gap(
    tmp_path: Path,
) -> None:
    recorder = Recorder(tmp_path, ring_max_bytes=1_000_000)
    video = encode(tmp_path / "video.mp4", play(40, Walk(24, 36), noise=12.0), gop_s=10)
    (clip,) = recorder.watch(Camera(video)).stop()
    assert clip.start == pytest.approx(BEGINS_AT + 30, abs=0.2)
    (gap,) = recorder.gaps
    assert gap.cause == "overload"
    assert gap.start <= BEGINS_AT + 24
    assert gap.end == pytest.approx(clip.start, abs=0.01)


def test_what_comes_before_the_first_keyframe_ends_no_gap(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    first, *others = Camera(encode(tmp_path / "video.mp4", play(20), gop_s=10)).frames()
    recorder.pipeline.connected(first.info)
    recorder.feed([first, *others[:80]])
    recorder.pipeline.lost(CameraError("camera_lost", "it ended the session"))
    recorder.pipeline.connected(first.info)
    recorder.feed(others[80:99])
    assert [gap.end for gap in recorder.gaps] == [None]
    recorder.pipeline.feed(others[99])
    assert [gap.end for gap in recorder.gaps] == [pytest.approx(BEGINS_AT + 10, abs=0.01)]


@pytest.mark.parametrize("gop_s", [1.0, 10.0])
def test_a_camera_whose_pictures_cannot_be_decoded_is_lost_and_not_quiet(tmp_path: Path, gop_s: float) -> None:
    recorder = Recorder(tmp_path)
    frames = list(Camera(encode(tmp_path / "video.mp4", play(40), gop_s=gop_s)).frames())
    recorder.pipeline.connected(frames[0].info)
    recorder.feed(frames[:200])
    damaged = [replace(frame, data=frame.data[:8] + bytes(len(frame.data) - 8)) for frame in frames[200:]]
    with pytest.raises(CameraError, match="could not be decoded") as lost:
        recorder.feed(damaged)
    recorder.pipeline.lost(lost.value)
    (gap,) = recorder.gaps
    assert gap.cause == "camera_lost"
    assert gap.start == pytest.approx(BEGINS_AT + 20, abs=1.1)


def test_a_pre_roll_that_did_not_fit_into_memory_is_a_gap_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path, pre_roll_s=20, ring_max_bytes=1_000_000)
    clip = recorder.watch(scene(tmp_path, 40, Walk(25, 32), noise=12.0)).stop()[0]
    (gap,) = recorder.gaps
    assert gap.cause == "overload"
    assert [record.levelname for record in caplog.records if record.message == "ring_too_small"] == ["WARNING"]
    assert gap.start == pytest.approx(BEGINS_AT + 25 - 20, abs=1.5)
    assert gap.end == pytest.approx(clip.start, abs=0.01)


def test_every_frame_that_was_decoded_counts_as_seen_also_between_two_looks(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    camera = Camera(encode(tmp_path / "scene.mp4", play(25), gop_s=10))
    recorder.pipeline.connected(camera.info)
    behind_s = []
    for frame in camera.frames():
        recorder.pipeline.feed(frame)
        span = recorder.pipeline.span
        behind_s.append(frame.at - span.end if span else None)
    assert recorder.pipeline.status.decode_plan == "dense"
    assert set(behind_s) == {0.0}
