"""What is open on a hub and on a node, to whom: asked from outside, over real TLS."""

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra

testinfra_hosts = ["ssh://hub"]

LAB = os.environ.get("CLLMH_LAB", "0")
PKI = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "build", "lab", LAB, "state", "pki")
HUB = f"10.77.{LAB}.10"
NODE = f"10.77.{LAB}.31"
CLIP = "/clips/gate/2026-11-22/20261122T010203.000Z.mp4"


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        """Return the body, decoded."""
        return json.loads(self.body)


def ask(url: str, certificate: str | None = None, data: bytes | None = None, **headers: str) -> Answer:
    """Send a request as the machine ``certificate``, or as nobody."""
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    if certificate:
        context.load_cert_chain(PKI / f"{certificate}.crt", PKI / f"{certificate}.key")
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay())
    try:
        response = opener.open(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return Answer(response.status, dict(response.headers), response.read())


class Stay(urllib.request.HTTPRedirectHandler):
    """Shows a redirect instead of following it."""

    def redirect_request(self, *_):
        """Follow none."""


def test_plain_http_is_sent_to_https():
    answer = ask(f"http://{HUB}/clips?site=site-a")
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HUB}/clips?site=site-a")


def test_dashboard_answers_on_every_page_and_is_never_stale():
    for page in ("/", "/logs", "/index.html"):
        answer = ask(f"https://{HUB}{page}")
        assert (answer.status, answer.body) == (200, b"<title>CLLMH</title>")
        assert "no-cache" in answer.headers["Cache-Control"]


def test_dashboard_runs_nothing_but_its_own_scripts():
    policy = ask(f"https://{HUB}/").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy


def test_there_is_no_door_to_a_grafana_that_nobody_installed():
    assert ask(f"https://{HUB}/grafana/api/health").body == b"<title>CLLMH</title>"


def test_assets_are_cached_and_a_missing_one_is_not_the_index():
    assert ask(f"https://{HUB}/assets/app-1a2b3c.js").headers["Cache-Control"] == "max-age=31536000"
    assert ask(f"https://{HUB}/assets/app-0.js").status == 404


@pytest.mark.parametrize("path", ["/health", "/api/v1/sites?x=1", "/api/openapi.json"])
def test_api_hears_the_real_address_whatever_the_client_claims(path):
    answer = ask(f"https://{HUB}{path}", X_Forwarded_For="203.0.113.9").json()
    assert answer["path"] == path
    assert answer["headers"]["X-Forwarded-For"] == f"10.77.{LAB}.1"
    assert answer["headers"]["X-Forwarded-Proto"] == "https"
    assert answer["headers"]["Host"] == HUB


def test_a_body_that_is_too_large_does_not_reach_the_api():
    assert ask(f"https://{HUB}/api/report", data=bytes(1_048_577)).status == 413


def test_old_tls_is_refused(host):
    for version, accepted in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        run = host.run(f"echo | openssl s_client -connect 127.0.0.1:443 {version} 2>&1 | grep -c 'Server certificate'")
        assert (run.stdout.strip() == "1") is accepted, version


def test_logs_come_from_the_site_that_the_certificate_says():
    url = f"https://{HUB}:8443/loki/api/v1/push"
    answer = ask(url, "node-b", b"{}", X_Cllmh_Site="site-a").json()
    assert answer["headers"]["X-Cllmh-Site"] == "site-b"
    assert ask(url, "hub", bytes(4_000_000)).json()["headers"]["X-Cllmh-Site"] == "hub"


def test_logs_without_a_certificate_are_refused_in_a_way_that_keeps_them():
    assert ask(f"https://{HUB}:8443/loki/api/v1/push", None, b"{}").status == 403


def test_machine_port_offers_nothing_but_the_push():
    assert ask(f"https://{HUB}:8443/loki/api/v1/query", "node-b").status == 404


def test_node_answers_the_hub():
    for path in ("/health", "/disk", "/files?limit=2", "/clips?camera=gate", "/metrics"):
        assert ask(f"https://{NODE}{path}", "hub").json()["path"] == path
    for path in ("/room?bytes=1", "/other"):
        assert ask(f"https://{NODE}{path}", "hub").status == 404


def test_node_hands_out_a_part_of_a_clip():
    answer = ask(f"https://{NODE}{CLIP}", "hub", Range="bytes=2-4")
    assert (answer.status, answer.body) == (206, b"234")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert ask(f"https://{NODE}/clips/../../../etc/passwd", "hub").status in (400, 404)


@pytest.mark.parametrize("certificate", [None, "node-b"])
def test_node_answers_nobody_else(certificate):
    for path in ("/health", CLIP):
        assert ask(f"https://{NODE}{path}", certificate).status == 403


@pytest.mark.parametrize(("machine", "ports"), [("hub", {80, 443, 8443}), ("node-b", {443})])
def test_nginx_listens_where_it_should_and_nowhere_else(machine, ports):
    config = PKI.parents[1] / "ssh_config"
    host = testinfra.get_host(f"ssh://{machine}", ssh_config=str(config))
    found = {
        int(where.rsplit(":", 1)[1]) for where in host.socket.get_listening_sockets() if where.startswith("tcp://0")
    }
    assert found - {22, 5355} == ports
