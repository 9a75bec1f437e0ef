"""What is decoded, what counts, and what a replay says: from the view of one who tunes a camera."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from bench.scenes import make_scene
from cllmh_node.cli import main
from cllmh_node.motion.background import Background, learn_noise
from cllmh_node.motion.difference import against_background
from cllmh_node.motion.zones import watched
from cllmh_node.recorder.decode_plan import DecodePlan, choose_plan
from cllmh_node.recorder.replay import Replay, replay
from cllmh_node.recorder.replay_report import write_report
from cllmh_node.recorder.settings import CameraSettings
from unit.node.scenes import Walk, encode, play

RIGHT_HALF = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
LEFT_THIRD = [[0.0, 0.0], [0.33, 0.0], [0.33, 1.0], [0.0, 1.0]]


def replayed(video: Path, **motion: object) -> Replay:
    return replay(CameraSettings(name="gate", host="192.0.2.1", path="/", motion=motion), video)


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody crosses the picture from left to right between 18 s and 25 s."""
    return encode(tmp_path_factory.mktemp("scene") / "crossing.mp4", play(35, Walk(18, 25)))


def test_what_moves_outside_the_zones_is_not_recorded(crossing: Path) -> None:
    whole, right = replayed(crossing), replayed(crossing, zones=[RIGHT_HALF])
    assert len(whole.clips) == len(right.clips) == 1
    assert right.clips[0].start_s >= whole.clips[0].start_s + 2
    assert replayed(crossing, zones=[RIGHT_HALF], masks=[RIGHT_HALF]).clips == []


def test_what_moves_for_a_shorter_time_than_asked_for_is_not_recorded(crossing: Path) -> None:
    assert len(replayed(crossing, min_duration_s=4).clips) == 1
    assert replayed(crossing, min_duration_s=9.9).clips == []


def test_a_polygon_covers_its_part_of_the_picture() -> None:
    assert watched((90, 160), [], []).mean() == 1
    assert watched((90, 160), [RIGHT_HALF], []).mean() == pytest.approx(0.5, abs=0.01)
    assert watched((90, 160), [], [LEFT_THIRD]).mean() == pytest.approx(0.67, abs=0.01)


def test_the_cheapest_plan_that_sees_enough_is_chosen() -> None:
    def plan(gop_s: float, *, is_sub_stream: bool = False, is_overloaded: bool = False) -> DecodePlan:
        return choose_plan(gop_s, look_every_s=2, is_sub_stream=is_sub_stream, is_overloaded=is_overloaded)

    assert [plan(gop_s) for gop_s in (1, 2, 4, 10)] == ["keyframes", "keyframes", "dense", "dense"]
    assert plan(2, is_sub_stream=True) is DecodePlan.EVERY_FRAME
    assert plan(10, is_overloaded=True) is DecodePlan.KEYFRAMES
    assert plan(10, is_sub_stream=True, is_overloaded=True) is DecodePlan.KEYFRAMES


def test_a_pixel_that_changes_again_and_again_is_no_motion_any_more() -> None:
    generator = np.random.default_rng(1)
    still = generator.normal(100, 1, (90, 160)).astype(np.float32)
    swung = still.copy()
    swung[10:30, 10:30] += 40
    background = Background(still, np.full_like(still, 2.0), ())
    assert against_background(background, swung, sigmas=5, min_area=0.0012).blobs.any()
    for number in range(60):
        background = learn_noise(background, *((still, swung) if number % 2 else (swung, still)), 2.0)
    assert not against_background(background, swung, sigmas=5, min_area=0.0012).blobs.any()
    elsewhere = still.copy()
    elsewhere[60:80, 100:106] += 40
    assert against_background(background, elsewhere, sigmas=5, min_area=0.0012).blobs.any()


@pytest.mark.parametrize(("name", "seed"), [("small_far_person", 1), ("exposure_ramp", 1), ("rain", 5)])
def test_a_scene_with_exact_truth_is_kept_where_somebody_is_in_it_and_nowhere_else(
    name: str, seed: int, tmp_path: Path
) -> None:
    scene = make_scene(name, tmp_path, seed=seed)
    clips = replayed(scene.path).clips
    for begins_s, ends_s in scene.events:
        assert any(clip.start_s <= begins_s - 2 and clip.end_s >= ends_s for clip in clips)
    assert all(any(clip.start_s < ends and clip.end_s > begins for begins, ends in scene.events) for clip in clips)


