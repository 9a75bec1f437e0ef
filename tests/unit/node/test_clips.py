"""Clips are readable whatever happens, and the index knows them."""

import contextlib
import os
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import av.error
import pytest

from cllmh_node.clips import file as clip_file
from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, read_clips, read_gaps
from cllmh_node.clips.naming import clip_path, clip_start, iso_time
from cllmh_node.clips.reconcile import mend
from cllmh_node.clips.reconcile import playable_seconds as playable_seconds_of
from cllmh_node.clips.writer import ClipWriter
from cllmh_node.recordings import MARKER
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


@pytest.mark.parametrize(("sync_takes_s", "most_lost_s"), [(0.0, 1.1), (0.3, 4.1)])
def test_a_power_cut_takes_the_fragment_that_grows_and_on_a_slow_disk_a_few_more(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_takes_s: float, most_lost_s: float
) -> None:
    now, synced, syncs = 1000.0, 0, 0

    def sync(handle: int) -> None:
        nonlocal now, synced, syncs
        now += sync_takes_s
        synced = os.fstat(handle).st_size
        syncs += 1

    monkeypatch.setattr(clip_file.os, "fdatasync", sync)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    writer = ClipWriter(tmp_path, "gate", Camera(footage).info, BEGINS_AT)
    survivor = tmp_path / "as_the_disk_has_it.mp4"
    for number, frame in enumerate(islice(Camera(footage).frames(), 110), start=1):
        writer.write(frame)
        now = max(now, 1000.0 + number / 10)
        if number % 10 == 0 and number > 40:
            survivor.write_bytes((tmp_path / writer.path).read_bytes()[:synced])
            assert number / 10 - playable_seconds(survivor) <= most_lost_s
    assert syncs <= (11 if sync_takes_s == 0 else 4)
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


def test_repeated_time_stamps_of_a_camera_do_not_break_the_file(footage: Path, tmp_path: Path) -> None:
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


def test_rows_without_files_go_and_files_whose_row_is_right_are_not_opened(footage: Path, tmp_path: Path) -> None:
    index = ClipIndex(tmp_path / "index.db")
    clip = write(Camera(footage), tmp_path, 12).close()
    known = ClipRow("gate", clip.path.as_posix(), clip.start, clip.end, 1, "object")
    index.add_clip(known)
    index.add_clip(replace(known, path="gate/2026-01-01/20260101T000000.000Z.mp4"))
    assert mend(index, tmp_path, "gate").removed == []  # without the marker it may be another disk
    (tmp_path / MARKER).touch()
    (tmp_path / clip.path).chmod(0)
    done = mend(index, tmp_path, "gate")
    assert (len(done.added), done.removed) == (0, ["gate/2026-01-01/20260101T000000.000Z.mp4"])
    assert list(read_clips(tmp_path / "index.db")) == [known]


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, "header"])
def test_a_file_without_a_single_frame_is_deleted(footage: Path, tmp_path: Path, content: bytes | str) -> None:
    writer = write(Camera(footage), tmp_path, 4)
    path = tmp_path / writer.path
    whole = path.read_bytes()
    writer.close()
    path.write_bytes(content if isinstance(content, bytes) else whole[: whole.index(b"moov") - 4])
    done = mend(ClipIndex(tmp_path / "index.db"), tmp_path, "gate")
    assert done.unplayable == [writer.path.as_posix()]
    assert not path.exists()


def test_the_length_of_a_cut_off_clip_is_what_can_be_decoded_of_it(footage: Path, tmp_path: Path) -> None:
    writer = write(Camera(footage), tmp_path, 10)
    whole = (tmp_path / writer.path).read_bytes()
    writer.close()
    begins = whole.index(b"moof")
    for size in range(begins - 20_000, len(whole), len(whole) // 23):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(whole[:size])
        decoded = 0
        with av.open(str(cut)) as container, contextlib.suppress(av.error.InvalidDataError):
            for _ in container.decode(video=0):
                decoded += 1
        assert playable_seconds_of(cut) == pytest.approx(decoded / 10, abs=0.11), size


def test_a_clip_that_is_being_written_is_left_alone(footage: Path, tmp_path: Path) -> None:
    writer = write(Camera(footage), tmp_path, 10)
    index = ClipIndex(tmp_path / "index.db")
    index.clip_opened("gate", writer.path.as_posix(), "motion")
    assert mend(index, tmp_path, "gate").added == []
    index.clip_ended("gate")
    assert mend(index, tmp_path, "gate", written_before=1.0).added == []
    writer.close()
