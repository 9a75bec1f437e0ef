"""What becomes of a batch for Elasticsearch, which says 200 and means each line on its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from cllmh_hub.config_file import ConfigError, load_config
from cllmh_hub.log_door.app import create_app
from cllmh_hub.log_door.config import LogDoorConfig
from cllmh_hub.log_door.counters import Counters
from unit.hub.certificates import Certificates
from unit.hub.helpers import Clock
from unit.hub.log_stores import FakeElasticsearch, FakeLoki

PUSH = "/logs/elasticsearch"


@pytest.fixture
def elasticsearch(certificates: Certificates) -> Iterator[FakeElasticsearch]:
    with FakeElasticsearch(certificates.password_context()).running() as server:
        assert isinstance(server, FakeElasticsearch)
        yield server


class Door:
    """The door, and a node that stands before it."""

    def __init__(self, directory: Path, url: str, ca: Path, password: str = "geheim") -> None:  # noqa: S107 - a test's
        self.directory = directory / "letters"
        self.directory.mkdir()
        (directory / "password").write_text(password + "\n")
        (directory / "password").chmod(0o600)
        self.counters = Counters()
        self.config = LogDoorConfig.model_validate(
            {
                "dead_letters_dir": self.directory,
                "elasticsearch": {"urls": [url], "ca_file": ca, "password_file": directory / "password"},
            }
        )
        self.client = create_app(self.config, self.counters, now=Clock()).test_client()

    def push(self, *documents: dict[str, Any] | bytes, site: str = "site-a") -> TestResponse:
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in documents]
        headers = {"X-Cllmh-Site": site, "Content-Type": "application/x-ndjson"}
        return self.client.post(PUSH, data=b"\n".join(lines) + b"\n", headers=headers)

    def letters(self, site: str = "site-a") -> list[dict[str, Any]]:
        files = sorted((self.directory / site).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def door(tmp_path: Path, elasticsearch: FakeElasticsearch, certificates: Certificates) -> Door:
    return Door(tmp_path, elasticsearch.url, certificates.ca)


def line(message: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a document as a node sends it, a minute before the clock of the tests."""
    at = "2026-11-22T03:03:05.123456+00:00"
    where = {"site": "site-a", "kind": "router", "host": "router-a", "app": "firewall", "facility": "daemon"}
    return {"id": f"a@{number:x}", "at": at, "rcv": at, "severity": "info", "message": message, **where, **changes}


def test_a_document_is_stored_as_it_was_sent_under_an_id_of_its_site(
    door: Door, elasticsearch: FakeElasticsearch
) -> None:
    first, second = line("pintu ditutup", 1), line("در بسته شد", 2, severity="crit", orig="1970-01-01T00:00:00")
    assert door.push(first, second).status_code == 204
    assert elasticsearch.documents == {
        "cllmh-logs-info-2026.11.22": {"site-a:a@1": first},
        "cllmh-logs-critical-2026.11.22": {"site-a:a@2": second},
    }
    stored = door.counters.registry.get_sample_value(
        "cllmh_log_door_lines_stored_total", {"store": "elasticsearch", "site": "site-a"}
    )
    assert stored == 2


@pytest.mark.parametrize(
    ("severity", "kept_as"),
    [("debug", "info"), ("notice", "info"), ("warning", "warning"), ("err", "warning"), ("emerg", "critical")],
)
def test_the_severity_decides_how_long_a_line_is_kept(
    door: Door, elasticsearch: FakeElasticsearch, severity: str, kept_as: str
) -> None:
    door.push(line("x", severity=severity))
    assert list(elasticsearch.documents) == [f"cllmh-logs-{kept_as}-2026.11.22"]


@pytest.mark.parametrize(
    ("at", "rcv", "day"),
    [
        ("2026-11-21T23:59:59.999999+00:00", "2026-11-22T03:03:05+00:00", "2026.11.21"),
        ("2026-11-22T01:00:00+07:00", "2026-11-22T03:03:05+00:00", "2026.11.21"),
        ("1970-01-01T00:00:00+00:00", "2026-11-20T03:03:05+00:00", "2026.11.20"),
        ("2199-01-01T00:00:00+00:00", "2026-11-20T03:03:05+00:00", "2026.11.20"),
        ("2026-11-21T03:03:05", "2026-11-20T03:03:05+00:00", "2026.11.20"),
        ("1970-01-01T00:00:00+00:00", "1971-01-01T00:00:00+00:00", "2026.11.22"),
        ("1970-01-01T00:00:00+00:00", None, "2026.11.22"),
    ],
)
def test_no_clock_makes_an_index_of_a_day_that_cannot_be(
    door: Door, elasticsearch: FakeElasticsearch, at: str, rcv: str | None, day: str
) -> None:
    assert door.push(line("x", at=at, rcv=rcv)).status_code == 204
    assert list(elasticsearch.documents) == [f"cllmh-logs-info-{day}"]


def test_a_batch_that_is_sent_again_is_stored_once(door: Door, elasticsearch: FakeElasticsearch) -> None:
    batch = [line(f"line {number}", number) for number in range(50)]
    assert door.push(*batch[:30]).status_code == 204
    assert door.push(*batch).status_code == 204
    assert sorted(elasticsearch.messages()) == sorted(document["message"] for document in batch)
    assert door.letters() == []


