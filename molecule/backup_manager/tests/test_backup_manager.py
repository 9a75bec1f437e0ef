"""What the role backup_manager leaves on a node: backups by a timer that fires or by a service, no password seen."""

import json
import time

import pytest

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]

# As in inventory/lab.
PASSWORDS = {"node-a": "rahasia@:/#%1", "node-b": "gudang%#@:/2"}
LOG = "/var/log/cllmh/backup_manager/backup_manager.log"


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.5)
    return found


@pytest.fixture
def name(host):
    return host.check_output("hostname")


def runs(host):
    return host.run("awk 1 /var/lib/cllmh/spool/*-backup_run-*.json").stdout.splitlines()


def test_by_a_timer_or_by_a_service_as_it_is_wanted(host, name):
    if name == "node-a":
        assert host.service("cllmh-backup.timer").is_running
        assert host.service("cllmh-backup.timer").is_enabled
        # It is the timer that begins a run, again and again.
        wait_for(lambda: host.run("journalctl -u cllmh-backup -o cat | grep -c event=backup_finished").stdout >= "2")
    else:
        assert host.service("cllmh-backup").is_running
        assert host.service("cllmh-backup").is_enabled
        assert not host.file("/etc/systemd/system/cllmh-backup.timer").exists


def test_both_channels_are_recorded_whole(host):
    for channel in ("1", "2"):
        files = wait_for(lambda n=channel: host.run(f"ls /srv/cctv/backups/{n}/*/*.mp4").stdout.split())
        shown = host.check_output("ffprobe -v error -show_entries format=duration -of csv=p=0 %s", files[0])
        assert 2.5 < float(shown) < 3.5


def test_the_hub_will_hear_of_channels_and_runs(host):
    found = [json.loads(line) for line in wait_for(lambda: runs(host))]
    assert found[0]["data"]["recorded"] == 2
    assert found[0]["data"]["exit_code"] == 0
    assert host.run("ls /var/lib/cllmh/spool/*-backup_channel-*.json").rc == 0


def test_the_password_is_in_its_file_and_nowhere_else(host, name):
    secret = host.file("/etc/cllmh/secrets/backup_manager")
    assert (secret.user, secret.group, secret.mode) == ("cllmh", "cllmh", 0o600)
    assert secret.content_string.strip() == PASSWORDS[name]
    wait_for(lambda: host.run("pgrep -f 'cllmh-node backup'").stdout)
    places = f"/proc/[0-9]*/cmdline {LOG} /etc/systemd/system/cllmh-backup.service /etc/cllmh/backup_manager.env"
    for shown in ("cat", "sed s/%/%25/g"):  # as it is, and as a URL has it
        assert host.run(f"{shown} {secret.path} | cut -c-7 | grep -lFf - {places}").stdout == ""


def test_the_log_is_a_file_of_structured_lines(host):
    line = wait_for(lambda: host.run(f"grep event=backup_finished {LOG}").stdout.splitlines())[0]
    assert "channels=2 recorded=2" in line


def test_it_can_write_to_its_folders_and_nowhere_else(host, name):
    unit = host.check_output("systemctl show cllmh-backup -p ProtectSystem -p NoNewPrivileges -p CapabilityBoundingSet")
    assert set(unit.split()) == {"ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="}
    if name == "node-b":
        pid = host.check_output("systemctl show cllmh-backup -p MainPID --value")
        assert host.run("nsenter -t %s -m touch /etc/cllmh/forbidden", pid).rc != 0
        assert host.run("nsenter -t %s -m touch /srv/cctv/recordings", pid).rc != 0


def test_the_service_ends_within_5_s_and_keeps_what_it_has(host, name):
    if name != "node-b":
        pytest.skip("the service runs on the other machine")
    wait_for(lambda: host.run("ls /srv/cctv/backups/.part/1/*/*.mp4").rc == 0)
    began = time.monotonic()
    host.check_output("systemctl stop cllmh-backup")
    assert time.monotonic() - began < 6  # with the way there
    assert host.check_output("systemctl show cllmh-backup -p Result --value") == "success"
    assert host.run("ls /srv/cctv/backups/.part/1").rc != 0
    host.check_output("systemctl start cllmh-backup")
