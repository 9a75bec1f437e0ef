"""What monitors, and people who read the document, see."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from cllmh_hub.cli import openapi_text
from cllmh_hub.log_door.batch import DeadLetter
from cllmh_hub.log_door.dead_letters import DeadLetters
from unit.hub.helpers import Browser, Clock, error_code
from unit.hub.servers import Server

OPENAPI_FILE = Path(__file__).parents[3] / "files" / "hub" / "openapi.json"


def health(app: Flask) -> tuple[int, dict[str, object]]:
    response = app.test_client().get("/health")
    return response.status_code, response.get_json()


def test_a_healthy_hub_says_so_without_a_login(app: Flask) -> None:
    code, body = health(app)
    assert (code, body["status"], body["checks"]) == (200, "ok", {"database": "ok", "loki": "ok"})
    assert body["version"]


@pytest.mark.parametrize(("mode", "result"), [("broken", "failed"), ("silent", "timeout")])
def test_a_loki_that_fails_degrades_the_hub(
    app: Flask, fake_loki: Server, monkeypatch: pytest.MonkeyPatch, mode: str, result: str
) -> None:
    monkeypatch.setattr("cllmh_hub.loki._READY_TIMEOUT_S", 0.2)
    fake_loki.mode = mode
    code, body = health(app)
    assert (code, body["status"], body["checks"]) == (200, "degraded", {"database": "ok", "loki": result})


def test_a_database_that_fails_makes_the_hub_unhealthy(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("disk I/O error"))

    monkeypatch.setattr("cllmh_hub.database.Database.check", fail)
    code, body = health(app)
    assert (code, body["status"]) == (503, "failed")
    assert "I/O" not in json.dumps(body)


def test_it_says_how_many_lines_no_store_will_ever_take(app: Flask, settings: dict[str, Any]) -> None:
    archive = Path(settings["dead_letters_dir"])
    assert health(app)[1]["dead_letters"] is None
    archive.mkdir()
    assert health(app)[1]["dead_letters"] == 0
    letters = DeadLetters(archive, max_bytes=10_000, now=Clock())
    letters.add("site-a", "loki", [DeadLetter(b"{}", "refused", "too old")] * 3)
    letters.add("site-b", "elasticsearch", [DeadLetter(b"no json\n", "malformed", "no JSON")])
    assert health(app)[1]["dead_letters"] == 4
    letters.add("site-a", "loki", [DeadLetter(b"{}", "refused", "too old")] * 2)
    code, body = health(app)
    assert (code, body["status"], body["dead_letters"]) == (200, "ok", 6)
    next((archive / "site-a").iterdir()).unlink()
    assert health(app)[1]["dead_letters"] == 1


def test_an_archive_that_cannot_be_read_is_not_called_empty(
    app: Flask, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    Path(settings["dead_letters_dir"]).write_text("")
    assert health(app)[1]["dead_letters"] is None
    assert [record.msg for record in caplog.records if "dead" in record.msg] == ["dead_letters_unreadable"]


def test_the_document_in_the_repository_is_the_applications() -> None:
    assert OPENAPI_FILE.read_text() == openapi_text(), (
        "run `make openapi` or: cllmh-hub openapi > files/hub/openapi.json"
    )


def test_the_document_is_served_without_a_login(stranger: Browser) -> None:
    document = stranger.get("/api/openapi.json").get_json()
    assert document == json.loads(OPENAPI_FILE.read_text())


def test_every_endpoint_is_in_the_document(app: Flask) -> None:
    paths = json.loads(OPENAPI_FILE.read_text())["paths"]
    for rule in app.url_map.iter_rules():
        if rule.endpoint in ("static", "openapi_document"):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert method.lower() in paths[rule.rule.replace("<int:clip_id>", "{clip_id}")]


def test_an_unknown_address_is_answered_in_json(stranger: Browser) -> None:
    response = stranger.get("/api/v1/nothing")
    assert (response.status_code, error_code(response)) == (404, "not_found")
    assert stranger.ask("PUT", "/api/v1/session").status_code == 405
