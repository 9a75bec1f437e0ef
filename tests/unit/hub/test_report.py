"""What happens to what a node reports."""

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select

from cllmh_hub.models import StoredReport
from cllmh_hub.services import services
from unit.hub.helpers import Browser, Clock, Reporter, clip, disk, error_code, status

KINDS = {
    "camera_status": status(),
    "clip_closed": clip(),
    "clips_deleted": {"paths": [clip()["path"]], "reason": "disk"},
    "gap": {"camera": "gate", "start": "2026-11-22T03:00:00.000Z", "end": None, "cause": "network"},
    "disk": disk(),
    "backup_channel": {
        "channel": 3,
        "outcome": "failed",
        "path": None,
        "start": None,
        "end": None,
        "seconds": 0.0,
        "bytes": 0,
        "attempts": 1,
        "error": {"cause": "not_found", "text": "dvr has no stream"},
    },
    "backup_run": {
        "exit_code": 1,
        "start": "2026-11-22T03:00:00.000Z",
        "end": "2026-11-22T03:15:00.000Z",
        "channels": 16,
        "recorded": 15,
        "interrupted": 0,
        "failed": 1,
        "bytes": 1_000_000,
    },
}


def stored(app: Flask) -> list[StoredReport]:
    with app.app_context(), services().database.session() as session:
        return list(session.scalars(select(StoredReport)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_report_is_stored(app: Flask, node_a: Reporter, kind: str) -> None:
    response = node_a.report(kind, KINDS[kind])
    assert (response.status_code, response.get_json()) == (202, {"status": "stored"})
    assert [(report.kind, report.node, report.site) for report in stored(app)] == [(kind, "node-a", "site-a")]


def test_a_report_sent_again_is_a_duplicate_and_counts_once(app: Flask, node_a: Reporter, nadia: Browser) -> None:
    envelope = node_a.envelope("clip_closed", clip())
    assert node_a.post(envelope).status_code == 202
    again = node_a.post(envelope)
    assert (again.status_code, again.get_json()) == (200, {"status": "duplicate"})
    assert len(stored(app)) == 1
    assert len(nadia.get("/api/v1/clips").get_json()["items"]) == 1


def test_a_duplicate_still_shows_that_the_node_is_there(node_a: Reporter, nadia: Browser, clock: Clock) -> None:
    envelope = node_a.envelope("disk", disk())
    node_a.post(envelope)
    clock.forward(3600)
    node_a.post(envelope)
    assert nadia.get("/api/v1/sites").get_json()["items"][0]["nodes"][0]["online"]


def test_an_unknown_token_is_refused(app: Flask, node_a: Reporter) -> None:
    response = node_a.post(node_a.envelope("disk", disk()), token="guessed")
    assert (response.status_code, error_code(response)) == (401, "token_unknown")
    assert stored(app) == []


def test_a_report_without_a_token_is_refused_before_it_is_read(app: Flask) -> None:
    response = app.test_client().post("/api/report", data=b"not json")
    assert (response.status_code, error_code(response)) == (401, "token_unknown")


def test_a_node_cannot_speak_for_another(app: Flask, node_a: Reporter) -> None:
    response = node_a.report("disk", disk(), node="node-b", site="site-b")
    assert (response.status_code, error_code(response)) == (403, "wrong_node")
    assert stored(app) == []


def test_a_node_cannot_speak_for_another_site(app: Flask, node_a: Reporter) -> None:
    assert error_code(node_a.report("disk", disk(), site="site-b")) == "wrong_node"
    assert stored(app) == []


def test_an_unknown_kind_is_refused_with_the_list_of_allowed_ones(node_a: Reporter) -> None:
    response = node_a.report("weather", {"rain": True})
    assert response.status_code == 400
    message = response.get_json()["error"]["message"]
    assert all(kind in message for kind in KINDS)


def test_a_missing_field_is_named(node_a: Reporter) -> None:
    data = clip()
    del data["importance"]
    response = node_a.report("clip_closed", data)
    assert (response.status_code, error_code(response)) == (400, "invalid_request")
    assert "data.importance: Field required" in response.get_json()["error"]["message"]


def test_what_is_not_json_is_refused_with_the_reason(node_a: Reporter) -> None:
    response = node_a.post(b'{"id": ')
    assert (response.status_code, error_code(response)) == (400, "not_json")


def test_a_body_nested_beyond_reason_is_refused(node_a: Reporter) -> None:
    response = node_a.post(b"[" * 500_000)
    assert (response.status_code, error_code(response)) == (400, "not_json")


@pytest.mark.parametrize(
    "change",
    [{"bytes": 2**63}, {"peak_score": float("nan")}, {"end": 1795317840}, {"end": "9999-12-31T23:59:59-14:00"}],
)
def test_a_value_that_no_database_could_keep_is_refused(node_a: Reporter, change: dict[str, Any]) -> None:
    response = node_a.report("clip_closed", clip(**change))
    assert (response.status_code, error_code(response)) == (400, "invalid_request")
    assert f"data.{next(iter(change))}" in response.get_json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.mp4",
        "../secrets/key.mp4",
        "gate/../../key.mp4",
        "gate/.hidden.mp4",
        "gate//a.mp4",
        "gate/a.mp4?x=1",
        "gate/a.mp4\n",
        "gate/a.txt",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(node_a: Reporter, path: str) -> None:
    assert node_a.report("clip_closed", clip(path=path)).status_code == 400


def test_a_time_without_an_offset_is_refused(node_a: Reporter) -> None:
    response = node_a.report("clip_closed", clip(start="2026-11-22T03:00:00"))
    assert response.status_code == 400
    assert "data.start" in response.get_json()["error"]["message"]


def test_a_body_over_one_megabyte_is_refused(node_a: Reporter) -> None:
    response = node_a.post(b'"' + b"x" * 1024 * 1024 + b'"')
    assert (response.status_code, error_code(response)) == (413, "request_entity_too_large")


def test_an_idempotency_key_must_be_the_id(node_a: Reporter) -> None:
    envelope = node_a.envelope("disk", disk())
    assert error_code(node_a.post(envelope, Idempotency_Key=str(uuid4()))) == "wrong_key"
    assert node_a.post(envelope, Idempotency_Key=envelope["id"].upper()).status_code == 202


def test_fields_of_a_newer_node_are_kept(app: Flask, node_a: Reporter) -> None:
    assert node_a.report("camera_status", status(night_mode=True)).status_code == 202
    assert stored(app)[0].data["night_mode"] is True


def test_old_raw_reports_are_forgotten_but_not_what_they_said(
    app: Flask, node_a: Reporter, nadia: Browser, clock: Clock
) -> None:
    node_a.report("clip_closed", clip())
    clock.forward(31 * 86400)
    node_a.report("disk", disk())
    assert [report.kind for report in stored(app)] == ["disk"]
    nadia.log_in()  # the session has ended meanwhile
    assert len(nadia.get("/api/v1/clips").get_json()["items"]) == 1


def test_a_report_that_cannot_be_projected_leaves_nothing_behind(
    app: Flask, node_a: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("cllmh_hub.reports._disk", fail)
    response = node_a.report("disk", disk())
    assert (response.status_code, error_code(response)) == (500, "internal_error")
    assert "disk is full" not in response.get_data(as_text=True)
    assert stored(app) == []


def test_reports_of_many_nodes_at_once_are_all_stored(app: Flask, node_a: Reporter, node_b: Reporter) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def send(number: int) -> int:
        node = (node_a, node_b)[number % 2]
        fresh = Reporter(app.test_client(), node.node, node.site, node.clock)
        return fresh.report("clip_closed", clip(minute=number)).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(40))) == {202}
    with app.app_context(), services().database.session() as session:
        assert session.scalar(select(func.count()).select_from(StoredReport)) == 40
