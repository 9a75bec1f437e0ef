"""Lines of node, DVR and router reach the hub's Loki once, with the right names, and survive an absent hub."""

import json
import os
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import testinfra

from fakes.send_syslog import send, syslog_line

testinfra_hosts = ["ssh://node-a", "ssh://node-b"]
ROOT = Path(__file__).resolve().parents[3]
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
        "curl -s -m 20 -G -H %s --data-urlencode %s --data since=2h --data limit=5000 %s",
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


@pytest.mark.parametrize(
    ("sent", "stored", "altered"),
    [
        (b"caf\xe9 \xff", "caf\\xe9 \\xff", "bytes"),
        (b"one\x00two", "one\\x00two", "bytes"),
        ("سلام، دوربین قطع شد".encode(), "سلام، دوربین قطع شد", None),
        (b'"}]} ${HOST} \\ {{x}} %s', '"}]} ${HOST} \\ {{x}} %s', None),
    ],
)
def test_hostile_lines_reach_loki_as_they_are_or_with_a_mark(hub, node, sent, stored, altered):
    _, site, address = node
    text = mark()
    with socket.socket(type=socket.SOCK_DGRAM) as device:
        device.sendto(f"<14>{text} ".encode() + sent, (address, DVR_PORT))
    ((found, line),) = wait_for_lines(hub, site, text)
    assert line == f"{text} {stored}"
    assert found.get("altered") == altered


def test_a_long_line_reaches_loki_in_pieces(hub, node):
    _, site, address = node
    text = mark()
    with socket.create_connection((address, DVR_PORT), timeout=5) as device:
        device.sendall(b"<14>" + f"{text} ".encode() * 8000 + b"\n")
    length = len(f"{text} ") * 8000
    pieces = wait_for_lines(hub, site, text, count=-(-(length + 4) // 65536))
    assert sum(len(line) for _, line in pieces) == length
    assert sorted(found.get("altered", "") for found, _ in pieces) == [""] + ["cut"] * (len(pieces) - 1)


def test_the_node_states_which_lines_it_took(host, hub, node):
    name, site, address = node
    text = mark()
    with socket.socket(type=socket.SOCK_DGRAM) as device:
        device.sendto(f"<14>{text}".encode(), (address, DVR_PORT))
    ((stored, _),) = wait_for_lines(hub, site, text)
    ledger = "/var/lib/cllmh/log_ledger"
    deadline = time.monotonic() + 10
    while stored["id"] not in host.check_output("cat %s/*.ids", ledger):
        assert time.monotonic() < deadline, "the line's id is not in the ledger"
        time.sleep(0.2)
    # A slot that is over: the present one cannot be waited for here.
    host.check_output(
        "echo '0000beef@%s 1795921200000000000' > %s/20261129T0300Z.ids", f"{time.time_ns():016x}", ledger
    )
    host.check_output("systemctl start cllmh-logs-watch.service")
    found, line = wait_for_lines(hub, site, "0000beef@")[-1]
    assert (found["kind"], found["host"], found["severity"]) == ("node", name, "info")
    assert line.startswith(
        "event=lines_taken start=2026-11-29T03:00:00Z end=2026-11-29T03:10:00Z lines=1 part=1 parts=1 "
    )


def test_the_buffers_are_looked_at_and_reported(host):
    assert host.service("cllmh-logs-watch.timer").is_running
    status = json.loads(host.file("/var/lib/cllmh/logs/status.json").content_string)
    assert [(buffer["name"], buffer["size_bytes"]) for buffer in status["buffers"]] == [("loki", 67108864)]
    report = host.check_output("cat $(ls /var/lib/cllmh/spool/*-log_buffers-*.json | head -n 1)")
    assert json.loads(report)["data"]["buffers"][0]["state"] == "ok"


def roll_out(host, *arguments):
    """Roll the role out to the host under test, with other variables; returns the finished process."""
    command = [
        ROOT / ".venv/bin/ansible-playbook", "-i", ROOT / "inventory/lab", ROOT / "molecule/syslog_ng/converge.yml",
        "--limit", host.check_output("hostname"), *arguments,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False
    )
    done.stdout = " ".join(done.stdout.split())  # a refusal is wrapped, and stands in the errors
    return done


def fill_the_buffer(host, address, text, lines):
    """Send lines and wait until they are taken."""
    with socket.create_connection((address, DVR_PORT), timeout=5) as device:
        device.sendall(b"".join(f"<14>{text} {number}\n".encode() for number in range(lines)))
    deadline = time.monotonic() + 20
    while host.check_output("grep -c %s /var/log/cllmh-devices/dvr.log || true", text) != str(lines):
        assert time.monotonic() < deadline, "syslog-ng did not take the lines"
        time.sleep(0.2)


def test_a_buffer_is_not_changed_while_its_lines_cannot_be_sent(host, hub, node):
    _, site, address = node
    text = mark()
    hub.check_output("systemctl stop nginx")
    try:
        fill_the_buffer(host, address, text, 1500)
        refused = roll_out(host, "-e", "syslog_ng_buffer_bytes=33554432", "-e", "syslog_ng_drain_max_s=5")
        assert refused.returncode != 0
        assert "hold lines that the change of" in refused.stdout
        assert host.service("syslog-ng").is_running
        assert "disk-buf-size(67108864)" in host.file("/etc/syslog-ng/syslog-ng.conf").content_string
    finally:
        hub.check_output("systemctl start nginx")
    assert len(wait_for_lines(hub, site, text, count=1500)) == 1500


def test_a_buffer_is_emptied_before_it_is_changed(host, hub, node):
    _, site, address = node
    text = mark()
    fill_the_buffer(host, address, text, 900)
    done = roll_out(host, "-e", "syslog_ng_buffer_dir=/var/lib/syslog-ng/other")
    assert done.returncode == 0, done.stdout
    fill_the_buffer(host, address, text + "x", 10)
    assert len(wait_for_lines(hub, site, f"{text} ", count=900)) == 900
    assert len(wait_for_lines(hub, site, f"{text}x ", count=10)) == 10
    assert "syslog-ng-00000.rqf" in host.check_output("ls /var/lib/syslog-ng/other")
    assert "rqf" not in host.check_output("ls /var/lib/syslog-ng/cllmh")


def test_a_buffer_that_the_disk_has_no_room_for_is_refused(host):
    refused = roll_out(host, "-e", f"syslog_ng_buffer_bytes={2**60}")
    assert refused.returncode != 0
    assert "bytes for log buffers" in refused.stdout
