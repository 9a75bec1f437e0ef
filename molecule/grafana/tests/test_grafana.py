"""What the role grafana promises, with a stand-in for Grafana's package that says so; Loki and gateway are real."""

import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.parse
from pathlib import Path

import pytest

testinfra_hosts = ["ssh://hub"]

LAB = os.environ.get("CLLMH_LAB", "0")
STATE = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "build", "lab", LAB, "state")
HUB = f"10.77.{LAB}.10"
ALLOWED, REFUSED = f"10.77.{LAB}.1", f"10.77.{LAB}.2"
GRAFANA = "http://127.0.0.1:3000/grafana"


def get(host, path):
    """Return the stand-in's answer, asked on the hub itself."""
    return json.loads(host.check_output("curl -sf -m 20 %s", GRAFANA + path))


@pytest.fixture(scope="module")
def read(host):
    """What the stand-in read, as Grafana's user and in its sandbox."""
    return get(host, "/standin")


def through_the_gateway(source: str, path: str = "/grafana/api/health") -> int:
    """Return the status of a request from one of the controller's addresses."""
    context = ssl.create_default_context(cafile=STATE / "pki/ca.crt")
    connection = http.client.HTTPSConnection(HUB, timeout=10, context=context, source_address=(source, 0))
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_runs_as_its_own_user_and_listens_on_this_machine_only(host):
    service = host.service("grafana-server")
    assert service.is_running, host.check_output("journalctl -u grafana-server -n 30 --no-pager")
    assert service.is_enabled
    assert host.check_output("systemctl show -p User --value grafana-server") == "grafana"
    assert host.socket("tcp://127.0.0.1:3000").is_listening
    assert not host.socket("tcp://0.0.0.0:3000").is_listening


def test_it_is_the_stand_in(host):
    assert host.package("grafana").version == "0.0.0+standin"
    assert get(host, "/api/health")["standin"] is True


def test_only_addresses_on_the_list_reach_it():
    assert through_the_gateway(ALLOWED) == 200
    assert through_the_gateway(REFUSED) == 403


def test_nobody_is_let_in_without_a_login_and_nothing_is_told_to_others(read):
    config = read["config"]
    assert config["auth.anonymous"]["enabled"] == "false"
    assert config["users"]["allow_sign_up"] == "false"
    assert {
        config["analytics"][key] for key in ("reporting_enabled", "check_for_updates", "check_for_plugin_updates")
    } == {"false"}
    assert config["snapshots"]["external_enabled"] == config["plugins"]["plugin_admin_enabled"] == "false"
    assert config["security"]["cookie_secure"] == "true"
    assert config["server"]["root_url"] == "https://%(domain)s/grafana/"


def test_secrets_come_from_files_that_only_the_service_gets(host, read):
    password = (STATE / "grafana/admin").read_text().strip()
    assert read["secrets"]["admin_password"]["sha256"] == hashlib.sha256(password.encode()).hexdigest()
    assert read["secrets"]["secret_key"]["length"] == 48
    for name in ("grafana_admin", "grafana_secret_key"):
        file = host.file(f"/etc/cllmh/secrets/{name}")
        assert (file.user, file.mode) == ("root", 0o600)
    assert host.run("grep -rqF %s /etc/grafana /etc/systemd/system", password).rc == 1
    assert host.run("runuser -u grafana -- cat /etc/cllmh/secrets/grafana_admin").rc != 0


def test_all_dashboards_are_where_the_provider_looks(read):
    assert sorted(read["dashboards"]) == ["cllmh-fleet", "cllmh-gaps", "cllmh-logs", "cllmh-site"]


def test_the_data_source_as_provisioned_finds_the_lines_of_all_sites(host, read):
    assert [source["uid"] for source in read["datasources"]] == ["cllmh-loki"]
    for site in ("site-a", "site-b"):
        stream = {"job": "cctv", "site": site, "kind": "node", "severity": "info"}
        body = json.dumps({"streams": [{"stream": stream, "values": [[str(time.time_ns()), f"hello from {site}"]]}]})
        command = (
            "curl -sf -m 10 -H 'Content-Type: application/json' -H %s -d %s http://127.0.0.1:3100/loki/api/v1/push"
        )
        host.check_output(command, f"X-Scope-OrgID: {site}", body)
    query = urllib.parse.urlencode({"query": '{job="cctv"} |= "hello from"'})
    answer = get(host, f"/api/datasources/proxy/uid/cllmh-loki/loki/api/v1/query_range?{query}")
    assert {stream["stream"]["site"] for stream in answer["data"]["result"]} == {"site-a", "site-b"}
