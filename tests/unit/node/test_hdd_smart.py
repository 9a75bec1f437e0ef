"""The health of the physical disks is told where they tell it; where not, that is said and is no error."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cllmh_node.cli import main
from cllmh_node.hdd_monitor import smart
from cllmh_node.hdd_monitor.smart import DiskHealth, Smart, ask, disks_below, judge, look, read_smart, write_smart
from unit.hdd_site import Site
from unit.hdd_site import look as look_once

HEALTHY: dict[str, Any] = {
    "smartctl": {"exit_status": 0},
    "model_name": "WDC WD40PURX-64GVNY0",
    "serial_number": "WD-1",
    "smart_status": {"passed": True},
    "temperature": {"current": 38},
    "power_on_time": {"hours": 21043},
    "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 0}}, {"id": 197, "raw": {"value": 2}}]},
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def put_smartctl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of this name before all others."""
    program = folder / "bin" / "smartctl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_healthy_disk_tells_its_figures() -> None:
    assert judge("/dev/sda", HEALTHY) == DiskHealth(
        device="/dev/sda",
        state="ok",
        model="WDC WD40PURX-64GVNY0",
        serial="WD-1",
        temperature_c=38,
        power_on_hours=21043,
        reallocated_sectors=0,
        pending_sectors=2,
    )


def test_a_dying_disk_is_failing() -> None:
    assert judge("/dev/sda", {**HEALTHY, "smart_status": {"passed": False}}).state == "failing"


def test_an_nvme_disk_that_warns_is_failing_though_it_passed() -> None:
    log = {"critical_warning": 4, "percentage_used": 103}
    found = judge("/dev/nvme0n1", {"smart_status": {"passed": True}, "nvme_smart_health_information_log": log})
    assert (found.state, found.wear_percent) == ("failing", 103)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "it has no SMART"),
        ({"smartctl": {"exit_status": 2}}, "the device cannot be opened"),
        (
            {"smartctl": {"messages": [{"string": "/dev/vda: Unable to detect device type"}], "exit_status": 1}},
            "Unable to detect device type",
        ),
        (
            {"smartctl": {"messages": [{"string": "Smartctl open device: /dev/sda failed: Permission denied"}]}},
            "Permission denied",
        ),
        ({"smart_status": [], "smartctl": {"messages": [5, None, {"string": 7}]}, "temperature": "hot"}, "no SMART"),
    ],
)
def test_a_disk_that_cannot_tell_is_unknown_with_the_reason(answer: dict[str, Any], reason: str) -> None:
    found = judge("/dev/vda", answer)
    assert found.state == "unknown"
    assert reason in (found.reason or "")
    assert "/dev/vda" not in (found.reason or "")


def test_without_smartctl_it_is_unknown_and_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert ask("/dev/sda").reason == "smartctl is not installed (package smartmontools)"


def test_what_smartctl_prints_is_read_whatever_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer.json").write_text(json.dumps({**HEALTHY, "smart_status": {"passed": False}}))
    put_smartctl(tmp_path, monkeypatch, f"cat {tmp_path}/answer.json; exit 8")
    assert ask("/dev/sda").state == "failing"


def test_a_smartctl_that_prints_no_json_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_smartctl(tmp_path, monkeypatch, "echo usage; exit 1")
    assert ask("/dev/sda").reason == "smartctl gave no JSON (exit code 1)"


def test_below_a_volume_on_two_partitions_are_two_whole_disks(tmp_path: Path) -> None:
    devices = tmp_path / "devices"
    for disk in ("sda", "sdb"):
        (devices / disk / f"{disk}1").mkdir(parents=True)
        (devices / disk / f"{disk}1" / "partition").touch()
    (devices / "dm-0" / "slaves").mkdir(parents=True)
    for disk in ("sda", "sdb"):
        (devices / "dm-0" / "slaves" / f"{disk}1").symlink_to(devices / disk / f"{disk}1")
    numbers = tmp_path / "block"
    numbers.mkdir()
    (numbers / "253:0").symlink_to(devices / "dm-0")
    (numbers / "8:1").symlink_to(devices / "sda" / "sda1")
    assert list(disks_below(os.makedev(253, 0), numbers)) == ["sda", "sdb"]
    assert list(disks_below(os.makedev(8, 1), numbers)) == ["sda"]
    with pytest.raises(FileNotFoundError):
        list(disks_below(os.makedev(9, 9), numbers))


def test_a_disk_in_a_folder_of_dev_is_named_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "cciss!c0d0" / "cciss!c0d0p1").mkdir(parents=True)
    (tmp_path / "cciss!c0d0" / "cciss!c0d0p1" / "partition").touch()
    (tmp_path / "104:1").symlink_to(tmp_path / "cciss!c0d0" / "cciss!c0d0p1")
    assert list(disks_below(os.makedev(104, 1), tmp_path)) == ["cciss/c0d0"]


def test_the_worst_disk_decides() -> None:
    good, bad = DiskHealth(device="/dev/sda", state="ok"), DiskHealth(device="/dev/sdb", state="failing", reason="old")
    together = smart.summed((good, bad), datetime.now(UTC))
    assert (together.state, together.reason) == ("failing", "/dev/sdb: old")
    assert smart.summed((), datetime.now(UTC)).state == "unknown"


def test_a_folder_on_no_disk_of_its_own_is_unknown() -> None:
    assert look(Path("/proc")).reason == "/proc is on no disk of its own (proc)"


def test_what_was_written_is_read_until_it_is_too_old(tmp_path: Path) -> None:
    path = tmp_path / "smart.json"
    told = Smart(state="ok", checked_at=datetime.now(UTC), disks=(judge("/dev/sda", HEALTHY),))
    write_smart(path, told)
    assert read_smart(path, time.time()) == told
    assert read_smart(path, time.time() + 3 * 86400).reason == "the disks were last asked 3 days ago"


@pytest.mark.parametrize("text", ["", "[]", '{"state": "great"}', '{"state": "ok", "disks": 5}'])
def test_a_broken_file_is_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "smart.json").write_text(text)
    assert read_smart(tmp_path / "smart.json", time.time()).state == "unknown"


def test_a_failing_disk_is_a_warning_logged_and_reported_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    monitor = site.monitor()
    now = time.time()
    look_once(monitor, now)
    bad = DiskHealth(device="/dev/sda", state="failing", reason="the disk says that it is failing: replace it")
    write_smart(site.folder / "smart.json", smart.summed((bad,), datetime.now(UTC)))
    for second in (10, 20, 30):
        look_once(monitor, now + second)
    assert [record.message for record in caplog.records].count("disk_dying") == 1
    assert [(disk["state"], disk["causes"]) for disk in site.reports("disk")] == [("ok", []), ("warn", ["smart"])]
    answer = site.client(monitor).get("/health")
    assert answer.get_json()["checks"]["disk"]["status"] == "degraded"
    assert "/dev/sda: the disk says" in answer.get_json()["checks"]["disk"]["text"]


def test_an_unknown_health_is_no_warning(site: Site) -> None:
    monitor = site.monitor()
    look_once(monitor, time.time())
    assert monitor.status.state == "ok"
    assert "have not been asked yet" in site.client(monitor).get("/disk").get_json()["smart"]["reason"]


def test_the_verb_smart_writes_what_the_monitor_reads(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.folder / "hdd_monitor.yml"
    path.write_text(yaml.safe_dump(site.settings))
    assert main(["smart", "--config", str(path), "--write"]) == 0
    assert read_smart(site.folder / "smart.json", time.time()).checked_at is not None
    assert main(["smart", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] in ("ok", "unknown", "failing")
