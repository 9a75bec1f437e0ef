"""What the role loki promises: tenants apart, retention on, loopback only."""

import json
import time

testinfra_hosts = ["ssh://hub"]
LOKI = "http://127.0.0.1:3100"


def push(host, tenant, text, **labels):
    """Push one line of now as a tenant; return the HTTP status."""
    stream = {"job": "cctv", "site": tenant, "kind": "node", "severity": "info"} | labels
    values = [[str(time.time_ns()), text, {"host": "node-x", "id": "x@1"}]]
    body = json.dumps({"streams": [{"stream": stream, "values": values}]})
    return host.check_output(
        "curl -s -m 10 -o /dev/null -w %%{http_code} -H 'Content-Type: application/json' -H %s -d %s %s",
        f"X-Scope-OrgID: {tenant}",
        body,
        f"{LOKI}/loki/api/v1/push",
    )


def query(host, tenant, selector):
    """Return all streams of the last hour that match, as Loki's JSON."""
    answer = host.check_output(
        "curl -s -m 20 -G -H %s --data-urlencode %s %s",
        f"X-Scope-OrgID: {tenant}",
        f"query={selector}",
        f"{LOKI}/loki/api/v1/query_range",
    )
    return json.loads(answer)["data"]["result"]


def test_loki_runs_as_its_own_user(host):
    service = host.service("loki")
    assert service.is_running, host.check_output("journalctl -u loki -n 30 --no-pager")
    assert service.is_enabled
    assert host.check_output("systemctl show -p User --value loki") == "loki"


def test_it_is_reached_from_this_machine_only(host):
    assert host.socket("tcp://127.0.0.1:3100").is_listening
    assert host.socket("tcp://127.0.0.1:9095").is_listening
    assert not host.socket("tcp://0.0.0.0:3100").is_listening
    assert not host.socket("tcp://0.0.0.0:9095").is_listening


def test_without_a_tenant_nothing_is_told(host):
    status = host.check_output("curl -s -m 10 -o /dev/null -w %{http_code} " + LOKI + "/loki/api/v1/labels")
    assert status == "401"


def test_a_line_is_found_under_its_own_site_only(host):
    text = f"marked line {time.time_ns()}"
    assert push(host, "site-a", text) == "204"
    assert push(host, "site-b", "another") == "204"
    found = query(host, "site-a", f'{{job="cctv"}} |= "{text}"')
    assert [value[1] for stream in found for value in stream["values"]] == [text]
    assert query(host, "site-b", f'{{job="cctv"}} |= "{text}"') == []
    both = query(host, "site-a|site-b", '{job="cctv"}')
    assert {stream["stream"]["__tenant_id__"] for stream in both} == {"site-a", "site-b"}


def test_loki_adds_no_labels_of_its_own(host):
    assert push(host, "site-c", "error: level=error") == "204"
    answer = host.check_output(f"curl -s -m 10 -H 'X-Scope-OrgID: site-c' {LOKI}/loki/api/v1/labels")
    assert json.loads(answer)["data"] == ["job", "kind", "severity", "site"]


def test_severe_lines_are_kept_longer(host):
    config = host.check_output(f"curl -s -m 10 {LOKI}/config")
    assert "retention_enabled: true" in config
    assert "selector: '{severity=\"crit\"}'" in config
    assert "reporting_enabled: false" in config
