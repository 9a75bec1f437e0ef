"""A disk that is full, breaks, turns read-only or is not mounted: what the recorder then loses, deletes and says."""

import errno
import logging
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from cllmh_node.clips.coverage import read_coverage
from cllmh_node.clips.file import ClipFile
from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, SpanRow, read_clips, read_gaps, read_spans
from cllmh_node.clips.naming import clip_path
from cllmh_node.config import ConfigError
from cllmh_node.recorder.disk import Disk
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.room import LEAST_RESERVE_BYTES, RESERVE_S, RoomMaker
from cllmh_node.recorder.settings import CameraSettings, RecorderConfig
from cllmh_node.recorder.startup import prepare
from cllmh_node.recordings import MARKER, BusyError, Root, Space
from cllmh_node.retention import Policy
from cllmh_node.rtsp.frame import EncodedFrame
from small_disk import SmallDisk, small_disk, why_not
from unit.node.scenes import BEGINS_AT, FPS, Camera, Walk, encode, play

needs_mounts = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
POLICY = Policy(max_used_percent=None, min_age_s=60.0)


class Recorder:
    """One camera that is recorded all the time into a folder, and what keeps room for it; all in this thread."""

    def __init__(
        self, root: Path, state: Path, policy: Policy = POLICY, mount_point: Path | None = None, **settings: Any
    ) -> None:
        self.root = root
        self.index = state / "index.db"
        (root / MARKER).touch()
        camera = CameraSettings(name="gate", host="192.0.2.1", path="/", **{"mode": "continuous", **settings})
        self.disk = Disk(root, mount_point)
        self.ledger = Ledger(ClipIndex(self.index), None)
        self.pipeline = CameraPipeline(camera, root, self.ledger, disk=self.disk)
        self.room = RoomMaker(self.disk, root, self.index, policy, None, reserve_bytes=0)

    def feed(self, frames: Iterable[EncodedFrame]) -> None:
        for frame in frames:
            self.pipeline.feed(frame)
            if self.disk.wants_room:
                self.room.tick()

    def old_clip(self, age_s: float, importance: Any, size_bytes: int) -> str:
        start = BEGINS_AT - age_s
        path = clip_path("yard", start)
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"v" * size_bytes)
        self.ledger.clip_closed(ClipRow("yard", str(path), start, start + 10, size_bytes, importance))
        return str(path)

    @property
    def clips(self) -> list[ClipRow]:
        return [clip for clip in read_clips(self.index) if clip.camera == "gate"]

    @property
    def gaps(self) -> list[GapRow]:
        return list(read_gaps(self.index))

    def frames_kept(self) -> int:
        count = 0
        for clip in self.clips:
            with av.open(str(self.root / clip.path)) as container:
                count += sum(1 for _ in container.decode(video=0))
        return count

    def kinds(self) -> list[str]:
        told = read_coverage(self.index, cameras=["gate"], now=BEGINS_AT + 1000)
        return [stretch.kind if stretch.cause is None else f"gap {stretch.cause}" for stretch in told]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, 24 * 1024**2) as disk:
        (disk.path / "recordings").mkdir()
        yield disk


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("film") / "scene.mp4", play(40, Walk(10, 30)))


def fill(root: Path, left_bytes: int) -> Path:
    """Take all but so many bytes of the disk, as another program does."""
    ballast = root / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, Space.of(root).free_bytes - left_bytes))
    return ballast


def seconds(frames: Iterator[EncodedFrame], count: float) -> list[EncodedFrame]:
    return [frame for _, frame in zip(range(round(count * FPS)), frames, strict=False)]


@needs_mounts
def test_on_a_full_disk_the_least_important_goes_and_no_frame_is_lost(
    disk: SmallDisk, tmp_path: Path, film: Path
) -> None:
    recorder = Recorder(disk.path / "recordings", tmp_path, max_clip_s=10)
    pinned = recorder.old_clip(9000, "pinned", 1_000_000)
    person = recorder.old_clip(8000, "object", 1_000_000)
    dull = [recorder.old_clip(age_s, "continuous", 1_000_000) for age_s in range(7900, 7000, -100)]
    fill(recorder.root, 100_000)
    camera = Camera(film)
    recorder.pipeline.connected(camera.info)
    recorder.feed(camera.frames())
    recorder.pipeline.stop()
    assert recorder.frames_kept() == 40 * FPS
    assert recorder.kinds() == ["clip"]
    assert (recorder.root / pinned).exists()
    assert (recorder.root / person).exists()
    gone = [not (recorder.root / path).exists() for path in dull]
    assert gone == sorted(gone, reverse=True), "the oldest goes first"
    assert 4 <= sum(gone) < len(dull)


