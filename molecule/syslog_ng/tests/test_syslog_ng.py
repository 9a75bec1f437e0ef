"""Lines of node, DVR and router reach the hub's Loki once, with the right names, and survive an absent hub."""

import json
import os
import socket
import time
from datetime import UTC, datetime

import pytest
import testinfra

from fakes.send_syslog import send, syslog_line

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]
NET = f"10.77.{os.environ.get('CLLMH_LAB', '0')}"
NODES = {"node-a": ("site-a", f"{NET}.21"), "node-b": ("site-b", f"{NET}.31")}
DVR_PORT, ROUTER_PORT = 5514, 5515
DAEMON_INFO = 30


@pytest.fixture(scope="module")
def hub(request):
    """Return the hub's testinfra host, reached as the nodes are."""
    return testinfra.get_host("ssh://hub", ssh_config=request.config.option.ssh_config)


@pytest.fixture
def node(host):
    """Return name, site and address of the node under test."""
    name = host.check_output("hostname")
    return (name, *NODES[name])


def mark():
    """Return a text that no other line has."""
    return f"mark-{time.time_ns()}"


def lines_at_hub(hub, site, text):
    """Return (labels and metadata, line) of each stored line of the site that holds the text."""
    answer = hub.check_output(
        "curl -s -m 20 -G -H %s --data-urlencode %s --data since=2h --data limit=1000 %s",
        f"X-Scope-OrgID: {site}",
        f'query={{job="cctv"}} |= `{text}`',
        "http://127.0.0.1:3100/loki/api/v1/query_range",
    )
    return [
        (stream["stream"], value[1]) for stream in json.loads(answer)["data"]["result"] for value in stream["values"]
    ]


def wait_for_lines(hub, site, text, count=1, timeout_s=60):
    """Wait until the hub has this many lines with the text."""
    deadline = time.monotonic() + timeout_s
    while len(lines := lines_at_hub(hub, site, text)) < count:
        assert time.monotonic() < deadline, f"{len(lines)} of {count} lines with {text!r} are at the hub"
        time.sleep(0.5)
    return lines


def test_the_service_runs_with_few_rights(host):
    service = host.service("syslog-ng")
    assert service.is_running, host.check_output("journalctl -u syslog-ng -n 30 --no-pager")
    assert service.is_enabled
    pid = host.check_output("systemctl show -p MainPID --value syslog-ng")
    assert "CapEff:\t0000000000000000" in host.file(f"/proc/{pid}/status").content_string


def test_only_the_needed_plugins_are_installed(host):
    listed = host.check_output("dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' 'syslog-ng*'").splitlines()
    installed = {line.split()[0] for line in listed if line.endswith("ii ")}
    assert installed == {"syslog-ng-core", "syslog-ng-mod-http"}


def test_a_journal_line_arrives_with_host_severity_and_program(host, hub, node):
    name, site, _ = node
    text = mark()
    host.check_output("logger -t doorbell -p daemon.warning %s", text)
    ((stored, line),) = wait_for_lines(hub, site, text)
    assert line == text
    assert (stored["kind"], stored["severity"], stored["site"]) == ("node", "warning", site)
    assert (stored["host"], stored["app"], stored["facility"]) == (name, "doorbell", "daemon")
    assert stored["id"]
    assert stored["rcv"]


def test_a_line_in_a_services_file_arrives(host, hub, node):
    _, site, _ = node
    text = mark()
    host.check_output("echo %s >> /var/log/cllmh/trial.log", text)
    ((stored, line),) = wait_for_lines(hub, site, text)
    assert (stored["kind"], stored["app"], line) == ("node", "trial.log", text)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_dvr_line_is_named_by_the_inventory(hub, node, transport):
    name, site, address = node
    text = mark()
    sent = syslog_line("rfc3164", DAEMON_INFO, "localhost", "alarm", f"HDD error {text}", datetime.now(UTC))
    send(sent, (address, DVR_PORT), f"{NET}.1", transport)
    ((stored, line),) = wait_for_lines(hub, site, text)
    assert line == f"HDD error {text}"
    assert (stored["kind"], stored["severity"]) == ("dvr", "crit")
    assert (stored["host"], stored["app"]) == (f"dvr-{name[-1]}", "alarm")


@pytest.mark.parametrize("form", ["routeros", "routeros-bsd", "routeros-default"])
def test_a_router_line_is_understood_in_all_its_formats(hub, node, form):
    name, site, address = node
    text = mark()
    sent = syslog_line(form, DAEMON_INFO, "MikroTik", "dhcp,warning", text, datetime.now(UTC).astimezone())
    send(sent, (address, ROUTER_PORT), f"{NET}.1", "udp")
    ((stored, line),) = wait_for_lines(hub, site, text)
    assert line == text
    assert (stored["kind"], stored["severity"], stored["host"]) == ("router", "warning", f"router-{name[-1]}")
    assert stored["topics"] == "dhcp,warning"


def test_a_clock_that_cannot_be_right_is_kept_aside(hub, node):
    _, site, address = node
    text = mark()
    sent = syslog_line("routeros", DAEMON_INFO, "gw", "system,info", text, datetime(1970, 1, 2, 2, 0, 9, tzinfo=UTC))
    send(sent, (address, ROUTER_PORT), f"{NET}.1", "udp")
    ((stored, _),) = wait_for_lines(hub, site, text)
    assert stored["orig"].startswith("1970-01-02T02:00:09")


def test_lines_wait_for_a_hub_that_is_away_and_for_a_killed_syslog_ng(host, hub, node):
    _, site, address = node
    text = mark()
    hub.check_output("systemctl stop nginx")
    try:
        with socket.create_connection((address, DVR_PORT), timeout=5) as connection:
            for number in range(100):
                connection.sendall(f"<14>{text} {number}\n".encode())
        deadline = time.monotonic() + 20
        while host.check_output("grep -c %s /var/log/cllmh-devices/dvr.log || true", text) != "100":
            assert time.monotonic() < deadline, "syslog-ng did not take the lines"
            time.sleep(0.2)
        host.check_output("kill -KILL $(systemctl show -p MainPID --value syslog-ng)")
    finally:
        hub.check_output("systemctl start nginx")
    lines = wait_for_lines(hub, site, text, count=100)
    assert sorted(line for _, line in lines) == sorted(f"{text} {number}" for number in range(100))


def test_an_absent_hub_makes_no_flood_of_error_lines(host):
    own = host.check_output("journalctl -u syslog-ng --since -1h -o cat | grep -c 'HTTP request' || true")
    assert int(own) < 300