def test_who_comes_and_goes_between_two_keyframes_is_found_where_a_look_every_second_is_wanted(tmp_path: Path) -> None:
    visits = [Walk(24.3, 25.1), Walk(44.6, 45.7)]
    video = encode(tmp_path / "visits.mp4", play(60, *visits, noise=1.0), gop_s=2)
    assert replayed(video).clips == []  # neither is in a keyframe
    found = replayed(video, look_every_s=1)
    assert len(found.clips) == 2
    for clip, visit in zip(found.clips, visits, strict=True):
        assert clip.start_s <= visit.begins_s - 2
        assert clip.end_s >= visit.ends_s


def test_of_a_stream_of_keyframes_only_no_more_is_decoded_than_of_one_that_is_decoded_whole_is_compared(
    tmp_path: Path,
) -> None:
    found = replayed(encode(tmp_path / "intra.mp4", play(30, Walk(18, 25)), gop_s=0.1))
    assert len(found.clips) == 1
    assert found.decoded < found.frames / 2


def command_in(folder: Path) -> list[str]:
    config = folder / "recorder.yml"
    camera = {"name": "gate", "host": "192.0.2.1", "path": "/"}
    folders = {"recordings_dir": str(folder / "recordings"), "state_dir": str(folder / "state")}
    config.write_text(yaml.safe_dump({**folders, "cameras": [camera]}))
    return ["replay", "--config", str(config), "--camera", "gate"]


def test_replay_prints_what_would_be_kept_and_draws_it(
    crossing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, missing = tmp_path / "report.html", tmp_path / "missing.mp4"
    command = [*command_in(tmp_path), "--json", "--report", str(report)]
    assert main([*command, str(crossing), str(missing)]) == 1
    printed = capsys.readouterr()
    (clip,) = [json.loads(line) for line in printed.out.splitlines()]
    assert clip["start_s"] <= 18 - 4
    assert clip["end_s"] >= 25 + 4
    assert str(missing) in printed.err
    page = report.read_text()
    assert page.count("<rect class='clip'") == page.count("data:image/jpeg;base64,") == 1
    assert "http" not in page
    assert not (tmp_path / "recordings").exists()


def test_raw_h264_without_time_stamps_is_timed_by_its_frame_rate(crossing: Path, tmp_path: Path) -> None:
    raw = tmp_path / "crossing.h264"
    with av.open(str(crossing)) as source, av.open(str(raw), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    whole, bare = replayed(crossing), replayed(raw)
    assert bare.frames == whole.frames
    (clip,) = bare.clips
    assert clip.start_s == pytest.approx(whole.clips[0].start_s, abs=1)
    assert clip.end_s == pytest.approx(whole.clips[0].end_s, abs=1)


def test_a_file_that_is_damaged_for_a_while_is_replayed_to_its_end(crossing: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(crossing.read_bytes())
    with av.open(str(crossing)) as source:
        for packet in source.demux(video=0):
            if packet.size and packet.pos is not None and 20 <= float(packet.pts * packet.time_base) * 10 < 150:
                content[packet.pos + 8 : packet.pos + packet.size] = bytes(packet.size - 8)
    damaged.write_bytes(content)
    found = replayed(damaged)
    assert found.frames == replayed(crossing).frames
    assert any(clip.start_s < 18 and clip.end_s > 25 for clip in found.clips)


def test_the_report_of_a_damaged_file_lacks_the_picture_alone(crossing: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    content = crossing.read_bytes()
    begins = content.index(b"mdat") + 4
    ends = content.index(b"moov", begins) - 4
    damaged.write_bytes(content[:begins] + b"\xff" * (ends - begins) + content[ends:])
    report = tmp_path / "report.html"
    settings = CameraSettings(name="gate", host="192.0.2.1", path="/")
    write_report(report, settings, [replace(replayed(crossing), video=damaged)])
    page = report.read_text()
    assert page.count("<figcaption>") == 1
    assert "data:image" not in page


def test_what_is_no_video_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("a text, no video")
    assert main([*command_in(tmp_path), str(text)]) == 1
    assert capsys.readouterr().err == f"{text}: cannot be replayed: Invalid data found when processing input\n"
