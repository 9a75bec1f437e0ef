"""Clips of both nodes reach the hub over ssh, through a cut too, and a node can do nothing else there."""

import json
import time

import pytest
import testinfra

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]

PYTHON = "/opt/cllmh/cllmh-node/current/bin/python"
STORE = "/srv/cctv/clips"
SSH = (
    "ssh -F none -T -l cllmh-clips -i /var/lib/cllmh/archive/ssh_key -o BatchMode=yes"
    " -o UserKnownHostsFile=/var/lib/cllmh/archive/known_hosts -o StrictHostKeyChecking=yes"
)
ADD = """
import os, sys, time
from pathlib import Path
from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.clips.naming import clip_path
root = Path("/srv/cctv/recordings")
index = ClipIndex(Path("/var/lib/cllmh/recorder/index.db"))
for number in range(int(sys.argv[2])):
    start = time.time() - int(sys.argv[4]) + 20 * number
    path = str(clip_path(sys.argv[1], start))
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(os.urandom(int(sys.argv[3])))
    index.add_clip(ClipRow(sys.argv[1], path, start, start + 10, int(sys.argv[3]), "motion"))
    print(path)
"""
UNSAFE = """
import sqlite3
rows = sqlite3.connect("/var/lib/cllmh/recorder/index.db").execute("SELECT count(*) FROM clips WHERE safe_at IS NULL")
print(rows.fetchone()[0])
"""


@pytest.fixture
def hub(request):
    return testinfra.get_host("ssh://hub", ssh_config=request.config.getoption("--ssh-config"))


@pytest.fixture
def site(host):
    return host.backend.get_hostname().replace("node", "site")


@pytest.fixture(autouse=True)
def recordings(host):
    """The work of the recorder's role."""
    host.check_output("install -d -o cllmh -g cllmh -m 0750 /srv/cctv/recordings /var/lib/cllmh/recorder")


def as_cllmh(host, *command):
    return host.check_output("runuser -u cllmh -- " + " ".join(["%s"] * len(command)), *command)


def add_clips(host, camera, count, size_bytes, age_s=600):
    return as_cllmh(host, PYTHON, "-c", ADD, camera, str(count), str(size_bytes), str(age_s)).split()


def send(host):
    """Start a run by its unit and wait for its end; return whether it had no fault."""
    return host.run("systemctl start cllmh-archive.service").rc == 0


def unsafe(host):
    return int(as_cllmh(host, PYTHON, "-c", UNSAFE))


def checksums(host, folder, paths):
    lines = [host.check_output("sha256sum %s", f"{folder}{path}").split()[0] for path in paths]
    return dict(zip(paths, lines, strict=True))


def address_of(hub):
    return hub.check_output("hostname -I").split()[0]


def journal(host):
    return host.check_output("journalctl --unit=cllmh-archive --no-pager --output=cat")


def test_the_timers_start_at_boot(host, hub):
    assert host.service("cllmh-archive.timer").is_enabled
    assert host.service("cllmh-archive.timer").is_running
    assert hub.service("cllmh-clip-store.timer").is_enabled
    assert hub.service("cllmh-clip-store.timer").is_running


def test_clips_reach_the_hub_and_are_safe(host, hub, site):
    paths = add_clips(host, "gate", 3, 300_000)
    assert send(host), journal(host)
    assert unsafe(host) == 0
    assert checksums(hub, f"{STORE}/{site}.", paths) == checksums(host, "/srv/cctv/recordings/", paths)
    assert "event=clips_archived clips=3" in journal(host)


