"""Clips are readable whatever happens, and the index knows them."""

from itertools import islice
from pathlib import Path

import av
import pytest

from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, read_clips, read_gaps
from cllmh_node.clips.naming import clip_path, clip_start, iso_time
from cllmh_node.clips.reconcile import mend
from cllmh_node.clips.writer import ClipWriter
from unit.node.scenes import BEGINS_AT, Camera, encode, play, playable_seconds


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("footage") / "scene.mp4", play(12))


def write(camera: Camera, folder: Path, seconds: float) -> ClipWriter:
    writer = ClipWriter(folder, "gate", camera.info, BEGINS_AT)
    for frame in islice(camera.frames(), round(seconds * 10)):
        writer.write(frame)
    return writer


def test_a_clip_is_named_after_its_first_frame_in_utc() -> None:
    path = clip_path("gate", BEGINS_AT + 5.6784)
    assert path.as_posix() == "gate/2026-01-02/20260102T030405.678Z.mp4"
    assert clip_start(path.name) == pytest.approx(BEGINS_AT + 5.678)
    assert clip_start("holiday.mp4") is None


@pytest.mark.parametrize("at", [BEGINS_AT + 0.102, BEGINS_AT + 0.9996, BEGINS_AT + 0.57])
def test_the_name_and_the_written_time_agree_to_the_millisecond(at: float) -> None:
    digits = "".join(character for character in iso_time(at) if character.isdigit())
    assert "".join(character for character in clip_path("gate", at).name if character.isdigit()) == digits + "4"


def test_a_closed_clip_is_a_plain_mp4_that_plays_to_its_end(footage: Path, tmp_path: Path) -> None:
    clip = write(Camera(footage), tmp_path, 12).close()
    path = tmp_path / clip.path
    assert playable_seconds(path) == pytest.approx(12, abs=0.1)
    assert clip.end - clip.start == pytest.approx(12, abs=0.1)
    assert b"moof" in path.read_bytes()  # what it was while it grew
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(12e6, abs=2e5)


def test_a_clip_can_be_played_while_it_is_written(footage: Path, tmp_path: Path) -> None:
    writer = write(Camera(footage), tmp_path, 10)
    assert playable_seconds(tmp_path / writer.path) >= 8
    writer.close()


def test_a_clip_that_was_never_closed_is_readable_and_gets_into_the_index(footage: Path, tmp_path: Path) -> None:
    copy = write(Camera(footage), tmp_path, 10)  # as after kill -9: neither closed nor indexed
    index = ClipIndex(tmp_path / "index.db")
    (added,) = mend(index, tmp_path, "gate").added
    assert added.path == copy.path.as_posix()
    assert added.end - added.start >= 8
    assert mend(index, tmp_path, "gate").added == []
    copy.close()


def test_an_index_that_was_lost_is_rebuilt_from_the_files(footage: Path, tmp_path: Path) -> None:
    clip = write(Camera(footage), tmp_path, 12).close()
    (row,) = mend(ClipIndex(tmp_path / "new.db"), tmp_path, "gate").added
    assert (row.path, row.size_bytes, row.importance) == (clip.path.as_posix(), clip.size_bytes, "motion")
    assert row.start == pytest.approx(clip.start)
    assert row.end == pytest.approx(clip.end, abs=0.1)


def test_files_that_are_not_clips_are_left_alone(tmp_path: Path) -> None:
    day = tmp_path / "gate" / "2026-01-02"
    day.mkdir(parents=True)
    (day / "20260102T030405.678Z.mp4").write_bytes(b"nothing that plays")
    (day / "notes.mp4").write_bytes(b"")
    assert mend(ClipIndex(tmp_path / "index.db"), tmp_path, "gate").added == []
    assert len(list(day.iterdir())) == 2
    assert len(list(day.iterdir())) == 2


def test_repeated_time_stamps_of_a_camera_do_not_break_the_file(footage: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    camera = Camera(footage)
    writer = ClipWriter(tmp_path, "gate", camera.info, BEGINS_AT)
    for number, frame in enumerate(camera.frames()):
        writer.write(
            replace(frame, pts=frame.pts // 2048 * 2048, dts=frame.dts // 2048 * 2048) if number % 7 else frame
        )
    clip = writer.close()
    assert playable_seconds(tmp_path / clip.path) > 11


def test_clips_and_gaps_are_found_by_camera_and_time(tmp_path: Path) -> None:
    index = ClipIndex(tmp_path / "index.db")
    for camera, start in (("gate", 100.0), ("yard", 200.0), ("gate", 300.0)):
        index.add_clip(ClipRow(camera, f"{camera}/{start}", start, start + 10, 5, "motion", 0.02, ("person",)))
    index.open_gap(GapRow("gate", 50.0, None, "camera_lost"))
    path = tmp_path / "index.db"
    assert [clip.start for clip in read_clips(path)] == [100, 200, 300]
    assert [clip.start for clip in read_clips(path, cameras=["gate"], since=110.0)] == [300]
    assert next(read_clips(path)).labels == ("person",)
    assert [gap.cause for gap in read_gaps(path, since=1000.0)] == ["camera_lost"]
    index.close_gap(GapRow("gate", 50.0, 60.0, "camera_lost"))
    assert [gap.end for gap in read_gaps(path)] == [60.0]
    assert list(read_gaps(path, since=60.0)) == []


def test_the_same_clip_is_indexed_once(tmp_path: Path) -> None:
    index = ClipIndex(tmp_path / "index.db")
    clip = ClipRow("gate", "gate/x.mp4", 1.0, 2.0, 5, "motion")
    assert index.add_clip(clip)
    assert not index.add_clip(clip)
