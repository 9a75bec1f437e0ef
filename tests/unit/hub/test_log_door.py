"""What becomes of a batch of log lines at the hub's door: in the store, in the archive, or still at the node."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cllmh_hub.cli import main
from cllmh_hub.log_door.app import create_app
from cllmh_hub.log_door.config import LogDoorConfig
from cllmh_hub.log_door.counters import Counters
from free_ports import free_port
from unit.hub.helpers import Clock
from unit.hub.log_stores import FakeLoki

PUSH = "/loki/api/v1/push"


@pytest.fixture
def loki() -> Iterator[FakeLoki]:
    with FakeLoki().running() as server:
        assert isinstance(server, FakeLoki)
        yield server


class Door:
    """The door, and a node that stands before it."""

    def __init__(self, directory: Path, loki_url: str, **settings: Any) -> None:
        self.directory = directory / "letters"
        self.directory.mkdir()
        self.clock = Clock()
        self.counters = Counters()
        config = LogDoorConfig(loki_url=loki_url, dead_letters_dir=self.directory, **settings)
        self.client: FlaskClient = create_app(config, self.counters, now=self.clock).test_client()

    def push(self, body: bytes | list[Any], site: str = "site-a", **headers: str) -> TestResponse:
        data = body if isinstance(body, bytes) else json.dumps({"streams": body}).encode()
        given = {"X-Cllmh-Site": site, "Content-Type": "application/json", **headers}
        return self.client.post(PUSH, data=data, headers=given)

    def letters(self, site: str = "site-a") -> list[dict[str, Any]]:
        files = sorted((self.directory / site).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def count(self, name: str, **labels: str) -> float:
        return self.counters.registry.get_sample_value(f"cllmh_log_door_{name}_total", labels) or 0


@pytest.fixture
def door(tmp_path: Path, loki: FakeLoki) -> Door:
    return Door(tmp_path, loki.url)


def line(text: str, at: int = 1, **labels: str) -> dict[str, Any]:
    stream = {"job": "cctv", "site": "site-a", "kind": "node", "severity": "info", **labels}
    return {"stream": stream, "values": [[f"{at:019d}", text, {"host": "node-a", "id": f"a@{at:x}"}]]}


def test_lines_reach_the_tenant_of_the_certificates_site(door: Door, loki: FakeLoki) -> None:
    texts = ["disk warm", 'quote " and \\ and {} ${}', "pintu ditutup, در بسته شد", "nul \0 byte"]
    assert door.push([line(text, at) for at, text in enumerate(texts)]).status_code == 204
    assert loki.texts("site-a") == texts
    assert set(loki.lines) == {"site-a"}
    assert door.count("lines_stored", store="loki", site="site-a") == 4


def test_a_batch_goes_to_loki_as_one_request_with_its_lines_as_they_were(door: Door, loki: FakeLoki) -> None:
    body = json.dumps({"streams": [line("a", 1), line("ü", 2)]}, separators=(",", ":"), ensure_ascii=False).encode()
    assert door.push(body).status_code == 204
    assert loki.bodies == [body]


@pytest.mark.parametrize("site", ["", "../etc", "Site", "a" * 65])
def test_who_does_not_come_through_the_gateway_is_refused(door: Door, loki: FakeLoki, site: str) -> None:
    assert door.push([line("x")], site=site).status_code == 403
    assert loki.bodies == []


def test_a_line_that_says_it_is_of_another_site_is_archived_and_the_others_are_stored(
    door: Door, loki: FakeLoki
) -> None:
    assert door.push([line("mine"), line("forged", site="site-b")]).status_code == 204
    assert loki.lines == {"site-a": {("0000000000000000001", "mine")}}
    [letter] = door.letters()
    assert (letter["cause"], letter["line"]["values"][0][1]) == ("foreign", "forged")
    assert letter["reason"] == "the label site is 'site-b', the certificate says 'site-a'"
    assert door.count("dead_letters", store="loki", site="site-a", cause="foreign") == 1


@pytest.mark.parametrize(
    "forged",
    [
        b'{"streams":[{"stream":{"job":"cctv","site":"site-a","site":"site-b","kind":"node","severity":"info"},"values":[["1","x"]]}]}',
        b'{"streams":[{"stream":{"job":"cctv","site":"site-a","s\\u0069te":"site-b","kind":"node","severity":"info"},"values":[["1","x"]]}]}',
        b'{"streams":[],"Streams":[{"stream":{"site":"site-b"},"values":[["1","x"]]}]}',
        b'{"streams":[{"stream":{"job":"cctv","site":"site-a","kind":"node","severity":"info"},"Stream":{"site":"site-b"},"values":[["1","x"]]}]}',
    ],
)
def test_no_way_of_writing_json_hides_a_label_from_the_door(door: Door, loki: FakeLoki, forged: bytes) -> None:
    assert door.push(forged).status_code == 204
    assert not any(b"site-b" in body for body in loki.bodies)


def test_a_key_given_twice_reaches_loki_once(door: Door, loki: FakeLoki) -> None:
    stream = b'{"job":"cctv","site":"site-b","site":"site-a","kind":"node","severity":"info"}'
    door.push(b'{"streams":[{"stream":' + stream + b',"values":[["1","x"]]}]}')
    [body] = loki.bodies
    assert body.count(b'"site"') == 1


@pytest.mark.parametrize(
    "bad",
    [{"kind": "toaster"}, {"severity": "loud"}, {"job": "other"}, {"extra": "label"}],
)
def test_other_labels_than_ours_are_archived(door: Door, loki: FakeLoki, bad: dict[str, str]) -> None:
    assert door.push([line("good"), line("bad", **bad)]).status_code == 204
    assert loki.texts("site-a") == ["good"]
    [letter] = door.letters()
    assert letter["cause"] == "malformed"
    assert set(bad) & set(letter["reason"].replace(".", " ").replace("`", " ").split())


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{}", b'{"streams": 3}', b"\xff\xfe", b'{"streams":' + b"[" * 100_000]
)
def test_what_is_no_batch_at_all_is_archived_and_does_not_stop_the_node(
    door: Door, loki: FakeLoki, body: bytes
) -> None:
    assert door.push(body).status_code == 204
    assert loki.bodies == []
    [letter] = door.letters()
    assert letter["cause"] == "malformed"
    assert letter["reason"]


def test_invalid_utf_8_in_one_line_costs_the_others_nothing(door: Door, loki: FakeLoki) -> None:
    body = json.dumps({"streams": [line("good", 1), line("good", 2)]}).encode()
    broken = json.dumps({"streams": [line("x", 3, kind="XX")]}).encode().replace(b"XX", b"\xff")
    door.push(body[:-2] + b"," + broken.removeprefix(b'{"streams": ['))
    assert loki.texts("site-a") == ["good", "good"]
    [letter] = door.letters()
    assert "\\xff" in letter["line"]


def test_lines_that_loki_refuses_for_ever_are_archived_and_all_others_are_stored(door: Door, loki: FakeLoki) -> None:
    texts = [f"line {at}" if at % 70 else f"refuse {at}" for at in range(500)]
    assert door.push([line(text, at) for at, text in enumerate(texts)]).status_code == 204
    assert loki.texts("site-a") == [text for text in texts if "refuse" not in text]
    letters = door.letters()
    assert [letter["line"]["values"][0][1] for letter in letters] == [text for text in texts if "refuse" in text]
    assert letters[0] == {
        "at": "2026-11-22T03:04:05.678Z",
        "site": "site-a",
        "store": "loki",
        "cause": "refused",
        "reason": "entry for stream '{}' has timestamp too old",
        "line": line("refuse 0", 0),
    }
    assert door.count("lines_stored", store="loki", site="site-a") == 492
    assert door.count("dead_letters", store="loki", site="site-a", cause="refused") == 8


def test_a_batch_that_is_refused_whole_costs_loki_a_request_for_each_set_of_labels(door: Door, loki: FakeLoki) -> None:
    assert door.push([line(f"refuse {at}", at) for at in range(1000)]).status_code == 204
    assert len(loki.bodies) == 1
    assert len(door.letters()) == 1000
    mixed = [line("refuse" if at % 2 else "good", at, severity="err" if at % 2 else "info") for at in range(1000)]
    assert door.push(mixed).status_code == 204
    assert len(loki.bodies) == 4
    assert len(door.letters()) == 1500
    assert len(loki.lines["site-a"]) == 500


def test_a_site_has_one_bad_batch_at_a_time_and_others_do_not_wait_for_it(door: Door, loki: FakeLoki) -> None:
    apart, go_on = threading.Event(), threading.Event()

    def wait_while_it_is_taken_apart(body: bytes) -> None:
        if b"slow" in body and b"refuse" not in body:
            apart.set()
            go_on.wait(20)

    loki.before_answer = wait_while_it_is_taken_apart
    bad = [line("refuse slow", 1), line("slow", 2), line("slow", 3)]
    first = threading.Thread(target=door.push, args=(bad,))
    first.start()
    apart.wait(20)
    answers = [door.push([line("refuse", 4), line("x", 5)]) for _ in range(2)]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(429, "5")] * 2
    assert door.push([line("well", 6)]).status_code == 204
    other = [line("refuse", 7, site="site-b"), line("x", 8, site="site-b")]
    assert door.push(other, site="site-b").status_code == 204
    go_on.set()
    first.join()
    assert {"well", "slow"} <= set(loki.texts("site-a"))
    assert door.push([line("refuse", 4), line("x", 5)]).status_code == 204


def test_a_refused_line_is_found_among_others_of_its_stream(door: Door, loki: FakeLoki) -> None:
    stream = line("a", 1)
    stream["values"] += [["2", "refuse b", {}], ["3", "c", {}]]
    assert door.push([stream]).status_code == 204
    assert sorted(loki.texts("site-a")) == ["a", "c"]
    [letter] = door.letters()
    assert letter["line"]["values"] == [["2", "refuse b", {}]]


def test_a_batch_that_is_larger_than_loki_takes_is_cut(door: Door, loki: FakeLoki) -> None:
    assert door.push([line("x" * 300_000, at) for at in range(20)]).status_code == 204
    assert len(loki.texts("site-a")) == 20
    assert max(len(body) for body in loki.bodies) <= 1024 * 1024
    assert door.push([line("y" * 2_000_000, 99)]).status_code == 204
    assert len(loki.texts("site-a")) == 21


@pytest.mark.parametrize(("loki_says", "node_hears"), [("500", 503), ("503", 503), ("429", 429), ("404", 503)])
def test_while_loki_does_not_take_lines_the_node_keeps_them(
    door: Door, loki: FakeLoki, loki_says: str, node_hears: int
) -> None:
    loki.mode = loki_says
    answer = door.push([line("kept"), line("forged", site="site-b")])
    assert (answer.status_code, answer.headers["Retry-After"]) == (node_hears, "7")
    assert door.letters() == []  # they come again with the batch
    loki.mode = "well"
    assert door.push([line("kept"), line("forged", site="site-b")]).status_code == 204
    assert loki.texts("site-a") == ["kept"]
    assert len(door.letters()) == 1
    assert door.count("batches_kept_back", store="loki", site="site-a", status=str(node_hears)) == 1


def test_while_lokis_disk_is_nearly_full_nothing_is_taken_and_the_journal_says_what_to_do(
    tmp_path: Path, loki: FakeLoki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(tmp_path, loki.url, loki_dir=tmp_path, loki_max_used_percent=90)
    real = os.statvfs(tmp_path)
    disk = {"blocks": 1000, "bfree": 139, "bavail": 89}  # 50 are root's alone: 861 of 950 are used

    def statvfs(_: Path) -> os.statvfs_result:
        return os.statvfs_result((*real[:2], disk["blocks"], disk["bfree"], disk["bavail"], *real[5:]))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert door.push([line("kept")]).status_code == 503
    assert door.push([line("kept")]).headers["Retry-After"] == "10"
    assert loki.texts("site-a") == []
    [said] = [record for record in caplog.records if record.getMessage() == "log_store_busy"]
    assert f"its disk at {tmp_path} is 90.6% full and at most 90 % may be: free some" in str(vars(said))
    disk |= {"bfree": 145, "bavail": 95}
    assert door.push([line("kept")]).status_code == 204
    assert loki.texts("site-a") == ["kept"]


def test_a_batch_during_which_the_disk_fills_is_sent_again(
    tmp_path: Path, loki: FakeLoki, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(tmp_path, loki.url, loki_dir=tmp_path)
    real = os.statvfs(tmp_path)
    free = iter([500, 10, 500, 500])

    def statvfs(_: Path) -> os.statvfs_result:
        return os.statvfs_result((*real[:2], 1000, left := next(free), left, *real[5:]))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert door.push([line("kept")]).status_code == 503
    assert door.push([line("kept")]).status_code == 204


def test_a_disk_that_cannot_be_looked_at_is_said_and_costs_no_line(
    tmp_path: Path, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(tmp_path, loki.url, loki_dir=tmp_path / "gone")
    assert door.push([line("kept")]).status_code == 503
    [said] = [record for record in caplog.records if record.getMessage() == "log_store_busy"]
    assert "gone cannot be looked at: No such file or directory" in str(vars(said))


def test_without_loki_the_node_keeps_its_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    door = Door(tmp_path, "http://127.0.0.1:9")
    answers = [door.push([line("kept")]) for _ in range(3)]
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
    assert [record.getMessage() for record in caplog.records].count("log_store_busy") == 1


def test_loki_that_goes_away_while_a_batch_is_taken_apart_costs_no_line(door: Door, loki: FakeLoki) -> None:
    def die_later(_: bytes) -> None:
        if len(loki.bodies) == 4:
            loki.mode = "503"

    loki.before_answer = die_later
    batch = [line(f"line {at}" if at else "refuse", at) for at in range(100)]
    assert door.push(batch).status_code == 503
    assert door.letters() == []
    loki.mode = "well"
    assert door.push(batch).status_code == 204
    assert len(loki.texts("site-a")) == 99
    assert len(door.letters()) == 1


def test_a_loki_that_hangs_holds_no_more_batches_than_it_may(tmp_path: Path, loki: FakeLoki) -> None:
    door = Door(tmp_path, loki.url, batches_per_store=2)
    loki.mode = "silent"
    waiting = [threading.Thread(target=door.push, args=([line("x")],)) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while len(loki.bodies) < 2:
        pass
    answer = door.push([line("x")])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    loki.released.set()
    for thread in waiting:
        thread.join()


@pytest.mark.parametrize("headers", [{"Content-Type": "application/x-protobuf"}, {"Content-Encoding": "gzip"}])
def test_what_the_door_cannot_look_into_is_not_taken(door: Door, loki: FakeLoki, headers: dict[str, str]) -> None:
    assert door.push([line("x")], **headers).status_code == 415
    assert loki.bodies == []


def test_the_archive_is_a_file_a_day_that_only_we_and_our_group_read(door: Door) -> None:
    door.push(b"first")
    door.clock.forward(86_400)
    door.push(b"second")
    door.push(b"third")
    files = sorted((door.directory / "site-a").iterdir())
    assert [file.name for file in files] == ["2026-11-22-0000.jsonl", "2026-11-23-0000.jsonl"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    assert (door.directory / "site-a").stat().st_mode & 0o777 == 0o750
    assert [letter["line"] for letter in door.letters()] == ["first", "second", "third"]


def test_the_journal_hears_of_a_sites_archived_lines_once_a_minute(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        door.push(b"bad")
    door.push(b"bad", site="site-b")
    monkeypatch.setattr("time.monotonic", lambda now=time.monotonic: now() + 61)
    door.push(b"bad")
    said = [record.__dict__["cllmh_fields"] for record in caplog.records if record.msg == "log_lines_archived"]
    assert [(fields["site"], fields["lines"]) for fields in said] == [("site-a", 1), ("site-b", 1), ("site-a", 20)]


def test_the_archive_of_a_site_has_an_end_the_oldest_goes_first_and_it_is_said(
    tmp_path: Path, loki: FakeLoki, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(tmp_path, loki.url, dead_letters_max_bytes=100_000)
    door.push(b"other", site="site-b")
    for number in range(150):
        door.push(b"%03d" % number + b"x" * 2000)
    kept = [letter["line"][:3] for letter in door.letters()]
    assert 30 < len(kept) < 50
    assert kept == [f"{number:03d}" for number in range(150 - len(kept), 150)]
    assert sum(file.stat().st_size for file in (door.directory / "site-a").iterdir()) <= 100_000
    said = [record.__dict__["cllmh_fields"] for record in caplog.records if record.msg == "dead_letters_deleted"]
    assert sum(fields["letters"] for fields in said) == 150 - len(kept)
    assert len(door.letters("site-b")) == 1


def test_an_archive_that_cannot_be_written_is_no_reason_to_lose_a_line(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        assert door.push([line("refuse")]).status_code == 503
    assert door.letters() == []
    assert door.push([line("refuse")]).status_code == 204
    assert len(door.letters()) == 1


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("door", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def test_the_service_takes_batches_on_its_socket_and_shows_its_counters_on_loopback(
    tmp_path: Path, loki: FakeLoki
) -> None:
    config = {"loki_url": loki.url, "dead_letters_dir": str(tmp_path), "metrics_port": free_port()}
    (tmp_path / "log_door.yml").write_text(yaml.safe_dump(config))
    path = tmp_path / "door.sock"
    command = [sys.executable, "-m", "cllmh_hub", "log-door", "serve", "--config", str(tmp_path / "log_door.yml")]
    service = subprocess.Popen([*command, "--bind", f"unix:{path}"], stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr is not None
        for text in service.stderr:
            if "event=log_door_started" in text:
                break
        assert path.stat().st_mode & 0o777 == 0o660
        connection = UnixConnection(path)
        headers = {"X-Cllmh-Site": "site-a", "Content-Type": "application/json"}
        connection.request("POST", PUSH, json.dumps({"streams": [line("good"), line("refuse", 2)]}), headers)
        assert connection.getresponse().status == 204
        assert (tmp_path / "site-a").stat().st_mode & 0o777 == 0o750
        with urllib.request.urlopen(f"http://127.0.0.1:{config['metrics_port']}/metrics", timeout=5) as answer:
            counters = answer.read().decode()
        assert 'cllmh_log_door_lines_stored_total{site="site-a",store="loki"} 1.0' in counters
        assert 'cllmh_log_door_dead_letters_total{cause="refused",site="site-a",store="loki"} 1.0' in counters
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=60)
    assert service.returncode == 0


def test_a_wrong_configuration_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log_door.yml").write_text("loki: http://127.0.0.1:3100\n")
    assert main(["log-door", "check", "--config", str(tmp_path / "log_door.yml")]) == 2
    assert "log_door.yml: loki: unknown key; did you mean loki_url?" in capsys.readouterr().err
