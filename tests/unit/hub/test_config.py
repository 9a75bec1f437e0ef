"""hub.yml, the users file, and the command line that reads them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cllmh_hub.app import create_app, create_app_from
from cllmh_hub.cli import main
from cllmh_hub.config import HubConfig
from cllmh_hub.config_file import ConfigError, load_config


def write(settings: dict[str, Any], folder: Path) -> Path:
    path = folder / "hub.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


def refusal(settings: dict[str, Any], folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(settings, folder), HubConfig)
    return str(caught.value)


def test_a_right_file_is_said_to_be_right(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--config", str(write(settings, tmp_path))]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/hub.yml: right, 2 sites, 2 nodes\n"


def test_a_misspelt_key_is_named_with_file_and_the_right_one(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings["alowed_networks"] = settings.pop("allowed_networks")
    assert main(["check-config", "--config", str(write(settings, tmp_path))]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/hub.yml: alowed_networks: unknown key; did you mean allowed_networks?" in error


def test_nobody_is_let_in_by_default(settings: dict[str, Any], tmp_path: Path) -> None:
    del settings["allowed_networks"]
    assert "allowed_networks: is missing" in refusal(settings, tmp_path)
    settings["allowed_networks"] = []
    assert "allowed_networks" in refusal(settings, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("url", "http://10.0.0.1"), ("token_sha256", "abc"), ("name", "../x"), ("cameras", ["a b"])]
)
def test_a_wrong_node_is_named(settings: dict[str, Any], tmp_path: Path, key: str, value: Any) -> None:
    settings["sites"][0]["nodes"][0][key] = value
    assert f"sites[0].nodes[0].{key}" in refusal(settings, tmp_path)


def test_a_time_zone_must_exist(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["sites"][0]["timezone"] = "WIB"
    assert "sites[0].timezone: 'WIB': must be an IANA time zone" in refusal(settings, tmp_path)


@pytest.mark.parametrize("key", ["name", "token_sha256"])
def test_two_nodes_cannot_be_the_same(settings: dict[str, Any], tmp_path: Path, key: str) -> None:
    first, second = (site["nodes"][0] for site in settings["sites"])
    second[key] = first[key]
    assert "nodes" in refusal(settings, tmp_path)


def test_a_database_password_in_the_url_is_refused_and_not_repeated(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["database_url"] = "postgresql+psycopg://hub:geheim@db/cllmh"
    text = refusal(settings, tmp_path)
    assert "passfile" in text
    assert "geheim" not in text


@pytest.mark.parametrize("url", ["mysql://db/x", "hub.db"])
def test_other_databases_are_refused(settings: dict[str, Any], tmp_path: Path, url: str) -> None:
    settings["database_url"] = url
    assert "database_url: must" in refusal(settings, tmp_path)


@pytest.mark.parametrize("name", ["users.yml", "session_secret"])
def test_a_secret_that_others_can_read_stops_the_start(settings: dict[str, Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).chmod(0o644)
    with pytest.raises(ConfigError, match="0600 or 0640"):
        create_app(HubConfig.model_validate(settings))


def test_a_short_session_secret_stops_the_start(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "session_secret").write_text("short")
    with pytest.raises(ConfigError, match="must have 32"):
        create_app(HubConfig.model_validate(settings))


def test_a_plain_password_in_the_users_file_is_refused_and_not_repeated(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "users.yml").write_text(json.dumps({"users": [{"name": "nadia", "password_hash": "geheim"}]}))
    with pytest.raises(ConfigError) as caught:
        create_app(HubConfig.model_validate(settings))
    assert "users[0].password_hash" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_hub_that_is_started_again_still_knows_everything(settings: dict[str, Any], tmp_path: Path) -> None:
    path = write(settings, tmp_path)
    assert create_app_from(str(path)).test_client().get("/health").status_code == 200
    assert create_app_from(str(path)).test_client().get("/health").status_code == 200


@pytest.mark.parametrize("name", ["log.py", "config_file.py", "log_messages.json"])
def test_what_node_and_hub_share_is_there_once(name: str) -> None:
    package = Path(__file__).parents[3] / "files" / "hub" / "src" / "cllmh_hub"
    assert (package / name).is_symlink()


def test_serve_answers_on_a_socket_that_only_the_group_may_use(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cllmh_hub", "serve"),
                *("--config", str(write(settings, tmp_path)), "--bind", f"unix:{path}", "--workers", "1"),
            ],
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            answer = ask_health(path, log)
        finally:
            process.terminate()
            process.wait(60)
    assert answer.startswith(b"HTTP/1.1 200")
    assert path.exists() is False
    assert "event=hub_api_started" in log.read_text()


def ask_health(path: Path, log: Path) -> bytes:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    assert path.stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