def test_a_line_of_another_site_is_archived(door: Door, elasticsearch: FakeElasticsearch) -> None:
    assert door.push(line("mine"), line("forged", site="site-b")).status_code == 204
    assert elasticsearch.messages() == ["mine"]
    [letter] = door.letters()
    assert (letter["cause"], letter["store"], letter["line"]["message"]) == ("foreign", "elasticsearch", "forged")


@pytest.mark.parametrize(
    "bad",
    [
        *(b"no json", b"[]", b"{}", b'{"id": 3}', b"\xff", b"[" * 100_000),
        json.dumps(line("x", severity="loud")).encode(),
        json.dumps(line("x", id="")).encode(),
        json.dumps(line("x", id="i" * 401)).encode(),
        json.dumps(line("x", at="yesterday")).encode(),
    ],
)
def test_what_is_no_line_of_a_node_is_archived_and_the_others_are_stored(
    door: Door, elasticsearch: FakeElasticsearch, bad: bytes
) -> None:
    assert door.push(line("before", 1), bad, line("after", 2)).status_code == 204
    assert sorted(elasticsearch.messages()) == ["after", "before"]
    [letter] = door.letters()
    assert letter["cause"] == "malformed"
    assert letter["reason"]


def test_a_document_that_elasticsearch_refuses_is_archived(door: Door, elasticsearch: FakeElasticsearch) -> None:
    assert door.push(line("good", 1), line("strict field", 2), line("good", 3)).status_code == 204
    assert elasticsearch.messages() == ["good", "good"]
    [letter] = door.letters()
    assert letter["cause"] == "refused"
    assert letter["reason"] == "strict_dynamic_mapping_exception: strict_dynamic_mapping_exception it is"
    assert letter["line"] == line("strict field", 2)


@pytest.mark.parametrize(("trouble", "status"), [("full", 429), ("failed", 503), ("blocked", 503), ("closed", 503)])
def test_one_item_that_may_be_taken_later_brings_the_whole_batch_again(
    door: Door, elasticsearch: FakeElasticsearch, trouble: str, status: int
) -> None:
    batch = [line("good", 1), line("strict field", 2), line(f"{trouble} now", 3)]
    answer = door.push(*batch)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "5")
    assert door.letters() == []
    elasticsearch.errors = {"strict": elasticsearch.errors["strict"]}
    assert door.push(*batch).status_code == 204
    assert sorted(elasticsearch.messages()) == sorted(["good", f"{trouble} now"])
    assert len(door.letters()) == 1


@pytest.mark.parametrize(("says", "hears"), [("429", 429), ("500", 503), ("503", 503), ("403", 503)])
def test_while_elasticsearch_takes_nothing_the_node_keeps_its_lines(
    door: Door, elasticsearch: FakeElasticsearch, says: str, hears: int
) -> None:
    elasticsearch.mode = says
    assert door.push(line("kept")).status_code == hears
    elasticsearch.mode = "well"
    assert door.push(line("kept")).status_code == 204


def test_a_wrong_password_or_certificate_keeps_the_lines_at_the_node_and_is_said(
    tmp_path: Path, elasticsearch: FakeElasticsearch, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    for name, ca, password in (("p", certificates.ca, "wrong"), ("c", certificates.other_ca, "geheim")):
        (tmp_path / name).mkdir()
        assert Door(tmp_path / name, elasticsearch.url, ca, password).push(line("kept")).status_code == 503
    said = [record.__dict__["cllmh_fields"]["text"] for record in caplog.records if record.msg == "log_store_busy"]
    assert "401" in said[0]
    assert "certificate verify failed" in said[1]
    assert not any("wrong" in text or "geheim" in text for text in said)


def test_one_store_that_is_away_does_not_hold_up_the_other(
    tmp_path: Path, elasticsearch: FakeElasticsearch, certificates: Certificates
) -> None:
    door = Door(tmp_path, elasticsearch.url, certificates.ca)
    stream = {"stream": {"job": "cctv", "site": "site-a", "kind": "node", "severity": "info"}, "values": [["1", "x"]]}
    with FakeLoki().running() as loki:
        config = door.config.model_copy(update={"loki_url": loki.url})
        client = create_app(config, Counters(), now=Clock()).test_client()
        elasticsearch.mode = "503"
        headers = {"X-Cllmh-Site": "site-a"}
        assert (
            client.post(
                PUSH, data=json.dumps(line("x")), headers=headers, content_type="application/x-ndjson"
            ).status_code
            == 503
        )
        assert client.post("/loki/api/v1/push", json={"streams": [stream]}, headers=headers).status_code == 204


def test_a_large_batch_goes_in_several_bulks(door: Door, elasticsearch: FakeElasticsearch) -> None:
    batch = [line("x" * 1_000_000, number) for number in range(10)]
    assert door.push(*batch).status_code == 204
    assert len(elasticsearch.messages()) == 10
    assert len(elasticsearch.asked) > 1


def test_an_address_without_tls_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log_door.yml"
    path.write_text("elasticsearch: {urls: ['http://10.0.0.1:9200'], password_file: /x}\n")
    with pytest.raises(ConfigError, match=r"elasticsearch\.urls\[0\].*https"):
        load_config(path, LogDoorConfig)
