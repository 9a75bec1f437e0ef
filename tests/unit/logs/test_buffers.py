"""What the disk buffers promise: nothing lost, nothing doubled, and no store waits for the other."""

from __future__ import annotations

import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from unit.logs.harness import ADDRESSES, Receiver, SyslogNg, configuration, send

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine")


def wait_until_taken(archive: Path, count: int) -> None:
    """Wait until syslog-ng has taken this many lines."""
    deadline = time.monotonic() + 20
    while not archive.exists() or archive.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "syslog-ng did not read the lines"
        time.sleep(0.05)


def wait_until_it_rests(archive: Path) -> int:
    """Wait until no more lines are taken for a second, and return how many were."""
    count = -1
    while (now := archive.read_bytes().count(b"\n") if archive.exists() else 0) != count or not count:
        count = now
        time.sleep(1)
    return count


@pytest.mark.parametrize("status", [403, 429, 503, 504])
def test_a_hub_that_refuses_for_now_gets_the_same_lines_again(status: int, tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    receiver.status = status
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_router_port"], ADDRESSES["router"], [b"script,info one", b"script,info two"])
        receiver.wait_for_requests(2)
        receiver.status = 204
        lines = receiver.wait_for(2)
    assert [line.text for line in lines] == ["one", "two"]


def test_lines_survive_a_hub_that_is_down_and_a_node_that_is_killed(tmp_path: Path, certificates: Path) -> None:
    absent = Receiver(certificates)
    variables = configuration(tmp_path, absent)
    with SyslogNg(tmp_path / "run", variables) as first:
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>line %d" % number for number in range(200)])
        archive = tmp_path / "archive" / "dvr.log"
        deadline = time.monotonic() + 20
        while not archive.exists() or archive.read_bytes().count(b"\n") < 200:
            assert time.monotonic() < deadline, "syslog-ng did not read the lines"
            time.sleep(0.05)
        first.kill()
    with absent, SyslogNg(tmp_path / "run", variables):
        lines = absent.wait_for(200)
    assert sorted({line.text for line in lines}) == sorted(f"line {number}" for number in range(200))
    assert len({line.metadata["id"] for line in lines}) == 200, "a resend keeps its id"


def test_a_batch_the_hub_can_never_accept_does_not_stop_the_next(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    receiver.status = 400
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>refused"])
        receiver.wait_for_requests(1)
        receiver.status = 204
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>accepted"])
        (line,) = receiver.wait_for(1)
    assert line.text == "accepted"
    assert b"refused" in (tmp_path / "archive" / "dvr.log").read_bytes()


def test_a_full_buffer_holds_back_who_sends_by_tcp_and_loses_nothing(tmp_path: Path, certificates: Path) -> None:
    absent = Receiver(certificates)
    small = {"syslog_ng_buffer_bytes": 1024 * 1024, "syslog_ng_buffer_memory_bytes": 262144}
    variables = configuration(tmp_path, absent) | small
    sent = [b"<14>line %d %s" % (number, b"x" * 200) for number in range(20_000)]
    device = threading.Thread(target=send, args=(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], sent))
    with SyslogNg(tmp_path / "run", variables):
        device.start()
        assert wait_until_it_rests(tmp_path / "archive" / "dvr.log") < 5_000, "the buffer is full long before the end"
        with absent:
            lines = absent.wait_for(20_000, timeout_s=60)
        device.join()
    assert sorted(line.text for line in lines) == sorted(text.decode().removeprefix("<14>") for text in sent)


def documents_of(variables: dict[str, Any], severity: str = "debug") -> dict[str, Any]:
    """Return the variables with Elasticsearch as a second destination."""
    return variables | {"syslog_ng_elasticsearch_enabled": True, "syslog_ng_elasticsearch_severity": severity}


def test_a_document_for_elasticsearch_has_all_that_loki_has(tmp_path: Path, receiver: Receiver) -> None:
    variables = documents_of(configuration(tmp_path, receiver))
    stamp = datetime.now(UTC) - timedelta(seconds=90)
    text = 'say "${HOST}" \\ سلام \x1b'
    with SyslogNg(tmp_path / "run", variables):
        sent = f"<28>{stamp:%Y-%m-%dT%H:%M:%S}.265+0000 gw dhcp,warning {text}".encode()
        send(variables["syslog_ng_router_port"], ADDRESSES["router"], [sent])
        receiver.wait_for_documents(1)
        receiver.wait_for(1)
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"2000-01-01 00:00:07 caf\xe9[1]: x"])
        warning, old = receiver.wait_for_documents(2)
        first, second = receiver.wait_for(2)
    taken = warning.pop("rcv"), old.pop("rcv")
    assert warning == {
        "id": first.metadata["id"], "at": f"{stamp:%Y-%m-%dT%H:%M:%S}.265000+00:00", "site": "site-a", "kind": "router",
        "severity": "warning", "host": "router-a", "app": "router", "facility": "daemon", "message": text,
        "topics": "dhcp,warning",
    }  # fmt: skip
    assert abs(datetime.fromisoformat(old["at"]) - datetime.fromisoformat(taken[1])) < timedelta(seconds=1)
    assert (old["orig"], old["altered"]) == ("2000-01-01 00:00:07", "bytes")
    assert (old["id"], old["message"]) == (second.metadata["id"], second.text)


