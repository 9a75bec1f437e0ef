"""What the role reports leaves on a node: a sender that loses nothing, and a token that nobody else can read."""

import json
import time
import uuid

import pytest
import testinfra

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]

PYTHON = "/opt/cllmh/cllmh-node/current/bin/python"
TOKEN_FILE = "/etc/cllmh/secrets/reports_token"
PUT = """
import sys
from pathlib import Path
from cllmh_node.reports import Spool
Spool(Path("/var/lib/cllmh/spool")).put("gap", {"camera": sys.argv[1]})
"""


@pytest.fixture
def hub(request):
    return testinfra.get_host("ssh://hub", ssh_config=request.config.getoption("--ssh-config"))


def put(host, camera):
    host.check_output("runuser -u cllmh -- %s -c %s %s", PYTHON, PUT, camera)


def received(hub, camera):
    lines = hub.run("cat /root/reports.jsonl").stdout.splitlines()
    return [line for line in map(json.loads, lines) if line["body"]["data"].get("camera") == camera]


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.3)
    return found


def journal(host):
    return host.check_output("journalctl --unit=cllmh-reports --no-pager --output=cat")


def test_the_service_runs_and_starts_at_boot(host):
    service = host.service("cllmh-reports")
    assert service.is_running
    assert service.is_enabled


def test_the_token_is_closed_to_others_and_in_no_configuration(host):
    token = host.file(TOKEN_FILE)
    assert (token.user, token.mode) == ("cllmh", 0o600)
    text = token.content_string.strip()
    assert len(text) >= 32
    assert text not in host.file("/etc/cllmh/reports.yml").content_string
    assert text not in host.check_output("ps -eo args")


def test_a_report_reaches_the_hub_in_the_nodes_name_and_leaves_the_spool(host, hub):
    name = host.backend.get_hostname()
    camera = f"sent-{uuid.uuid4()}"
    put(host, camera)
    (report,) = wait_for(lambda: received(hub, camera))
    assert report["path"] == "/api/report"
    assert report["authorization"] == f"Bearer {host.file(TOKEN_FILE).content_string.strip()}"
    assert report["body"]["node"] == name
    assert report["body"]["site"] == name.replace("node", "site")
    wait_for(lambda: host.run("ls /var/lib/cllmh/spool/*.json").rc != 0)


def test_what_is_reported_while_the_hub_is_away_arrives_later_in_order(host, hub):
    cameras = [f"kept-{number}-{uuid.uuid4()}" for number in range(3)]
    hub.check_output("systemctl stop fake-hub")
    try:
        for camera in cameras:
            put(host, camera)
        wait_for(lambda: "event=hub_unreachable" in journal(host))
        host.check_output("systemctl kill --kill-whom=main --signal=KILL cllmh-reports")
        assert len(host.check_output("ls /var/lib/cllmh/spool/*-gap-*.json").split()) == 3
    finally:
        hub.check_output("systemctl start fake-hub")
    wait_for(lambda: received(hub, cameras[-1]))
    lines = [json.loads(line)["body"] for line in hub.check_output("cat /root/reports.jsonl").splitlines()]
    assert [body["data"]["camera"] for body in lines if body["data"].get("camera") in cameras] == cameras


def test_the_journal_says_what_happened_and_no_secret(host):
    said = journal(host)
    assert "event=hub_unreachable" in said
    assert "event=reports_started" in said
    assert host.file(TOKEN_FILE).content_string.strip() not in said


def test_the_service_can_write_to_the_spool_alone(host):
    wait_for(lambda: host.service("cllmh-reports").is_running)
    pid = host.check_output("systemctl show cllmh-reports -p MainPID --value")
    host.check_output("nsenter -t %s -m touch /var/lib/cllmh/spool/.probe", pid)
    host.check_output("rm /var/lib/cllmh/spool/.probe")
    assert host.run("nsenter -t %s -m touch /var/lib/cllmh/forbidden", pid).rc != 0
