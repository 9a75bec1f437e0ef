"""The way of a batch through gateway and door into the real Loki: asked from outside, with certificates of sites."""

import json
import os
import re
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

testinfra_hosts = ["ssh://hub"]

LAB = os.environ.get("CLLMH_LAB", "0")
PKI = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "build", "lab", LAB, "state", "pki")
PUSH = f"https://10.77.{LAB}.10:8443/loki/api/v1/push"
LOKI = "http://127.0.0.1:3100"
ARCHIVE = "/var/lib/cllmh/log_door"
CONNECTIONS = 8
"""Batches of one site at once: `gateway_log_connections`."""


@dataclass
class Site:
    """A site's node: its certificate, and how it pushes."""

    name: str
    context: ssl.SSLContext
    sent: int = field(default=0)

    def line(self, text, age_s=0.0, **labels):
        """Return a stream of one line, as nodes send it."""
        self.sent += 1
        stream = {"job": "cctv", "site": self.name, "kind": "node", "severity": "info", **labels}
        at = time.time_ns() - int(age_s * 1e9)
        return {"stream": stream, "values": [[str(at), text, {"host": f"node-{self.name}", "id": f"x@{self.sent:x}"}]]}

    def push(self, *streams, **headers):
        """Return status and headers of the answer to a batch."""
        body = json.dumps({"streams": streams}).encode()
        given = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(PUSH, body, given), timeout=60, context=self.context
            ) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers


