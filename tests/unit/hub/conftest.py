"""A hub API with a real database, and a node and a Loki to talk to."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.security import generate_password_hash

from cllmh_hub.app import create_app
from cllmh_hub.config import HubConfig
from unit.hub.certificates import Certificates, make_certificates
from unit.hub.helpers import PASSWORDS, TOKENS, Browser, Clock, Reporter
from unit.hub.servers import Server, answer_as_loki, answer_as_node


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def fake_node(certificates: Certificates) -> Iterator[Server]:
    """A node's gateway: TLS, and the hub's client certificate required."""
    with Server(answer_as_node, certificates.server_context()).running() as server:
        yield server


@pytest.fixture
def fake_loki() -> Iterator[Server]:
    with Server(answer_as_loki).running() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, certificates: Certificates, fake_loki: Server, fake_node: Server) -> dict[str, Any]:
    """The content of hub.yml: two sites with a node each, two people."""
    users = [
        {"name": name, "role": role, "password_hash": generate_password_hash(PASSWORDS[name], "scrypt:1024:8:1")}
        for name, role in (("nadia", "admin"), ("budi", "viewer"))
    ]
    (tmp_path / "users.yml").write_text(json.dumps({"users": users}))
    (tmp_path / "users.yml").chmod(0o600)
    (tmp_path / "session_secret").write_text("s" * 48 + "\n")
    (tmp_path / "session_secret").chmod(0o600)
    (tmp_path / "routers.d").mkdir()
    return {
        "database_url": f"sqlite:///{tmp_path}/hub.db",
        "users_file": str(tmp_path / "users.yml"),
        "session_secret_file": str(tmp_path / "session_secret"),
        "allowed_networks": ["192.168.0.0/16", "fd00::/8"],
        "loki_url": fake_loki.url,
        "routers_dir": str(tmp_path / "routers.d"),
        "dead_letters_dir": str(tmp_path / "letters"),
        "tls": {"ca": str(certificates.ca), "cert": str(certificates.hub_cert), "key": str(certificates.hub_key)},
        "login": {"window_s": 900, "failures_per_user": 3, "failures_per_address": 5},
        "sites": [
            site("site-a", "Toko Sinar Jaya", "Asia/Jakarta", "node-a", fake_node.url, ["gate", "yard"]),
            site("site-b", "Gudang Mawar", "Asia/Makassar", "node-b", "https://127.0.0.1:1", ["shop", "store"]),
        ],
    }


def site(name: str, title: str, timezone: str, node: str, url: str, cameras: list[str]) -> dict[str, Any]:
    token = hashlib.sha256(TOKENS[node].encode()).hexdigest()
    nodes = [{"name": node, "url": url, "token_sha256": token, "cameras": cameras}]
    return {"name": name, "title": title, "timezone": timezone, "nodes": nodes}


@pytest.fixture
def app(settings: dict[str, Any], clock: Clock) -> Flask:
    return create_app(HubConfig.model_validate(settings), now=clock)


@pytest.fixture
def stranger(app: Flask) -> Browser:
    """Somebody at an allowed address who has not logged in."""
    return Browser(app.test_client())


@pytest.fixture
def nadia(app: Flask) -> Browser:
    """Somebody who has logged in."""
    browser = Browser(app.test_client())
    assert browser.log_in().status_code == 200
    return browser


@pytest.fixture
def node_a(app: Flask, clock: Clock) -> Reporter:
    return Reporter(app.test_client(), "node-a", "site-a", clock)


@pytest.fixture
def node_b(app: Flask, clock: Clock) -> Reporter:
    return Reporter(app.test_client(), "node-b", "site-b", clock)