@needs_mounts
def test_when_nothing_may_go_it_is_a_gap_until_there_is_room(
    disk: SmallDisk, tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cllmh_node.clips.file.PATIENCE_S", -1.0)
    recorder = Recorder(disk.path / "recordings", tmp_path)
    pinned = recorder.old_clip(9000, "pinned", 1_000_000)
    ballast = fill(recorder.root, 30_000)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    with caplog.at_level(logging.INFO):
        recorder.feed(seconds(frames, 15))
        assert recorder.pipeline.status.error_cause == "disk"
        assert [gap.end for gap in recorder.gaps] == [None]
        recorder.feed(seconds(frames, 5))
        ballast.unlink()
        recorder.room.tick()
        recorder.feed(frames)
    recorder.pipeline.stop()
    assert (recorder.root / pinned).exists()
    assert recorder.pipeline.status.error_cause is None
    assert recorder.kinds()[-1] == "clip"
    assert [gap.cause for gap in recorder.gaps if gap.end is not None] == ["disk"]
    messages = [record.message for record in caplog.records]
    assert messages.count("clip_write_failed") == 1
    assert messages.count("disk_short") == 1


@needs_mounts
def test_a_disk_that_breaks_is_a_gap_and_recording_goes_on_when_it_is_back(
    disk: SmallDisk, tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cllmh_node.clips.file.LATEST_SYNC_S", 0.0)  # frames come faster here than from a camera
    recorder = Recorder(disk.path / "recordings", tmp_path)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    with caplog.at_level(logging.INFO):
        recorder.feed(seconds(frames, 10))
        disk.break_off()
        recorder.feed(seconds(frames, 3))
        recorder.room.tick()
        assert "Input/output error" in str(recorder.disk.problem)
        recorder.feed(seconds(frames, 12))
        assert recorder.pipeline.status.error_cause == "disk"
        disk.unmount()  # not lazily: no file of it is open any more
        disk.mount()
        recorder.room.tick()
        recorder.feed(frames)
    recorder.pipeline.stop()
    first, last = recorder.clips
    (gap,) = recorder.gaps
    assert gap.cause == "disk"
    assert 7 < first.end - first.start <= 10, "as far as it was surely on the disk"
    assert first.end <= gap.start <= first.end + 0.01, "and nothing between clip and gap"
    assert gap.end == pytest.approx(last.start)
    assert recorder.kinds() == ["clip", "gap disk", "clip"]
    assert last.end == pytest.approx(BEGINS_AT + 40, abs=0.2)
    assert [record.message for record in caplog.records].count("clip_write_failed") == 1


@needs_mounts
def test_a_clip_that_broke_off_at_once_is_written_whole_when_the_disk_is_back(
    disk: SmallDisk, tmp_path: Path, film: Path
) -> None:
    recorder = Recorder(disk.path / "recordings", tmp_path)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    recorder.feed(seconds(frames, 1))  # not a fragment of it is written yet
    subprocess.run(["sync", "--file-system", str(disk.path)], check=True)
    disk.break_off()
    recorder.feed(seconds(frames, 3))
    recorder.room.tick()
    disk.unmount()
    disk.mount()
    recorder.room.tick()
    recorder.feed(frames)
    recorder.pipeline.stop()
    assert recorder.frames_kept() == 40 * FPS
    assert recorder.kinds() == ["clip"]


@needs_mounts
@pytest.mark.parametrize("with_marker_below", [False, True])
def test_nothing_is_written_below_an_unmounted_disk(
    disk: SmallDisk, tmp_path: Path, film: Path, with_marker_below: bool
) -> None:
    disk.unmount()
    below = disk.path / "recordings"
    if with_marker_below:  # then only `mount_point` tells the two folders apart
        below.mkdir()
        (below / MARKER).touch()
    before = sorted(disk.path.rglob("*"))
    disk.mount()
    recorder = Recorder(below, tmp_path, mount_point=disk.path if with_marker_below else None)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    recorder.feed(seconds(frames, 10))
    disk.unmount(lazily=True)
    recorder.room.tick()
    recorder.feed(seconds(frames, 15))
    recorder.room.tick()
    assert sorted(disk.path.rglob("*")) == before
    disk.mount()
    recorder.room.tick()
    recorder.feed(frames)
    recorder.pipeline.stop()
    assert recorder.kinds() == ["clip", "gap disk", "clip"] or recorder.kinds() == ["clip"], "the ring may bridge it"
    assert [gap.cause for gap in recorder.gaps] == ["disk"]
    assert all((recorder.root / clip.path).exists() for clip in recorder.clips)
    for earlier, later in pairwise(recorder.clips):
        assert later.start >= earlier.end


@needs_mounts
def test_no_clip_begins_below_a_disk_that_was_unmounted_a_moment_ago(
    disk: SmallDisk, tmp_path: Path, film: Path
) -> None:
    recorder = Recorder(disk.path / "recordings", tmp_path, max_clip_s=10)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    recorder.feed(seconds(frames, 9))
    disk.unmount(lazily=True)
    recorder.feed(seconds(frames, 3))  # nobody has looked at the disk since
    assert list(disk.path.iterdir()) == []
    assert [gap.cause for gap in recorder.gaps] == ["disk"]


def test_a_disk_that_turns_read_only_is_asked_again_by_one_file_and_not_by_each_packet(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    recorder = Recorder(root, tmp_path)
    opened, is_read_only = os.open, False
    asked: list[str] = []

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if is_read_only and flags & os.O_CREAT and str(path).startswith(str(root)):
            asked.append(str(path))
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *args, **kwargs)

    written = ClipFile.write

    def refuse_write(file: ClipFile, data: bytes) -> int:
        if is_read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return written(file, data)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(ClipFile, "write", refuse_write)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    recorder.feed(seconds(frames, 5))
    is_read_only = True
    with caplog.at_level(logging.INFO):
        recorder.feed(seconds(frames, 2))
        recorder.room.tick()
        recorder.feed(seconds(frames, 13))
    assert len(asked) == 1
    assert recorder.disk.problem == f"{root}: Read-only file system"
    assert [record.message for record in caplog.records].count("clip_write_failed") == 1
    is_read_only = False
    recorder.room.tick()
    recorder.feed(frames)
    recorder.pipeline.stop()
    assert recorder.disk.problem is None
    assert [gap.end is not None for gap in recorder.gaps] == [True]
    assert recorder.clips[-1].end == pytest.approx(BEGINS_AT + 40, abs=0.2)


def test_a_short_refusal_is_bridged_by_the_ring(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    nothing_may_go = Policy(max_used_percent=None, min_age_s=1e10)
    recorder = Recorder(root, tmp_path, nothing_may_go, max_clip_s=10)
    is_full = False
    made = ClipFile.__init__

    def refuse(file: ClipFile, *args: Any) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        made(file, *args)

    monkeypatch.setattr(ClipFile, "__init__", refuse)
    camera = Camera(film)
    frames = camera.frames()
    recorder.pipeline.connected(camera.info)
    recorder.feed(seconds(frames, 9))
    is_full = True
    recorder.feed(seconds(frames, 6))  # the clip that was to begin at 10 s cannot
    is_full = False
    recorder.feed(frames)
    recorder.pipeline.stop()
    assert recorder.gaps == []
    assert recorder.frames_kept() == 40 * FPS


@needs_mounts
def test_an_index_on_a_broken_disk_is_written_when_the_disk_is_back(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    path = disk.path / "index.db"
    ledger = Ledger(ClipIndex(path), None)
    ledger.spans([SpanRow("gate", 100.0, 101.0, "motion")])
    subprocess.run(["sync", "--file-system", str(disk.path)], check=True)
    disk.break_off()
    with caplog.at_level(logging.INFO):
        for number in range(50):
            ledger.spans([SpanRow("gate", 100.0, 101.0 + number, "motion")])
        ledger.gap_opened(GapRow("gate", 150.0, None, "disk"))
        assert not ledger.is_index_damaged
        disk.unmount(lazily=True)
        ledger.spans([SpanRow("gate", 100.0, 160.0, "motion")])
        assert list(disk.path.iterdir()) == [], "no other index is made below"
        disk.mount()
        ledger.gap_closed(GapRow("gate", 150.0, 170.0, "disk"))
    assert [span.end for span in read_spans(path)] == [160.0]
    assert list(read_gaps(path)) == [GapRow("gate", 150.0, 170.0, "disk")]
    messages = [record.message for record in caplog.records]
    assert (messages.count("index_write_failed"), messages.count("index_written")) == (1, 1)


def test_room_is_made_before_it_is_needed_and_one_pruner_waits_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    recorder = Recorder(root, tmp_path)
    old = recorder.old_clip(9000, "motion", 100_000)
    free = Space.of(root).free_bytes
    monkeypatch.setattr("cllmh_node.recorder.room._BUSY_TRIES", 3)
    recorder.room = RoomMaker(recorder.disk, root, recorder.index, POLICY, None, reserve_bytes=2 * free)
    with Root(root) as other:
        other.lock()
        recorder.room.tick()
        assert (root / old).exists()
    recorder.room.tick()
    assert not (root / old).exists()


def test_a_fault_of_a_kind_nobody_thought_of_is_said_once_and_room_is_made_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopping, looks = threading.Event(), 0
    disk = Disk(tmp_path, needs_marker=False)
    monkeypatch.setattr(disk, "wait_for_news", lambda _: None)
    room = RoomMaker(disk, tmp_path, tmp_path / "index.db", POLICY, None, reserve_bytes=0)

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stopping.set()
        raise ValueError("of a new kind")

    monkeypatch.setattr(disk, "look", look)
    with caplog.at_level(logging.INFO):
        room.run(stopping)
    assert looks == 3
    assert [record.message for record in caplog.records] == ["prune_failed"]
    assert caplog.records[0].cllmh_fields == {"text": "ValueError: of a new kind"}  # type: ignore[attr-defined]


def test_a_recorder_that_is_told_to_stop_does_not_wait_for_another_pruner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    recorder = Recorder(root, tmp_path)
    recorder.old_clip(9000, "motion", 100_000)
    stopping, tries = threading.Event(), 0

    def busy(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        stopping.set()
        raise BusyError("another pruner is at work")

    monkeypatch.setattr("cllmh_node.recorder.room.prune", busy)
    room = RoomMaker(recorder.disk, root, recorder.index, POLICY, None, reserve_bytes=2 * Space.of(root).free_bytes)
    recorder.disk.wake()
    room.run(stopping)
    assert tries == 1


def test_the_reserve_follows_what_the_cameras_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, received = [1000.0], [0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    disk = Disk(tmp_path, needs_marker=False)
    room = RoomMaker(disk, tmp_path, tmp_path / "i", POLICY, None, received_bytes=lambda: received[0])
    large = Space(2 * 10**12, 0, 2 * 10**12, 0.0, 100, 100)
    assert room.reserve_bytes(large) == LEAST_RESERVE_BYTES
    for _ in range(200):
        now[0] += 0.5
        received[0] += 4_000_000
        reserve_bytes = room.reserve_bytes(large)
    assert reserve_bytes == pytest.approx(RESERVE_S * 8_000_000, rel=0.01)
    assert room.reserve_bytes(Space(10**9, 0, 10**9, 0.0, 100, 100)) == 50_000_000


def test_a_recorder_does_not_begin_without_the_mount_and_says_so(tmp_path: Path) -> None:
    camera = {"name": "gate", "host": "192.0.2.1", "path": "/"}
    folder = {"recordings_dir": tmp_path / "disk" / "recordings", "state_dir": tmp_path / "state"}
    config = RecorderConfig.model_validate({**folder, "mount_point": tmp_path / "disk", "cameras": [camera]})
    with pytest.raises(ConfigError, match=r"mount_point: .*/disk: no disk is mounted there"):
        prepare(config)
    assert not (tmp_path / "disk").exists()
    with pytest.raises(ValueError, match="is not below mount_point"):
        RecorderConfig.model_validate({**folder, "mount_point": tmp_path / "other", "cameras": [camera]})
