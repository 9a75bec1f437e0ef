"""What the hub grants and refuses, asked over the network."""

import json
import subprocess
import uuid

import pytest

HEADERS = ["-H", "X-Requested-With: cllmh", "-H", "Content-Type: application/json"]


def curl(proof, path, *arguments):
    """Ask the hub as the controller would; returns (HTTP status, body)."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "20", "--cacert", proof["ca_file"]]
    command += ["--write-out", "\n%{http_code}", *arguments, proof["hub_url"] + path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def login_body(proof, password):
    return json.dumps({"username": proof["username"], "password": password})


def test_a_wrong_password_is_refused(proof):
    status, body = curl(proof, "/api/v1/session", *HEADERS, "--data", login_body(proof, "wrong"))
    assert status == 401
    assert proof["password"] not in body


def test_an_address_outside_the_allow_list_is_refused_even_with_the_right_password(proof):
    prefix = proof["hub_url"].removeprefix("https://").rsplit(".", 1)[0]
    outside = ["--interface", f"{prefix}.2"]
    status, body = curl(proof, "/api/v1/session", *outside, *HEADERS, "--data", login_body(proof, proof["password"]))
    assert status == 403
    assert json.loads(body)["error"]["code"] == "address_not_allowed"


def test_nobody_reads_sites_clips_or_logs_without_logging_in(proof):
    for path in ("sites", "clips", "gaps", "logs"):
        status, _ = curl(proof, f"/api/v1/{path}")
        assert status == 401, path


def test_the_openapi_document_and_the_health_page_need_no_login(proof):
    assert curl(proof, "/health")[0] == 200
    status, body = curl(proof, "/api/openapi.json")
    assert status == 200
    assert "/api/report" in json.loads(body)["paths"]


def test_a_report_without_a_token_is_refused(proof):
    assert curl(proof, "/api/report", *HEADERS, "--data", "{}")[0] == 401


def test_a_node_cannot_report_as_another(ssh):
    report = {"id": str(uuid.uuid4()), "node": "node-b", "site": "site-b", "kind": "gap", "at": "2026-01-01T00:00:00Z",
              "data": {"camera": "shop", "start": "2026-01-01T00:00:00Z", "end": None, "cause": "network"}}  # fmt: skip
    line = (
        "TOKEN=$(cat $(awk '/token_file/ {print $2}' /etc/cllmh/reports.yml)); "
        f'printf \'header = "Authorization: Bearer %s"\' "$TOKEN" | curl -s --config - --cacert /etc/cllmh/pki/ca.crt '
        f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {report['id']}' -o /dev/null -w '%{{http_code}}' "
        f"--data '{json.dumps(report)}' https://hub/api/report"
    )
    assert ssh("node-a", line).stdout == "403"


def test_a_node_cannot_write_logs_as_another(ssh):
    mark = f"forged-{uuid.uuid4().hex[:10]}"
    line = (
        f'curl -s -o /dev/null -w "%{{http_code}}" --cacert /etc/cllmh/pki/ca.crt --cert /etc/cllmh/pki/host.crt '
        f"--key /etc/cllmh/pki/host.key -H 'X-Scope-OrgID: site-b' -H 'Content-Type: application/json' "
        f'--data "{{\\"streams\\":[{{\\"stream\\":{{\\"job\\":\\"cctv\\",\\"site\\":\\"site-b\\"}},'
        f'\\"values\\":[[\\"$(date +%s%N)\\",\\"{mark}\\"]]}}]}}" https://hub:8443/loki/api/v1/push'
    )
    assert ssh("node-a", line).stdout == "204"
    ask = (
        "sleep 2; curl -s -G -H 'X-Scope-OrgID: site-b' http://127.0.0.1:3100/loki/api/v1/query_range "
        f'--data-urlencode \'query={{job="cctv"}} |= "{mark}"\' --data-urlencode since=5m'
    )
    assert json.loads(ssh("hub", ask).stdout)["data"]["result"] == []


def test_without_a_certificate_no_log_is_taken(ssh):
    line = (
        "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/cllmh/pki/ca.crt "
        "--data '{}' https://hub:8443/loki/api/v1/push"
    )
    done = ssh("node-a", line, check=False)
    assert done.stdout in ("000", "400", "403")


def test_a_stranger_cannot_fetch_clips_from_a_node(ssh):
    line = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/cllmh/pki/ca.crt https://node-a/clips"
    done = ssh("node-b", line, check=False)
    assert done.stdout in ("000", "400", "403")


@pytest.mark.parametrize("machine", ["node-a", "node-b", "hub"])
def test_no_secret_stands_in_a_process_list_or_a_log(machine, lab_dir, ssh):
    secrets = [
        file.read_text().strip() for folder in ("tokens", "users") for file in (lab_dir / "state" / folder).iterdir()
    ]
    secrets += ["rahasia@:/#%1", "gudang%#@:/2", "rahasia%40%3A%2F%23%251", "router-a-secret"]
    seen = ssh(
        machine, "ps -eo args; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; journalctl --no-pager -q"
    ).stdout
    assert "cllmh" in seen
    assert not [index for index, secret in enumerate(secrets) if secret in seen]