def test_elasticsearch_gets_what_is_severe_enough(tmp_path: Path, receiver: Receiver) -> None:
    variables = documents_of(configuration(tmp_path, receiver), severity="warning")
    with SyslogNg(tmp_path / "run", variables):
        sent = [b"system,info one", b"system,error two", b"system,debug three", b"system,warning four"]
        send(variables["syslog_ng_router_port"], ADDRESSES["router"], sent)
        receiver.wait_for(4)
        documents = receiver.wait_for_documents(2)
    assert [document["message"] for document in documents] == ["two", "four"]


@pytest.mark.parametrize("down", ["loki", "elasticsearch"])
def test_a_store_that_is_down_does_not_hold_up_the_other(down: str, tmp_path: Path, receiver: Receiver) -> None:
    variables = documents_of(configuration(tmp_path, receiver))
    sent = [b"script,info %d" % number for number in range(500)]
    with SyslogNg(tmp_path / "run", variables):
        if down == "loki":
            receiver.status = 503
            send(variables["syslog_ng_router_port"], ADDRESSES["router"], sent)
            receiver.wait_for_documents(500)
            assert not receiver.lines
        else:
            receiver.elasticsearch_status = 503
            send(variables["syslog_ng_router_port"], ADDRESSES["router"], sent)
            receiver.wait_for(500)
            assert not receiver.documents
        receiver.status = receiver.elasticsearch_status = 204
        lines, documents = receiver.wait_for(500), receiver.wait_for_documents(500)
    assert {line.metadata["id"] for line in lines} == {document["id"] for document in documents}


def test_a_full_buffer_of_elasticsearch_costs_loki_nothing(tmp_path: Path, receiver: Receiver) -> None:
    small = {"syslog_ng_elasticsearch_buffer_bytes": 1024 * 1024, "syslog_ng_buffer_memory_bytes": 262144}
    variables = documents_of(configuration(tmp_path, receiver)) | small
    receiver.elasticsearch_status = 503
    with SyslogNg(tmp_path / "run", variables):
        sent = [b"script,info %d %s" % (number, b"x" * 200) for number in range(5_000)]
        send(variables["syslog_ng_router_port"], ADDRESSES["router"], sent)
        receiver.wait_for(5_000, timeout_s=60)
        receiver.elasticsearch_status = 204
        documents = receiver.wait_for_documents(1)
    assert documents[0]["message"].startswith("0 "), "what was in the buffer is still sent"