def test_what_a_cut_interrupts_the_next_run_brings(host, hub, site):
    paths = add_clips(host, "cut", 4, 8_000_000)
    host.check_output("systemctl start --no-block cllmh-archive.service")
    incoming = f"{STORE}/.incoming/{site}/cut"
    until = time.monotonic() + 60
    while not hub.run("find %s -name '*.mp4' -size +1k | grep -q .", incoming).succeeded:
        assert time.monotonic() < until, journal(host)
    # No way to the hub any more, and the hub hangs up.
    address = address_of(hub)
    host.check_output("ip route add prohibit %s/32", address)
    try:
        hub.check_output("pkill -9 -u cllmh-clips")
        send(host)  # waits for the run that is under way
        assert unsafe(host) > 0
    finally:
        host.check_output("ip route del prohibit %s/32", address)
    assert "event=clips_not_archived" in journal(host)
    assert send(host), journal(host)
    assert unsafe(host) == 0
    assert checksums(hub, f"{STORE}/{site}.", paths) == checksums(host, "/srv/cctv/recordings/", paths)


def test_the_account_takes_clips_and_can_do_nothing_else(host, hub):
    address = address_of(hub)
    assert json.loads(as_cllmh(host, *SSH.split(), address, "room"))["has_room"] is True
    for command in ("", "id", "cat /etc/passwd", "keep; id", "scp -t /tmp"):
        refused = host.run(f"runuser -u cllmh -- {SSH} {address} '{command}' || exit 1")
        assert refused.rc == 1
        assert "takes clips by SFTP" in refused.stderr
    forward = f"{SSH} -N -o ExitOnForwardFailure=yes -R 7777:localhost:22 {address}"
    assert host.run(f"timeout 20 runuser -u cllmh -- {forward} || exit 1").rc == 1


def test_a_node_sees_nothing_of_the_hub_but_its_own_folder(host, hub, site):
    address = address_of(hub)
    hub.check_output("runuser -u cllmh-clips -- mkdir -p %s", f"{STORE}/.incoming/site-x/gate")
    sftp = SSH.replace("ssh -F none -T -l cllmh-clips", "sftp -F none -q -b - -o User=cllmh-clips")
    seen = host.run(f"echo 'ls -1 /' | runuser -u cllmh -- {sftp} {address} || exit 1")
    assert seen.rc == 0, seen.stderr
    assert not {"etc", "usr", "site-x"} & {name.strip("/ ") for name in seen.stdout.split()}
    for path in ("/etc/passwd", "../site-x", f"../../{site}.gate", "/../../../../../etc/passwd"):
        assert host.run(f"echo 'get {path} /tmp/stolen' | runuser -u cllmh -- {sftp} {address} || exit 1").rc == 1
    assert host.run(f"echo 'symlink /etc/passwd link' | runuser -u cllmh -- {sftp} {address} || exit 1").rc == 1


def test_keys_and_the_store_are_closed_to_others(host, hub):
    key = host.file("/var/lib/cllmh/archive/ssh_key")
    assert (key.user, key.mode) == ("cllmh", 0o600)
    keys = hub.file("/var/lib/cllmh-clips/.ssh/authorized_keys")
    assert (keys.user, keys.mode) == ("root", 0o640)
    lines = keys.content_string.splitlines()
    assert len(lines) == 2
    assert all(line.startswith('restrict,command="/usr/local/bin/cllmh-node clip-store door --site ') for line in lines)
    assert hub.file(STORE).mode == 0o750


def test_the_hub_prunes_by_its_own_policy(host, hub, site):
    (path,) = add_clips(host, "old", 1, 1000, age_s=200_000)  # the hub's policy here: one day
    assert send(host), journal(host)
    assert unsafe(host) == 0
    hub.check_output("systemctl start cllmh-clip-store.service")
    assert not hub.file(f"{STORE}/{site}.{path}").exists
    assert "event=clip_store_pruned" in hub.check_output("journalctl --unit=cllmh-clip-store --output=cat --no-pager")
    assert host.file(f"/srv/cctv/recordings/{path}").exists


def test_the_journal_has_no_key(host):
    body = host.file("/var/lib/cllmh/archive/ssh_key").content_string.splitlines()[1]
    assert body not in journal(host)
