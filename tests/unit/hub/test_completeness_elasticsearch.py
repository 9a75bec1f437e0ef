"""What Elasticsearch can prove, and when it says that it cannot; what it proves is in tests/integration."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from werkzeug.test import TestResponse

from cllmh_hub.app import create_app
from cllmh_hub.cli import main
from cllmh_hub.config import HubConfig
from loki_server import Pushed, nanoseconds
from unit.hub.certificates import Certificates
from unit.hub.helpers import NOW, Browser, Clock, error_code
from unit.hub.log_search import PASSWORD, FakeLogSearch

HOST = "f9aa28aa"
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
QUESTION = "/api/v1/logs/completeness?site=site-a&store=elasticsearch"


@pytest.fixture
def elasticsearch(certificates: Certificates) -> Iterator[FakeLogSearch]:
    with FakeLogSearch(certificates.password_context()).running() as server:
        assert isinstance(server, FakeLogSearch)
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "elasticsearch_password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def settings(
    settings: dict[str, Any], elasticsearch: FakeLogSearch, certificates: Certificates, password: Path
) -> dict[str, Any]:
    """The content of hub.yml, with a second store."""
    login = {"urls": [elasticsearch.url], "ca_file": str(certificates.ca), "password_file": str(password)}
    return {**settings, "elasticsearch": login}


def line(number: int, at: datetime, text: str = "pintu ditutup") -> Pushed:
    return Pushed(nanoseconds(at), text, f"{HOST}@{number:016x}", at.isoformat())


def statement(start: datetime, first: int, last: int) -> Pushed:
    """Return the node's statement about an hour, with the id after the last."""
    end = start + HOUR
    told = f"start={start.isoformat()} end={end.isoformat()} lines={last - first + 1} part=1 parts=1"
    text = f'event=lines_taken {told} ids="{HOST}@{first:x}-{last:x}" msg="taken"'
    return line(last + 1, end + timedelta(seconds=3), text)


def ask(settings: dict[str, Any], question: str = QUESTION) -> TestResponse:
    browser = Browser(create_app(HubConfig.model_validate(settings), now=Clock()).test_client())
    assert browser.log_in().status_code == 200
    return browser.get(question)


def states(answer: TestResponse) -> dict[datetime, str]:
    return {datetime.fromisoformat(item["hour"]): item["state"] for item in answer.get_json()["items"]}


def test_a_hub_without_elasticsearch_says_so(settings: dict[str, Any]) -> None:
    del settings["elasticsearch"]
    answer = ask(settings)
    assert (answer.status_code, error_code(answer)) == (400, "store_unknown")


def test_a_store_that_nobody_knows_is_refused(settings: dict[str, Any]) -> None:
    answer = ask(settings, QUESTION.replace("elasticsearch", "shelf"))
    assert (answer.status_code, error_code(answer)) == (400, "invalid_request")


def test_a_store_that_gets_a_part_of_the_lines_proves_nothing_about_that_site(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings["sites"][0]["nodes"][0]["elasticsearch_severity"] = "warning"
    answer = ask(settings)
    assert (answer.status_code, error_code(answer)) == (400, "store_has_a_part")
    assert ask(settings, QUESTION.replace("site-a", "site-b")).status_code == 200
    (tmp_path / "hub.yml").write_text(yaml.safe_dump(settings))
    assert main(["logs", "complete", "--config", str(tmp_path / "hub.yml"), "--store", "elasticsearch"]) == 3
    assert "node-a from warning up only" in capsys.readouterr().err


def test_loki_is_asked_unless_another_store_is_named(
    settings: dict[str, Any], elasticsearch: FakeLogSearch, fake_loki: Any
) -> None:
    ask(settings, QUESTION.replace("&store=elasticsearch", ""))
    assert (len(elasticsearch.asked), len(fake_loki.asked) > 0) == (0, True)


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("503", 502, "elasticsearch_failed"),
        ("404", 502, "elasticsearch_failed"),
        ("silent", 504, "elasticsearch_timeout"),
    ],
)
def test_a_store_that_does_not_answer_whole_is_not_taken_for_one_without_lines(
    settings: dict[str, Any],
    elasticsearch: FakeLogSearch,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr("cllmh_hub.completeness.elasticsearch_pages._TIMEOUT_S", 0.3)
    elasticsearch.mode = mode
    answer = ask(settings)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert elasticsearch.points == {}


def test_a_wrong_password_or_certificate_is_told_and_not_shown(
    settings: dict[str, Any], certificates: Certificates, password: Path
) -> None:
    password.write_text("rahasia-besar\n")
    answer = ask(settings)
    assert (answer.status_code, error_code(answer)) == (502, "elasticsearch_failed")
    assert "401" in answer.text
    assert "rahasia-besar" not in answer.text
    settings["elasticsearch"]["ca_file"] = str(certificates.other_ca)
    assert error_code(ask(settings)) == "elasticsearch_unreachable"


def test_what_went_with_the_oldest_day_is_not_called_lost(
    settings: dict[str, Any], elasticsearch: FakeLogSearch
) -> None:
    before, after = MIDNIGHT - HOUR, MIDNIGHT + HOUR
    elasticsearch.push("site-a", [statement(before, 1, 9), statement(MIDNIGHT, 11, 19), statement(after, 21, 29)])
    found = states(ask(settings))
    assert (found[before], found[MIDNIGHT], found[after]) == ("expired", "expired", "missing")
    elasticsearch.push("site-a", [line(1, MIDNIGHT - timedelta(days=1))])
    found = states(ask(settings))
    assert (found[before], found[after]) == ("missing", "missing")


def test_of_a_line_only_what_the_proof_needs_is_read(settings: dict[str, Any], elasticsearch: FakeLogSearch) -> None:
    start = MIDNIGHT + HOUR
    lines = [line(number, start + timedelta(milliseconds=number // 3)) for number in range(1, 6002)]
    elasticsearch.push("site-a", [*lines, statement(start, 1, 6001)])
    answer = ask(settings, QUESTION + f"&from={start:%Y-%m-%dT%H:00:00Z}&to={start + HOUR:%Y-%m-%dT%H:00:00Z}")
    assert [(item["state"], item["stored"]) for item in answer.get_json()["items"]] == [("complete", 6001)]
    of_lines = [search for search in elasticsearch.searches if search["_source"] is False]
    assert [search["size"] for search in of_lines] == [5000, 5000]
    assert all(search["_source"] == ["host", "message"] for search in elasticsearch.searches if search["_source"])
