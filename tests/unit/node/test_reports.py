"""Reports reach the hub, in order, once each, whatever happens in between."""

import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.config import ConfigError, load_config
from cllmh_node.reports import Spool
from cllmh_node.reports.sender import ReportsConfig, Sender

TOKEN = "token-of-node-a"


class Hub:
    """A hub over TLS that answers what the test says and remembers what it was sent."""

    def __init__(self, folder: Path) -> None:
        self.cert, key = make_certificate(folder)
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 202
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hub.requests.append((dict(self.headers), body))
                self.send_response(hub.answer(body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/api/report"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def names(self) -> list[str]:
        return [body["data"]["camera"] for _, body in self.requests]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    cert, key = folder / "hub.crt", folder / "hub.key"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=hub"
    subprocess.run(
        ["openssl", "req", *options.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return cert, key


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "pki")
    yield hub
    hub.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def config(tmp_path: Path, hub: Hub) -> ReportsConfig:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    token_file.chmod(0o600)
    return ReportsConfig(
        spool_dir=tmp_path / "spool",
        hub_url=hub.url,
        node="node-a",
        site="site-a",
        token_file=token_file,
        ca_file=hub.cert,
        poll_s=0.05,
        back_off_max_s=1,
    )


def put_clips(spool: Spool, *cameras: str) -> list[str]:
    ids = [spool.put("clip_closed", {"camera": camera}) for camera in cameras]
    return [report_id for report_id in ids if report_id is not None]


def waiting(spool: Spool) -> list[str]:
    return [json.loads(report.path.read_bytes())["data"]["camera"] for report in spool.waiting()]


def test_what_waits_is_sent_oldest_first_with_token_and_name(spool: Spool, config: ReportsConfig, hub: Hub) -> None:
    ids = put_clips(spool, "gate", "yard", "shop")
    assert Sender(config).send_waiting()
    assert hub.names() == ["gate", "yard", "shop"]
    headers, body = hub.requests[0]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Idempotency-Key"] == body["id"] == ids[0]
    assert (body["node"], body["site"], body["kind"]) == ("node-a", "site-a", "clip_closed")
    assert body["at"].endswith("Z")
    assert waiting(spool) == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 401, 403, 404, 301])
def test_an_answer_that_may_change_keeps_the_report_and_the_order(
    spool: Spool, config: ReportsConfig, hub: Hub, status: int
) -> None:
    put_clips(spool, "gate", "yard")
    sender = Sender(config)
    hub.answer = lambda _: status
    assert not sender.send_waiting()
    assert waiting(spool) == ["gate", "yard"]
    hub.answer = lambda _: 202
    assert sender.send_waiting()
    assert hub.names() == ["gate", "gate", "yard"]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_report_the_hub_will_never_take_is_set_aside_and_the_rest_goes_on(
    spool: Spool, config: ReportsConfig, hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    put_clips(spool, "bad", "good")
    hub.answer = lambda body: status if body["data"]["camera"] == "bad" else 202
    assert Sender(config).send_waiting()
    assert waiting(spool) == []
    (rejected,) = (tmp_path / "spool" / "rejected").iterdir()
    assert json.loads(rejected.read_bytes())["data"]["camera"] == "bad"
    assert [record.message for record in caplog.records] == ["report_rejected"]


def test_every_attempt_has_the_same_idempotency_key(spool: Spool, config: ReportsConfig, hub: Hub) -> None:
    put_clips(spool, "gate")
    hub.answer = lambda _: 503
    for _ in range(3):
        assert not Sender(config).send_waiting()
    keys = {headers["Idempotency-Key"] for headers, _ in hub.requests}
    assert len(hub.requests) == 3
    assert len(keys) == 1


def test_a_report_the_hub_had_already_is_done(spool: Spool, config: ReportsConfig, hub: Hub) -> None:
    put_clips(spool, "gate")
    hub.answer = lambda _: 200
    assert Sender(config).send_waiting()
    assert waiting(spool) == []


def test_nothing_is_sent_to_a_hub_whose_certificate_another_authority_signed(
    spool: Spool, config: ReportsConfig, hub: Hub, tmp_path: Path
) -> None:
    put_clips(spool, "gate")
    other, _ = make_certificate(tmp_path / "other")
    assert not Sender(config.model_copy(update={"ca_file": other})).send_waiting()
    assert hub.requests == []
    assert waiting(spool) == ["gate"]


def test_an_outage_is_logged_once_and_its_end_too_without_the_token(
    spool: Spool, config: ReportsConfig, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    put_clips(spool, "gate")
    sender = Sender(config)
    hub.answer = lambda _: 503
    for _ in range(3):
        sender.send_waiting()
    hub.answer = lambda _: 202
    sender.send_waiting()
    ours = [record.message for record in caplog.records if record.name.startswith("cllmh_node")]
    assert ours == ["hub_unreachable", "hub_reachable"]
    assert TOKEN not in caplog.text


def test_a_renewed_token_is_read_without_a_restart(spool: Spool, config: ReportsConfig, hub: Hub) -> None:
    put_clips(spool, "gate")
    sender = Sender(config)
    hub.answer = lambda _: 401
    sender.send_waiting()
    config.token_file.write_text("renewed\n")
    hub.answer = lambda _: 202
    sender.send_waiting()
    assert [headers["Authorization"] for headers, _ in hub.requests] == [f"Bearer {TOKEN}", "Bearer renewed"]


def test_the_sender_sends_what_comes_while_it_runs_and_ends_when_told(
    spool: Spool, config: ReportsConfig, hub: Hub
) -> None:
    stop, arrived = threading.Event(), threading.Event()

    def answer(_: dict[str, Any]) -> int:
        arrived.set()
        return 202

    hub.answer = answer
    runner = threading.Thread(target=Sender(config).run, args=(stop,))
    runner.start()
    put_clips(spool, "gate")
    assert arrived.wait(10)
    stop.set()
    runner.join(10)
    assert not runner.is_alive()


def test_pauses_grow_with_each_failure_and_differ_between_nodes(config: ReportsConfig) -> None:
    config = config.model_copy(update={"back_off_max_s": 60.0})
    sender = Sender(config)
    sender._failures = 3
    pauses = {sender.back_off_s() for _ in range(50)}
    assert len(pauses) > 10
    assert all(4 <= pause <= 8 for pause in pauses)
    sender._failures = 1000
    assert 30 <= sender.back_off_s() <= 60


WRITER = """
import sys
from pathlib import Path
from cllmh_node.reports import Spool
spool = Spool(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    spool.put("clip_closed", {"camera": "gate", "labels": ["x" * 20000]})
"""


def test_a_service_killed_while_it_reports_leaves_complete_files_only(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        before = count = len(list(Spool(folder).waiting()))
        while count < before + 20:
            count = len(list(Spool(folder).waiting()))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
    reports = list(Spool(folder).waiting())
    assert len(reports) >= 60
    for report in reports:
        assert len(json.loads(report.path.read_bytes())["data"]["labels"][0]) == 20000


def test_what_a_killed_service_left_half_written_is_cleared_later(tmp_path: Path, spool: Spool) -> None:
    put_clips(spool, "gate")
    old, new = tmp_path / "spool" / ".old.tmp", tmp_path / "spool" / ".new.tmp"
    for path in (old, new):
        path.write_text("{")
    os.utime(old, (1, 1))
    spool.clear_unfinished()
    assert not old.exists()
    assert new.exists()
    assert waiting(spool) == ["gate"]


def test_a_full_spool_gives_up_old_states_before_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=20 * 4096)
    put_clips(spool, "clip")
    for number in range(19):
        spool.put("camera_status", {"camera": f"status-{number}"})
    assert caplog.records == []
    put_clips(spool, "gap")
    names = waiting(spool)
    assert names[0] == "clip"
    assert names[-1] == "gap"
    assert "status-0" not in names
    assert "status-18" in names
    (record,) = caplog.records
    assert record.message == "reports_dropped"


def test_a_spool_full_of_events_gives_up_the_oldest(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=10 * 4096)
    put_clips(spool, *(f"clip-{number:02d}" for number in range(30)))
    assert waiting(spool) == [f"clip-{number}" for number in range(20, 30)]


def test_a_broken_disk_does_not_stop_who_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert Spool(tmp_path / "file" / "spool").put("gap", {}) is None
    (record,) = caplog.records
    assert record.message == "report_not_spooled"


def test_a_kind_the_hub_does_not_know_is_a_mistake(spool: Spool) -> None:
    with pytest.raises(ValueError, match="'clip_close' is unknown, use one of camera_status"):
        spool.put("clip_close", {})


def test_a_file_that_is_no_report_is_set_aside(spool: Spool, config: ReportsConfig, hub: Hub, tmp_path: Path) -> None:
    put_clips(spool, "gate", "yard")
    next(iter(spool.waiting())).path.write_bytes(b'{"id": ')
    assert Sender(config).send_waiting()
    assert hub.names() == ["yard"]
    assert len(list((tmp_path / "spool" / "rejected").iterdir())) == 1


def test_the_token_never_goes_out_in_clear_text(tmp_path: Path) -> None:
    path = tmp_path / "reports.yml"
    path.write_text("hub_url: http://hub/api/report\nnode: a\nsite: b\ntoken_file: /t\nca_file: /c\n")
    with pytest.raises(ConfigError, match=r"hub_url: .*must begin with https://"):
        load_config(path, ReportsConfig)
