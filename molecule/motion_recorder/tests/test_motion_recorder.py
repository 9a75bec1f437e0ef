"""What the role motion_recorder leaves on a node: a recorder that watches its DVR's channels and no more."""

import json
import time

import pytest

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]

# As in inventory/lab.
DVRS = {
    "node-a": ("dvr-a", "rahasia@:/#%1", {"gate", "yard"}),
    "node-b": ("dvr-b", "gudang%#@:/2", {"shop", "store"}),
}


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.5)
    return found


def status(host):
    result = host.run("cat /var/lib/cllmh/recorder/status.json")
    return json.loads(result.stdout) if result.rc == 0 else {"cameras": {}}


@pytest.fixture
def dvr(host):
    return DVRS[host.check_output("hostname")]


def test_the_recorder_runs_and_starts_at_boot(host):
    service = host.service("cllmh-recorder")
    assert service.is_running
    assert service.is_enabled


def test_every_channel_of_the_dvr_is_watched(host, dvr):
    def watched():
        cameras = status(host)["cameras"]
        return cameras if cameras and all(camera["last_frame_at"] for camera in cameras.values()) else None

    cameras = wait_for(watched)
    assert set(cameras) == dvr[2]
    for camera in cameras.values():
        assert (camera["codec"], camera["width"], camera["height"]) == ("h264", 768, 576)
        assert camera["error"] is None


def test_a_process_that_dies_is_replaced_and_costs_its_own_cameras_a_short_gap(host, dvr):
    shards = wait_for(lambda: status(host).get("shards"))
    assert len(shards) == min(int(host.check_output("nproc")), len(dvr[2]))
    killed = shards[0]
    host.check_output("kill -KILL %s", str(killed["pid"]))

    def replaced():
        now = status(host)["shards"][0]
        return now["pid"] not in (None, killed["pid"])

    wait_for(replaced, 15)
    lines = wait_for(
        lambda: host.run("cllmh-node gaps --config /etc/cllmh/recorder.yml --json | grep -v null").stdout.splitlines()
    )
    gap = json.loads(lines[-1])
    assert gap["cause"] == "restart"
    assert gap["camera"] in killed["cameras"]
    assert host.service("cllmh-recorder").is_running


def test_the_recorder_makes_room_by_the_policy_of_the_hdd_monitor(host):
    assert 'retention: {"max_used_percent": 90}' in host.file("/etc/cllmh/recorder.yml").content_string


def test_every_second_is_accounted_for(host):
    lines = host.check_output("cllmh-node coverage --config /etc/cllmh/recorder.yml --json").splitlines()
    assert lines
    assert "unknown" not in {json.loads(line)["kind"] for line in lines}


def test_the_hub_will_hear_of_the_cameras(host, dvr):
    reports = wait_for(lambda: host.run("cat /var/lib/cllmh/spool/*-camera_status-*.json").stdout)
    assert any(name in reports for name in dvr[2])


def test_nobody_but_the_recorder_reads_the_password(host, dvr):
    name, password, _ = dvr
    secret = host.file(f"/etc/cllmh/secrets/{name}")
    assert (secret.user, secret.group, secret.mode) == ("cllmh", "cllmh", 0o600)
    assert secret.content_string == f"{password}\n"


def test_the_password_is_nowhere_else(host, dvr):
    password = dvr[1]
    quoted = "".join(f"%{ord(c):02X}" if c in "@:/#%" else c for c in password)
    assert password not in host.file("/etc/cllmh/recorder.yml").content_string
    seen = host.check_output("journalctl --boot --no-pager --output=cat") + host.check_output("ps axww")
    assert password not in seen
    assert quoted not in seen


def test_recordings_have_the_marker_that_retention_asks_for(host):
    folder = host.file("/srv/cctv/recordings")
    assert (folder.user, folder.group, folder.mode) == ("cllmh", "cllmh", 0o750)
    assert host.file("/srv/cctv/recordings/.cllmh-recordings").is_file


def test_the_service_can_write_its_own_folders_only(host):
    unit = host.check_output("systemctl show cllmh-recorder -p ProtectSystem -p NoNewPrivileges -p WatchdogUSec")
    assert set(unit.split()) == {"ProtectSystem=strict", "NoNewPrivileges=yes", "WatchdogUSec=1min"}
    pid = host.check_output("systemctl show cllmh-recorder -p MainPID --value")
    assert host.run("nsenter -t %s -m touch /etc/cllmh/forbidden", pid).rc != 0


def test_a_person_can_list_clips_and_gaps(host):
    for verb in ("clips", "gaps"):
        result = host.run(f"cllmh-node {verb} --config /etc/cllmh/recorder.yml --json")
        assert result.rc == 0, result.stderr
