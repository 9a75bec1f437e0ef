"""Devices without a node: their lines are in Loki once each, whatever is restarted, killed or rotated on the way."""

import json
import os
import socket
import ssl
import time
from pathlib import Path

import pytest

testinfra_hosts = ["ssh://hub"]
LAB = os.environ.get("CLLMH_LAB", "0")
NET = f"10.77.{LAB}"
HUB = f"{NET}.10"
CA = Path(__file__).parents[3] / "build" / "lab" / LAB / "state" / "pki" / "ca.crt"
PORTS = {"dvr": 5514, "router": 5515}
RULES = "/etc/logrotate.d/cllmh"
FILES = "/var/log/cllmh-sites"


def send(lines, kind="dvr", transport="tcp", source=f"{NET}.1"):
    """Send lines to the hub as a device does."""
    how = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(type=how) as plain:
        plain.bind((source, 0))
        plain.connect((HUB, PORTS[kind] + (1000 if transport == "tls" else 0)))
        if transport == "udp":
            for line in lines:
                plain.send(line)
            return
        data = b"".join(line + b"\n" for line in lines)
        if transport == "tls":
            context = ssl.create_default_context(cafile=str(CA))
            with context.wrap_socket(plain, server_hostname=HUB) as connection:
                connection.sendall(data)
            return
        plain.sendall(data)


def ask(host, query, tenant, path="query_range", **options):
    """Ask Loki and return its result."""
    words = " ".join(f"--data-urlencode {key}={value}" for key, value in options.items())
    answer = host.check_output(
        f"curl -s -m 30 -G -H %s --data-urlencode %s {words} http://127.0.0.1:3100/loki/api/v1/{path}",
        f"X-Scope-OrgID: {tenant}",
        f"query={query}",
    )
    return json.loads(answer)["data"]["result"]


def count(host, text, tenant="warung"):
    """Count the lines with a text: Loki's own count of lines and of different ids."""
    selector = f'{{job="cctv"}} |= "{text}"'
    lines = ask(host, f"sum(count_over_time({selector} [2h]))", tenant, "query")
    return int(lines[0]["value"][1]) if lines else 0


def wait_until(host, text, wanted, tenant="warung", timeout_s=60):
    """Wait until Loki has so many lines with the text; more than that is an error at once."""
    deadline = time.monotonic() + timeout_s
    while (found := count(host, text, tenant)) != wanted:
        assert found < wanted, f"{found} lines instead of {wanted}: some are there twice"
        assert time.monotonic() < deadline, f"{found} of {wanted} lines came"
        time.sleep(0.3)


def rotate(host, *options):
    """Run logrotate as the timer would."""
    return host.run(f"logrotate {' '.join(options)} --state /var/lib/logrotate/trial {RULES}")


@pytest.fixture
def text():
    """Return a word that no other test sends."""
    return f"mark-{time.time_ns()}"


def test_promtail_runs_as_its_own_user_and_listens_to_this_machine_only(host):
    service = host.service("promtail")
    assert service.is_running, host.check_output("journalctl -u promtail -n 30 --no-pager")
    assert service.is_enabled
    assert host.check_output("systemctl show -p User --value promtail") == "promtail"
    listening = host.check_output("ss -Hltnp | grep promtail").splitlines()
    assert listening
    assert all("127.0.0.1:" in line for line in listening), listening


@pytest.mark.parametrize("transport", ["tcp", "udp", "tls"])
def test_a_device_is_found_in_loki_as_if_it_had_a_node(host, text, transport):
    send([f"<14>{text} Video loss on channel 3".encode()], transport=transport)
    wait_until(host, text, 1)
    (stream,) = ask(host, f'{{job="cctv",site="warung",kind="dvr",severity="err"}} |= "{text}"', "warung")
    assert stream["values"][0][1] == f"{text} Video loss on channel 3"
    assert stream["stream"]["host"] == "dvr-warung"
    assert "@" in stream["stream"]["id"]
    assert set(stream["stream"]) == {"job", "site", "kind", "severity", "host", "app", "facility", "id", "rcv"}


