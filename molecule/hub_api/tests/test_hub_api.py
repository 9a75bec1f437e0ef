"""What the role hub_api promises: an API on a socket, secrets that only it can read."""

import hashlib
import json
import os
import re
import shlex
import uuid
from pathlib import Path

testinfra_hosts = ["ssh://hub"]

STATE = Path(__file__).parents[3] / "build" / "lab" / os.environ.get("CLLMH_LAB", "0") / "state"
ADDRESS = f"10.77.{os.environ.get('CLLMH_LAB', '0')}.1"
SOCKET = "/run/cllmh-hub-api/api.sock"
UNIT = "cllmh-hub-api"


def ask(host, path, *, body=None, headers=(), address=ADDRESS):
    """Ask the API as nginx does; return status, JSON and the cookie that it sets."""
    given = [f"X-Forwarded-For: {address}", "X-Forwarded-Proto: https", "X-Requested-With: cllmh", *headers]
    command = ["curl", "-s", "-i", "-m", "10", "--unix-socket", SOCKET]
    for header in given:
        command += ["-H", header]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    head, text = re.split(r"\r?\n\r?\n", host.check_output(shlex.join([*command, f"http://hub{path}"])), maxsplit=1)
    cookie = re.search(r"(?im)^set-cookie: ([^;]+)", head)
    return int(head.split()[1]), json.loads(text), cookie and cookie[1]


def admin_password():
    return (STATE / "users" / "admin").read_text().strip()


def token_of(node):
    return (STATE / "tokens" / node).read_text().strip()


def test_the_service_runs_hardened_as_the_user(host):
    service = host.service(UNIT)
    assert service.is_running, host.check_output(f"journalctl -u {UNIT} -n 30 --no-pager")
    assert service.is_enabled
    shown = host.check_output(f"systemctl show -p User,Type,ProtectSystem,NoNewPrivileges {UNIT}").splitlines()
    assert set(shown) == {"User=cllmh", "Type=notify", "ProtectSystem=strict", "NoNewPrivileges=yes"}


def test_only_the_group_reaches_the_socket(host):
    socket = host.file(SOCKET)
    assert (socket.user, socket.group, socket.mode) == ("cllmh", "cllmh", 0o660)
    assert host.file("/run/cllmh-hub-api").mode == 0o750


def test_it_is_healthy_but_for_loki_which_is_not_here(host):
    status, body, _ = ask(host, "/health", address="203.0.113.9")
    assert status == 200
    assert body["checks"] == {"database": "ok", "loki": "failed"}
    assert body["version"] == host.check_output("cllmh-hub --version").split()[1]


def test_secrets_are_readable_by_root_and_handed_to_the_service_only(host):
    for name in ("hub_users.yml", "hub_session"):
        file = host.file(f"/etc/cllmh/secrets/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600), name


def test_no_password_or_token_reaches_the_hub(host):
    for name in ("hub.yml", "secrets/hub_users.yml"):
        content = host.file(f"/etc/cllmh/{name}").content_string
        assert admin_password() not in content, name
        assert token_of("node-a") not in content, name
    assert hashlib.sha256(token_of("node-a").encode()).hexdigest() in host.file("/etc/cllmh/hub.yml").content_string


def test_the_user_of_the_inventory_logs_in_and_sees_both_sites(host):
    login = {"username": "admin", "password": admin_password()}
    status, body, cookie = ask(host, "/api/v1/session", body=login)
    assert (status, body) == (200, {"name": "admin", "role": "admin"})
    status, body, _ = ask(host, "/api/v1/sites", headers=[f"Cookie: {cookie}"])
    assert status == 200
    sites = {site["name"]: site for site in body["items"]}
    assert set(sites) == {"site-a", "site-b"}
    assert sites["site-a"]["timezone"] == "Asia/Jakarta"
    assert [camera["name"] for camera in sites["site-a"]["nodes"][0]["cameras"]] == ["gate", "yard"]


def test_a_wrong_password_and_a_foreign_address_are_refused(host):
    status, body, _ = ask(host, "/api/v1/session", body={"username": "admin", "password": "wrong"})
    assert (status, body["error"]["code"]) == (401, "login_failed")
    status, body, _ = ask(host, "/api/v1/sites", address="203.0.113.9")
    assert (status, body["error"]["code"]) == (403, "address_not_allowed")


def test_a_node_reports_with_the_token_from_the_controller(host):
    gap = {"camera": "gate", "start": "2026-11-22T03:00:00.000Z", "end": None, "cause": "network"}
    envelope = {"id": str(uuid.uuid4()), "kind": "gap", "at": "2026-11-22T03:00:01.000Z"}
    envelope |= {"node": "node-a", "site": "site-a", "data": gap}
    bearer = [f"Authorization: Bearer {token_of('node-a')}"]
    assert ask(host, "/api/report", body=envelope, headers=bearer)[:2] == (202, {"status": "stored"})
    assert ask(host, "/api/report", body=envelope, headers=bearer)[:2] == (200, {"status": "duplicate"})
    status, body, _ = ask(host, "/api/report", body=envelope, headers=[f"Authorization: Bearer {token_of('node-b')}"])
    assert (status, body["error"]["code"]) == (403, "wrong_node")
