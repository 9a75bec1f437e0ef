"""Logging in and out, and who is kept out."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.security import generate_password_hash

from cllmh_hub.app import create_app
from cllmh_hub.config import HubConfig
from unit.hub.helpers import ELSEWHERE, Browser, Clock, error_code


def test_a_person_logs_in_and_is_known(stranger: Browser) -> None:
    response = stranger.log_in()
    assert (response.status_code, response.get_json()) == (200, {"name": "nadia", "role": "admin"})
    assert stranger.get("/api/v1/session").get_json() == {"name": "nadia", "role": "admin"}


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_in_clear_nor_by_other_sites(stranger: Browser) -> None:
    cookie = stranger.log_in().headers["Set-Cookie"]
    assert cookie.startswith("__Host-cllmh=")
    for part in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie


def test_a_wrong_password_and_an_unknown_name_look_the_same(stranger: Browser) -> None:
    wrong = stranger.log_in("nadia", "wrong")
    unknown = stranger.log_in("nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.get_json() == unknown.get_json()


def test_an_unknown_name_costs_the_same_work(stranger: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr("cllmh_hub.people.check_password_hash", lambda hashed, _: checked.append(hashed) or False)
    stranger.log_in("nadia", "wrong")
    stranger.log_in("nobody", "wrong")
    assert len(checked) == 2
    assert checked[0].split("$")[0] == checked[1].split("$")[0]


def test_guessing_a_users_password_is_stopped_and_allowed_again_later(stranger: Browser, clock: Clock) -> None:
    for _ in range(3):
        assert stranger.log_in("nadia", "wrong").status_code == 401
    limited = stranger.log_in("nadia")  # the right password does not help a guesser either
    assert (limited.status_code, error_code(limited)) == (429, "too_many_logins")
    assert limited.headers["Retry-After"] == "900"
    assert stranger.log_in("budi").status_code == 200
    clock.forward(901)
    assert stranger.log_in("nadia").status_code == 200


def test_guessing_from_one_address_is_stopped_for_all_names(app: Flask, stranger: Browser) -> None:
    for number in range(5):
        stranger.log_in(f"name{number}", "wrong")
    assert stranger.log_in("nadia").status_code == 429
    assert Browser(app.test_client(), "192.168.1.6").log_in("nadia").status_code == 200


def test_typing_errors_are_forgotten_after_the_right_password(stranger: Browser) -> None:
    for _ in range(3):
        stranger.log_in("nadia", "wrong")
        stranger.log_in("budi")
    # Three failures of nadia remain, none of budi, although budi used the same address.
    assert stranger.log_in("budi").status_code == 200
    assert stranger.log_in("nadia").status_code == 429


def test_logging_out_ends_the_session(nadia: Browser) -> None:
    assert nadia.ask("DELETE", "/api/v1/session").status_code == 204
    assert nadia.get("/api/v1/session").status_code == 401


def test_a_session_ends_by_itself(nadia: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    import itsdangerous.timed

    later = itsdangerous.timed.time.time() + 12 * 3600 + 60
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    assert nadia.get("/api/v1/session").status_code == 401


def test_a_cookie_signed_by_somebody_else_is_worth_nothing(
    nadia: Browser, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "session_secret").write_text("x" * 48)
    other = Browser(create_app(HubConfig.model_validate(settings)).test_client())
    cookie = nadia.client.get_cookie("__Host-cllmh", domain="hub")
    assert cookie is not None
    other.client.set_cookie("__Host-cllmh", cookie.value, domain="hub", secure=True)
    assert other.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize("change", ["password", "removed"])
def test_a_new_password_or_a_removed_person_ends_old_sessions(
    nadia: Browser, settings: dict[str, Any], tmp_path: Path, change: str
) -> None:
    users = json.loads((tmp_path / "users.yml").read_text())["users"]
    if change == "removed":
        users = users[1:]
    else:
        users[0]["password_hash"] = generate_password_hash("another", "scrypt:1024:8:1")
    (tmp_path / "users.yml").write_text(json.dumps({"users": users}))
    restarted = Browser(create_app(HubConfig.model_validate(settings)).test_client())
    cookie = nadia.client.get_cookie("__Host-cllmh", domain="hub")
    assert cookie is not None
    restarted.client.set_cookie("__Host-cllmh", cookie.value, domain="hub", secure=True)
    assert restarted.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize(("method", "url"), [("POST", "/api/v1/session"), ("DELETE", "/api/v1/session")])
def test_another_web_site_cannot_make_a_browser_change_anything(nadia: Browser, method: str, url: str) -> None:
    response = nadia.ask(method, url, ours=False, json={"username": "nadia", "password": "x"})
    assert (response.status_code, error_code(response)) == (403, "header_required")
    assert nadia.get("/api/v1/session").status_code == 200


def test_a_faulty_login_is_refused_without_repeating_the_password(stranger: Browser) -> None:
    response = stranger.ask("POST", "/api/v1/session", json={"username": "nadia", "pasword": "geheim"})
    assert (response.status_code, error_code(response)) == (400, "invalid_request")
    assert "geheim" not in response.get_data(as_text=True)


def test_a_password_never_reaches_the_log(stranger: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    stranger.log_in("typed-password-as-name", "typed-password")
    fields = [str(getattr(record, "cllmh_fields", "")) + record.getMessage() for record in caplog.records]
    assert fields
    assert not any("typed-password" in field for field in fields)


def every_path(app: Flask) -> list[tuple[str, str]]:
    return [
        (method, rule.rule.replace("<int:clip_id>", "1"))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if method not in ("HEAD", "OPTIONS") and rule.endpoint != "static"
    ]


def test_everything_but_login_health_reports_and_the_document_needs_a_login(app: Flask, stranger: Browser) -> None:
    open_paths = {
        ("POST", "/api/v1/session"),
        ("DELETE", "/api/v1/session"),
        ("GET", "/api/openapi.json"),
        ("GET", "/health"),
        ("POST", "/api/report"),
    }
    needing = set(every_path(app)) - open_paths
    assert needing >= {("GET", "/api/v1/sites"), ("GET", "/api/v1/clips/1/video"), ("GET", "/api/v1/logs")}
    for method, path in needing:
        response = stranger.ask(method, path)
        assert (path, response.status_code, error_code(response)) == (path, 401, "login_required")


def test_an_address_outside_the_allow_list_is_refused_everywhere_people_go(app: Flask) -> None:
    outsider = Browser(app.test_client(), ELSEWHERE)
    for method, path in every_path(app):
        response = outsider.ask(method, path)
        if path in ("/health", "/api/report"):
            assert response.status_code != 403
        else:
            assert (path, response.status_code, error_code(response)) == (path, 403, "address_not_allowed")


def test_a_session_does_not_help_an_address_outside_the_allow_list(nadia: Browser) -> None:
    nadia.address = ELSEWHERE
    assert error_code(nadia.get("/api/v1/sites")) == "address_not_allowed"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("192.168.200.1", 401), ("fd00::5", 401), ("::ffff:192.168.1.5", 401), ("fe80::1", 403), ("", 403), ("x", 403)],
)
def test_the_allow_list_knows_both_kinds_of_addresses(app: Flask, address: str, expected: int) -> None:
    assert Browser(app.test_client(), address).get("/api/v1/session").status_code == expected


def test_a_forged_forwarded_address_does_not_count(app: Flask) -> None:
    # nginx sets the header to the one real address; if a second were appended, only the last counts.
    response = Browser(app.test_client(), f"192.168.1.5, {ELSEWHERE}").get("/api/v1/session")
    assert response.status_code == 403


def test_every_answer_carries_the_security_headers(nadia: Browser) -> None:
    for path in ("/api/v1/sites", "/api/v1/unknown", "/health"):
        headers = nadia.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
