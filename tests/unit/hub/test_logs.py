"""Searching the log lines of all sites."""

from typing import Any

import pytest

from cllmh_hub.loki import quote
from unit.hub.helpers import Browser, error_code
from unit.hub.servers import Server


def search(browser: Browser, query: str = "") -> dict[str, Any]:
    response = browser.get(f"/api/v1/logs?{query}")
    assert response.status_code == 200, response.get_json()
    body: dict[str, Any] = response.get_json()
    return body


def test_lines_come_with_all_that_is_known_newest_first(nadia: Browser) -> None:
    body = search(nadia)
    assert [item["message"] for item in body["items"]] == ["b", "a", "disk warm", "link down", "dvr started"]
    assert body["truncated"] is False
    assert body["items"][3] == {
        "at": "2026-11-22T03:24:01.123Z",
        "site": "site-a",
        "host": "router-a",
        "kind": "router",
        "severity": "err",
        "app": "interface",
        "message": "link down",
        "id": "h@2",
    }


def test_all_sites_are_searched_and_the_span_is_the_last_day(nadia: Browser, fake_loki: Server) -> None:
    search(nadia)
    assert fake_loki.asked[-1][2]["X-Scope-OrgID"] == "site-a|site-b"
    query = fake_loki.query()
    assert query["query"] == '{job="cctv", site=~"site-a|site-b"}'
    assert (query["start"], query["end"]) == ("1795230245678000000", "1795316645678000000")
    assert query["direction"] == "backward"


def test_one_sites_lines_are_asked_of_that_tenant_only(nadia: Browser, fake_loki: Server) -> None:
    search(nadia, "site=site-b&kind=dvr&severity=err&severity=crit&text=Disk")
    assert fake_loki.asked[-1][2]["X-Scope-OrgID"] == "site-b"
    expected = '{job="cctv", site=~"site-b", kind="dvr", severity=~"err|crit"} |~ "(?i)Disk"'
    assert fake_loki.query()["query"] == expected


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ('a"} |= "b', '"(?i)a\\"\\\\} \\\\|= \\"b"'),
        ("10.0.0.1 (up)", '"(?i)10\\\\.0\\\\.0\\\\.1 \\\\(up\\\\)"'),
        ("C:\\new", '"(?i)C:\\\\\\\\new"'),
        ("naïve 中", '"(?i)naïve 中"'),
        ("two\nlines", '"(?i)two\\nlines"'),
    ],
)
def test_what_a_person_types_is_text_and_never_a_part_of_the_query(
    nadia: Browser, fake_loki: Server, typed: str, asked: str
) -> None:
    nadia.get("/api/v1/logs", query_string={"text": typed})
    assert fake_loki.query()["query"] == '{job="cctv", site=~"site-a|site-b"} |~ ' + asked


def test_quoting_follows_the_rules_of_go() -> None:
    assert quote('a\\b"c\n\r\t') == '"a\\\\b\\"c\\n\\r\\t"'


def test_a_person_is_told_when_there_are_more_lines(nadia: Browser) -> None:
    body = search(nadia, "limit=2")
    assert [item["message"] for item in body["items"]] == ["b", "a"]
    assert body["truncated"] is True
    assert search(nadia, "limit=5")["truncated"] is False


@pytest.mark.parametrize("query", ["kind=ufo", "severity=bad", "limit=0", "limit=5000", "site=..", "from=2026", "x=1"])
def test_a_faulty_question_is_refused_without_asking_loki(nadia: Browser, fake_loki: Server, query: str) -> None:
    response = nadia.get(f"/api/v1/logs?{query}")
    assert (response.status_code, error_code(response)) == (400, "invalid_request")
    assert fake_loki.asked == []


def test_an_unknown_site_is_refused_with_the_names_of_the_known(nadia: Browser) -> None:
    response = nadia.get("/api/v1/logs?site=site-c")
    assert (response.status_code, error_code(response)) == (400, "site_unknown")
    assert "site-a, site-b" in response.get_json()["error"]["message"]


def test_a_span_that_begins_in_the_future_is_refused(nadia: Browser) -> None:
    assert error_code(nadia.get("/api/v1/logs?from=2027-01-01T00:00:00Z")) == "invalid_request"


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("broken", 502, "loki_failed"),
        ("garbled", 502, "loki_failed"),
        ("refusing", 400, "search_refused"),
        ("silent", 504, "loki_timeout"),
    ],
)
def test_a_loki_that_fails_is_named(
    nadia: Browser, fake_loki: Server, monkeypatch: pytest.MonkeyPatch, mode: str, status: int, code: str
) -> None:
    monkeypatch.setattr("cllmh_hub.loki._SEARCH_TIMEOUT_S", 0.2)
    fake_loki.mode = mode
    response = nadia.get("/api/v1/logs")
    assert (response.status_code, error_code(response)) == (status, code)


def test_a_loki_that_is_down_is_named(nadia: Browser, fake_loki: Server) -> None:
    fake_loki.http.server_close()
    response = nadia.get("/api/v1/logs")
    assert (response.status_code, error_code(response)) == (502, "loki_unreachable")


def test_sites_without_a_node_and_unknown_senders_are_searched_too(
    settings: dict[str, Any], request: pytest.FixtureRequest, fake_loki: Server
) -> None:
    settings["log_sites"] = ["unknown", "warung"]
    browser: Browser = request.getfixturevalue("nadia")
    search(browser)
    assert fake_loki.asked[-1][2]["X-Scope-OrgID"] == "site-a|site-b|unknown|warung"
    search(browser, "site=unknown")
    assert fake_loki.asked[-1][2]["X-Scope-OrgID"] == "unknown"