def test_labels_are_the_four_that_nodes_have(host, text):
    send([f"<30>system,info {text}".encode()], kind="router")
    wait_until(host, text, 1)
    answer = host.check_output("curl -s -m 10 -H 'X-Scope-OrgID: warung' http://127.0.0.1:3100/loki/api/v1/labels")
    assert json.loads(answer)["data"] == ["job", "kind", "severity", "site"]


def test_a_sender_that_nobody_knows_is_found_under_the_site_unknown(host, text):
    send([text.encode()], source=f"{NET}.2")
    wait_until(host, text, 1, tenant="unknown")
    (stream,) = ask(host, f'{{job="cctv",site="unknown"}} |= "{text}"', "unknown")
    assert stream["stream"]["host"] == f"{NET}.2"
    assert count(host, text) == 0


def test_nothing_is_lost_or_doubled_when_promtail_is_killed_and_loki_is_away(host, text):
    lines = [f"<14>{text} {number} {'x' * 80}".encode() for number in range(30000)]
    send(lines[:10000])
    host.check_output("systemctl kill -s KILL promtail")
    send(lines[10000:15000])
    host.check_output("systemctl stop loki")
    send(lines[15000:20000])
    host.check_output("systemctl kill -s KILL promtail")
    send(lines[20000:25000])
    # Promtail waits for Loki with a batch in its hands; this throws it away.
    host.check_output("systemctl restart --no-block promtail")
    host.check_output("systemctl start loki")
    send(lines[25000:])
    ready = "until curl -sf -m 5 http://127.0.0.1:3100/ready; do sleep 0.5; done"
    host.check_output("timeout 90 sh -c %s", ready)
    wait_until(host, text, len(lines), timeout_s=90)
    time.sleep(2)
    assert count(host, text) == len(lines)


def test_a_restart_sends_nothing_again(host, text):
    send([f"<14>{text} {number}".encode() for number in range(100)])
    wait_until(host, text, 100)
    host.check_output("systemctl restart promtail")
    send([f"<14>{text} after".encode()])
    wait_until(host, text, 101)
    metrics = host.check_output("curl -s -m 10 http://127.0.0.1:9080/metrics")
    (sent,) = [line.split()[-1] for line in metrics.splitlines() if line.startswith("promtail_sent_entries_total")]
    assert int(sent) == 1


def test_a_file_stays_until_all_of_it_is_in_loki_and_is_then_compressed(host, text):
    host.check_output("systemctl stop promtail")
    send([f"<14>{text}".encode()])
    file = f"{FILES}/warung/$(date -u +%Y-%m-%dT%H).log"
    host.check_output(f"timeout 10 sh -c 'until grep -q {text} {file}; do sleep 0.1; done'")
    old = f"{FILES}/warung/2026-01-01T00.log"
    host.check_output(f"mv {file} {old} && touch -d '10 minutes ago' {old} && syslog-ng-ctl reopen")
    refused = rotate(host, "--force")
    assert refused.rc == 1
    assert "Loki does not have its last line" in refused.stderr
    assert host.file(old).exists
    host.check_output("systemctl start promtail")
    wait_until(host, text, 1)
    rotate(host, "--force")
    assert not host.file(old).exists
    assert host.check_output(f"zgrep -c {text} {old}.1.gz") == "1"


def test_the_file_of_this_hour_is_never_renamed(host, text):
    send([f"<14>{text}".encode()])
    wait_until(host, text, 1)
    refused = rotate(host, "--force")
    assert "its last line is" in refused.stderr
    assert host.run(f"grep -q {text} {FILES}/warung/$(date -u +%Y-%m-%dT%H).log").rc == 0
    # The timer does not even try: the hour is not over.
    assert host.run(f"logrotate --state /var/lib/logrotate/anew {RULES}").rc == 0
