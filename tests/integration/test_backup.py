"""The Backup Manager against a whole DVR of 16 channels, a burnt CPU, a full disk, and what kills it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from fakes.fake_dvr import FakeDvr, Footage, running
from small_disk import small_disk, why_not
from unit.node.backup_site import FPS, PASSWORD, Site, backend, dvr_with, end, footage, wait_for


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"))


@pytest.fixture(scope="module")
def as_h265(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"), "libx265")


def pictures_of(path: Path) -> tuple[str, int]:
    """Return the codec and how many pictures decode, all of them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, sum(1 for _ in container.decode(stream))


@pytest.mark.parametrize("vendor", ["dahua", "hikvision"])
def test_of_16_channels_the_good_ones_are_whole_and_each_bad_one_has_its_cause(
    tmp_path: Path, shown: Footage, as_h265: Footage, vendor: str
) -> None:
    channels = {(number, False): shown if number % 2 else as_h265 for number in range(1, 17) if number != 5}
    faults = {"refuse": {3: 401}, "stall_after_s": {7: 1.5}, "drop_after_s": {9: 2.0}}
    dvr = FakeDvr(channels, "admin", PASSWORD, vendor, **faults)  # type: ignore[arg-type]
    with running(dvr) as port, backend() as hub:
        site = Site.at(
            tmp_path,
            port,
            RTSP_VENDOR=vendor,
            CHANNELS="16",
            VIDEO_DURATION="4",
            BACKEND_ENDPOINT=hub.url,
            MAX_RETRIES=1,
        )
        ended = site.run("--json")
    assert ended.code == 1
    found = {channel["channel"]: channel for channel in ended.result["results"]}
    bad = {
        number: (channel["error"]["cause"], channel["attempts"])
        for number, channel in found.items()
        if channel["outcome"] != "recorded"
    }
    lost = ("camera_lost", 2)
    assert bad == {3: ("auth_failed", 1), 5: ("not_found", 1), 7: lost, 9: lost}
    for number in sorted(found.keys() - bad.keys()):
        (file,) = site.files(str(number))
        codec, count = pictures_of(file)
        assert codec == ("h264" if number % 2 else "hevc")
        assert count == pytest.approx(4 * FPS, abs=1)
    assert [len(site.files(f"{number}-invalid")) for number in (3, 5, 7, 9)] == [0, 0, 2, 2]
    assert site.events().count("backup_channel_recorded") == 12
    assert site.events().count("backup_channel_failed") == 4
    told = {report["channel"]: report["outcome"] for report in hub.of_kind("backup_channel")}
    assert told == {number: channel["outcome"] for number, channel in found.items()}
    (run,) = hub.of_kind("backup_run")
    assert (run["recorded"], run["failed"], run["exit_code"]) == (12, 4, 1)


@pytest.fixture
def burnt_cpu() -> Iterator[None]:
    """Keep all cores busy."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.mark.usefixtures("burnt_cpu")
def test_on_a_burnt_cpu_the_values_move_and_the_recordings_are_still_whole(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 6)) as port:
        site = Site.at(tmp_path, port, CHANNELS="6", VIDEO_DURATION="3", MAX_RETRIES="3")
        ended = site.run("--json", command=[sys.executable, "-m", "cllmh_node", "backup"])
    assert ended.code == 0, ended.said
    assert ended.result["recorded"] == 6
    assert "more than 60 %: fewer at a time and more patience" in ended.said
    values = dict(
        pair.split("=") for pair in site.log().split("event=backup_dynamic_loaded ")[1].split(" msg=")[0].split()
    )
    assert int(values["channels"]) < 32
    assert int(values["pause_s"]) > 1
    assert int(values["retries"]) > 3
    assert all(pictures_of(file)[1] == pytest.approx(3 * FPS, abs=1) for file in site.files())


def test_reports_wait_for_a_backend_that_is_away_and_come_once(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port, backend() as hub:
        hub.status = 503
        site = Site.at(tmp_path, port, CHANNELS="1", BACKEND_ENDPOINT=hub.url)
        assert site.run().code == 0
        waiting = sorted(site.backups.glob(".spool/*.json"))
        kept = {json.loads(path.read_text(encoding="utf-8"))["id"] for path in waiting}
        assert len(kept) == 2
        assert hub.taken == []
        hub.status = 202
        assert site.run().code == 0
        keys = [key for key, _report in hub.taken]
        assert len(keys) == len(set(keys)) == 4
        assert set(keys[:2]) == kept
        assert sorted(site.backups.glob(".spool/*.json")) == []


def test_what_a_killed_run_left_is_kept_aside(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", VIDEO_DURATION="600")
        process = site.start()
        wait_for(lambda: any(path.stat().st_size > 60_000 for path in site.backups.glob(".part/1/*/*.mp4")))
        end(process, signal.SIGKILL)
        site.variables["VIDEO_DURATION"] = "1"
        # Its processes end with it, or the folder would still be written to.
        wait_for(lambda: not any(connection for connection in _writers(site.backups)))
        assert site.run().code == 0
    assert "event=backup_recovered" in site.log()
    (kept,) = site.files("1-invalid")
    with av.open(str(kept)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) > 10


def _writers(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith(f"{folder}/.part"):
            found.append(target)
    return found


def test_a_killed_process_costs_its_batch_a_second_try_and_not_the_run(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 2)) as port:
        site = Site.at(tmp_path, port, VIDEO_DURATION="3")
        process = site.start("--json")
        wait_for(lambda: len(list(site.backups.glob(".part/*/*/*.mp4"))) == 2)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(children[0]), signal.SIGKILL)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert json.loads(out)["recorded"] == 2
    assert "backup_worker_died" in site.events()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_disk_that_fills_up_while_recording_is_told_as_such(tmp_path: Path, shown: Footage) -> None:
    with small_disk(tmp_path, 8 * 1024**2) as disk, running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", VIDEO_DURATION="60", MAX_RETRIES="3", EXPECTED_KBPS="1")
        site.variables["BACKUP_DIR"] = str(disk.path / "backup")
        (disk.path / "filler").write_bytes(b"x" * (os.statvfs(disk.path).f_bavail * 1024 - 300_000))
        ended = site.run("--json")
    assert ended.code == 1
    (channel,) = ended.result["results"]
    assert (channel["error"]["cause"], channel["attempts"]) == ("disk", 1)
    assert "No space left on device" in ended.said


def test_with_loop_it_runs_again_until_sigterm_which_is_no_failure(tmp_path: Path, shown: Footage) -> None:
    with running(dvr_with(shown, 1)) as port:
        site = Site.at(tmp_path, port, CHANNELS="1", VIDEO_DURATION="1", LOOP="true")
        process = site.start()
        wait_for(lambda: len(site.files("1")) >= 2)
        ended, seconds = end(process)
    assert (ended.code, seconds < 5) == (0, True)
    assert site.events().count("backup_started") >= 2
