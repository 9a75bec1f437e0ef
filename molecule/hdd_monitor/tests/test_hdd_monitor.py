"""What the role hdd_monitor leaves on a node: a monitor that answers, prunes and reports, and can do nothing else."""

import json
import time

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]

SOCKET = "/run/cllmh-hdd-monitor/http.sock"
PYTHON = "/opt/cllmh/cllmh-node/current/bin/python"
OLD_CLIP = "gate/2026-01-02/20260102T030405.678Z.mp4"
ADD_OLD_CLIP = f"""
from pathlib import Path
from cllmh_node.clips.index import ClipIndex, ClipRow
clip = Path("/srv/cctv/recordings/{OLD_CLIP}")
clip.parent.mkdir(parents=True, exist_ok=True)
clip.write_bytes(b"v" * 1000)
ClipIndex(Path("/var/lib/cllmh/recorder/index.db")).add_clip(
    ClipRow("gate", "{OLD_CLIP}", 1767323045.678, 1767323055.0, 1000, "motion"))
"""
GET = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(f"GET {sys.argv[2]} HTTP/1.0\\r\\n\\r\\n".encode())
    print(b"".join(iter(lambda: client.recv(65536), b"")).decode().partition("\\r\\n\\r\\n")[2])
"""


def get(host, path):
    return json.loads(host.check_output("python3 -c %s %s %s", GET, SOCKET, path))


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.3)
    return found


def test_the_service_runs_and_starts_at_boot(host):
    service = host.service("cllmh-hdd-monitor")
    assert service.is_running
    assert service.is_enabled


def test_the_gateway_alone_can_reach_the_socket(host):
    socket = host.file(SOCKET)
    assert socket.is_socket
    assert (socket.user, socket.group, socket.mode) == ("cllmh", "cllmh", 0o660)
    assert host.file("/run/cllmh-hdd-monitor").mode == 0o750


def test_disk_answers_with_the_real_figures(host):
    disk = get(host, "/disk")
    total = int(host.check_output("stat -f -c '%b' /srv/cctv/recordings")) * int(
        host.check_output("stat -f -c '%S' /srv/cctv/recordings")
    )
    assert disk["total_bytes"] == total
    assert disk["state"] == "ok"


def test_health_says_that_no_recorder_speaks_here(host):
    health = get(host, "/health")
    assert health["status"] == "failing"
    assert health["checks"]["disk"]["status"] == "ok"
    assert "has not said anything yet" in health["checks"]["recorder"]["text"]


def test_an_old_clip_is_deleted_and_the_hub_will_hear_of_it(host):
    host.check_output("runuser -u cllmh -- %s -c %s", PYTHON, ADD_OLD_CLIP)
    wait_for(lambda: not host.file(f"/srv/cctv/recordings/{OLD_CLIP}").exists)
    wait_for(lambda: OLD_CLIP in host.run("cat /var/lib/cllmh/spool/*-clips_deleted-*.json").stdout)
    assert get(host, "/clips") == {"items": []}


def test_the_disk_is_reported(host):
    wait_for(lambda: '"total_bytes"' in host.run("cat /var/lib/cllmh/spool/*-disk-*.json").stdout)


def test_the_service_cannot_write_elsewhere(host):
    unit = host.check_output("systemctl show cllmh-hdd-monitor -p ProtectSystem -p NoNewPrivileges -p PrivateNetwork")
    assert set(unit.split()) == {"ProtectSystem=strict", "NoNewPrivileges=yes", "PrivateNetwork=yes"}
    pid = host.check_output("systemctl show cllmh-hdd-monitor -p MainPID --value")
    host.check_output("nsenter -t %s -m touch /srv/cctv/recordings/.probe", pid)
    host.check_output("rm /srv/cctv/recordings/.probe")
    assert host.run("nsenter -t %s -m touch /etc/cllmh/forbidden", pid).rc != 0


def test_a_hung_monitor_is_restarted(host):
    assert host.check_output("systemctl show cllmh-hdd-monitor -p WatchdogUSec --value") == "2min"


def test_root_asks_the_disks_and_the_monitor_reads_the_answer(host):
    wait_for(lambda: host.file("/run/cllmh-smart/smart.json").exists)
    told = host.file("/run/cllmh-smart/smart.json")
    assert (told.user, told.mode & 0o022) == ("root", 0)
    # The lab's machines have no disk of their own: that is said, and is no error.
    smart = wait_for(lambda: (found := get(host, "/disk")["smart"])["checked_at"] and found)
    assert smart["state"] == "unknown"
    assert "is on no disk of its own" in smart["reason"]
    assert host.check_output("systemctl show cllmh-smart.service -p Result --value") == "success"
    assert host.service("cllmh-smart.timer").is_running
    assert host.service("cllmh-smart.timer").is_enabled


def test_smartctl_is_there_and_what_asks_has_two_capabilities_only(host):
    assert host.exists("smartctl")
    unit = host.check_output("systemctl show cllmh-smart.service -p CapabilityBoundingSet -p ProtectSystem")
    assert set(unit.splitlines()) == {"CapabilityBoundingSet=cap_sys_rawio cap_sys_admin", "ProtectSystem=strict"}


def test_there_is_room_for_a_byte_and_not_for_all_bytes(host):
    assert get(host, "/room?bytes=1")["has_room"] is True
    refused = get(host, f"/room?bytes={10**17}")
    assert refused["has_room"] is False
    assert "are to stay free" in refused["reason"]


def test_disk_says_that_growth_is_not_known_yet(host):
    growth = get(host, "/disk")["growth"]
    assert (growth["days_held"], growth["full_at"]) == (None, None)
    assert growth["reason"]


def test_files_are_paged(host):
    assert get(host, "/files?limit=1") == {"items": [], "next": None}


def test_the_prune_is_told_by_class_and_camera(host):
    last = wait_for(lambda: get(host, "/disk")["last_prune"])
    assert last["classes"] == {"motion": {"bytes": 1000, "clips": 1}}
    assert list(last["cameras"]) == ["gate"]
