"""The recorder as it runs, on a disk that is pulled out and mounted again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.footage import small
from bench.harness import VTEST
from bench.processes import Recorder, SourceProcess, camera, stopping, wait_for
from small_disk import SmallDisk, small_disk, why_not

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.skipif(
        not VTEST.exists() or shutil.which("ffmpeg") is None,
        reason="the footage needs ffmpeg and opencv-doc: apt-get install ffmpeg opencv-doc",
    ),
]
NAMES = ("gate", "yard")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, 64 * 1024**2) as disk:
        yield disk


def test_when_the_disk_is_back_recording_goes_on_without_a_restart(disk: SmallDisk, tmp_path: Path) -> None:
    source = SourceProcess(tmp_path / "source", {name: {"plan": [[str(small(True)), 1]], "fps": 10} for name in NAMES})
    cameras = [camera(name, source.port, mode="continuous", max_clip_s=10) for name in NAMES]
    root = disk.path / "recordings"
    recorder = Recorder(tmp_path / "recorder", cameras, recordings_dir=str(root), processes=2)

    def gaps(*, ended: bool) -> bool:
        found = [gap for gap in recorder.rows("gaps") if gap["cause"] == "disk" and (gap["end"] is not None) is ended]
        return {gap["camera"] for gap in found} == set(NAMES)

    def causes() -> set[str | None]:
        return {(camera["error"] or {}).get("cause") for camera in recorder.status()["cameras"].values()}

    with stopping(source, recorder):
        process = recorder.start()
        wait_for(lambda: len(recorder.log_lines("clip_closed")) >= len(NAMES) or None, 40, "clips")
        disk.break_off()
        disk.unmount(lazily=True)
        wait_for(lambda: gaps(ended=False), 60, "a gap of each camera")
        wait_for(lambda: recorder.log_lines("disk_failed"), 5, "the alarm")
        assert list(disk.path.iterdir()) == [], "nothing is written below"
        wait_for(lambda: causes() == {"disk"}, 10, "the cameras' state to say so")
        disk.mount()
        wait_for(lambda: gaps(ended=True), 60, "the gaps' ends")
        wait_for(lambda: recorder.log_lines("disk_returned"), 5, "the end of the alarm")
        assert process.poll() is None
    assert len(recorder.log_lines("disk_failed")) == 1
    assert len(recorder.log_lines("clip_write_failed")) == len(NAMES)
    assert recorder.log_lines("shard_ended") == []
    files = {str(path) for path in root.glob("*/*/*.mp4") if path.stat().st_size}
    assert files == {clip["path"] for clip in recorder.rows("clips")}