def make_site(name, folder):
    """Return a site with a certificate of the lab's own authority."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", f"/CN=node-{name}/OU={name}/O=CLLMH", "-CA", PKI / "ca.crt", "-CAkey", PKI / "ca.key"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    context.load_cert_chain(certificate, key)
    return Site(name, context)


@pytest.fixture(scope="module")
def site_a(tmp_path_factory):
    """A site."""
    return make_site("site-a", tmp_path_factory.mktemp("a"))


@pytest.fixture(scope="module")
def site_b(tmp_path_factory):
    """Another site."""
    return make_site("site-b", tmp_path_factory.mktemp("b"))


def stored(host, site, text, start="1h"):
    """Return the lines with the text in the tenant of a site, oldest first."""
    answer = host.check_output(
        "curl -s -m 20 -G -H %s --data-urlencode %s --data-urlencode since=%s -d limit=5000 -d direction=forward %s",
        f"X-Scope-OrgID: {site}",
        f'query={{job="cctv"}} |= "{text}"',
        start,
        f"{LOKI}/loki/api/v1/query_range",
    )
    streams = json.loads(answer)["data"]["result"]
    return [line for _, line in sorted((value[0], value[1]) for stream in streams for value in stream["values"])]


def letters(host, site, text):
    """Return the archived lines of a site that have the text in them."""
    lines = host.check_output("cat %s/%s/*.jsonl", ARCHIVE, site).splitlines()
    return [json.loads(line) for line in lines if text in line]


def counter(host, name):
    """Return a counter of the door."""
    lines = host.check_output("curl -s -m 5 http://127.0.0.1:9466/metrics").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def mark():
    """Return a text that no other line has."""
    return f"mark-{time.time_ns()}"


def test_the_door_runs_with_few_rights_and_is_reached_through_the_gateway_only(host):
    service = host.service("cllmh-log-door")
    assert service.is_running, host.check_output("journalctl -u cllmh-log-door -n 30 --no-pager")
    assert service.is_enabled
    socket = host.file("/run/cllmh-log-door/door.sock")
    assert (socket.user, socket.group, socket.mode) == ("cllmh", "cllmh", 0o660)
    assert host.socket("tcp://127.0.0.1:9466").is_listening
    assert not host.socket("tcp://0.0.0.0:9466").is_listening
    pid = host.check_output("systemctl show -p MainPID --value cllmh-log-door")
    assert "CapEff:\t0000000000000000" in host.file(f"/proc/{pid}/status").content_string
    rating = host.check_output("systemd-analyze security --no-pager cllmh-log-door | tail -1")
    assert float(re.search(r": ([\d.]+)", rating)[1]) < 3


def test_lines_of_two_sites_are_in_their_own_tenants(host, site_a, site_b):
    text = mark()
    assert site_a.push(site_a.line(f"{text} a"), site_a.line(f'{text} در بسته شد ${{}} " \\ '))[0] == 204
    assert site_b.push(site_b.line(f"{text} b"))[0] == 204
    assert stored(host, "site-a", text) == [f"{text} a", f'{text} در بسته شد ${{}} " \\ ']
    assert stored(host, "site-b", text) == [f"{text} b"]


def test_a_node_cannot_write_as_another(host, site_a):
    text = mark()
    forged = site_a.line(text, site="site-b")
    assert site_a.push(forged, X_Cllmh_Site="site-b", X_Scope_OrgID="site-b")[0] == 204
    assert stored(host, "site-b", text) == stored(host, "site-a", text) == []
    [letter] = letters(host, "site-a", text)
    assert (letter["cause"], letter["site"], letter["line"]["stream"]["site"]) == ("foreign", "site-a", "site-b")


def test_without_a_certificate_nothing_is_taken(site_a):
    nobody = Site("site-a", ssl.create_default_context(cafile=PKI / "ca.crt"))
    assert nobody.push(site_a.line("x"))[0] == 403


def test_lines_that_loki_never_takes_are_archived_and_the_others_stored(host, site_a):
    text, archived = mark(), counter(host, "cllmh_log_door_dead_letters_total")
    too_old_s = 91 * 86_400
    batch = [site_a.line(f"{text} {n:03d}", too_old_s if n in (7, 8, 200) else 0) for n in range(300)]
    assert site_a.push(*batch)[0] == 204
    assert stored(host, "site-a", text) == [f"{text} {n:03d}" for n in range(300) if n not in (7, 8, 200)]
    refused = letters(host, "site-a", text)
    assert [letter["line"]["values"][0][1] for letter in refused] == [f"{text} {n:03d}" for n in (7, 8, 200)]
    assert all("timestamp too old" in letter["reason"] for letter in refused)
    assert counter(host, "cllmh_log_door_dead_letters_total") - archived == 3
    assert host.check_output("journalctl -u cllmh-log-door -g %s --no-pager", "event=log_lines_archived")


def test_the_archive_is_read_by_the_group_only(host):
    for path in host.check_output("find %s/site-a -type f", ARCHIVE).splitlines():
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("cllmh", "cllmh", 0o640)


def test_while_loki_is_stopped_lines_are_sent_back_and_none_is_lost(host, site_a):
    text = mark()
    batch = [site_a.line(f"{text} {n}") for n in range(5)]
    host.check_output("systemctl stop loki")
    try:
        status, headers = site_a.push(*batch)
        assert (status, headers["Retry-After"]) == (503, "5")
    finally:
        host.check_output("systemctl start loki")
    deadline = time.monotonic() + 90
    while (status := site_a.push(*batch)[0]) != 204:
        assert status == 503
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert site_a.push(*batch)[0] == 204  # a node that did not hear the answer sends them again
    assert stored(host, "site-a", text) == [f"{text} {n}" for n in range(5)]


def test_a_door_that_is_killed_is_back_and_nodes_keep_their_lines_until_then(host, site_a):
    text = mark()
    host.check_output("systemctl kill -s KILL cllmh-log-door")
    deadline = time.monotonic() + 60
    while (status := site_a.push(site_a.line(text))[0]) != 204:
        assert status in (502, 503)
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert stored(host, "site-a", text) == [text]


def test_the_largest_batch_of_a_node_passes_and_a_larger_one_is_refused_loudly(host, site_a):
    text = mark()
    # 512 KiB of lines and one of 1 MB, each of its characters written as \u0001.
    batch = [site_a.line(f"{text} {n}" + "y" * 1000) for n in range(500)] + [site_a.line(text + "\x01" * 1_000_000)]
    assert site_a.push(*batch)[0] == 204
    assert len(stored(host, "site-a", text)) == 501
    assert site_a.push(site_a.line("z" * 17_000_000))[0] == 413


def test_a_site_that_floods_is_slowed_and_refused_and_others_are_not(host, site_a, site_b):
    statuses = []
    begun = threading.Barrier(3 * CONNECTIONS + 1)

    def flood():
        begun.wait()
        for _ in range(8):
            status, headers = site_a.push(site_a.line("flood"))
            statuses.append((status, headers["Retry-After"]))

    threads = [threading.Thread(target=flood) for _ in range(3 * CONNECTIONS)]
    host.check_output("systemctl kill -s STOP loki")  # nothing is answered, so that the batches pile up
    try:
        for thread in threads:
            thread.start()
        begun.wait()
        while (429, "1") not in statuses:
            time.sleep(0.05)
    finally:
        host.check_output("systemctl kill -s CONT loki")
    text = mark()
    assert site_b.push(site_b.line(text))[0] == 204
    for thread in threads:
        thread.join()
    assert {status for status, _ in statuses} == {204, 429}
    assert stored(host, "site-b", text) == [text]
