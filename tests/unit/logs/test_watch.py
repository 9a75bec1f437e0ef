"""What a node says of its log lines: fill of the buffers, losses, and which ids it took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cllmh_node.cli import main
from cllmh_node.logs import ledger, losses, statement, watch
from cllmh_node.logs.disk_queue import QueueError, read_fill
from cllmh_node.logs.settings import LogsConfig
from unit.logs.harness import ADDRESSES, Receiver, SyslogNg, configuration, render, send
from unit.logs.test_buffers import wait_until_it_rests, wait_until_taken

needs_syslog_ng = pytest.mark.skipif(
    shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine"
)
NOW = datetime(2026, 11, 29, 3, 25, 0, tzinfo=UTC)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the list that every event of the watch goes into."""
    seen: list[dict[str, Any]] = []

    def keep(_logger: object, key: str, **fields: Any) -> None:
        seen.append({"event": key, **{name: value for name, value in fields.items() if value is not None}})

    monkeypatch.setattr(watch, "event", keep)
    monkeypatch.setattr(statement, "event", keep)
    return seen


def named(events: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == key]


def config_of(folder: Path, size_bytes: int = 4 * 1024 * 1024) -> LogsConfig:
    for name in ("buffer", "ledger", "spool"):
        (folder / name).mkdir(exist_ok=True)
    return LogsConfig.model_validate(
        {
            "buffers": [{"name": "loki", "dir": folder / "buffer", "size_bytes": size_bytes}],
            "ledger_dir": folder / "ledger",
            "state_dir": folder / "state",
            "spool_dir": folder / "spool",
        }
    )


def spooled(folder: Path) -> list[dict[str, Any]]:
    reports = [json.loads(path.read_text()) for path in sorted((folder / "spool").glob("*-log_buffers-*.json"))]
    return [report["data"] for report in reports]


@needs_syslog_ng
def test_a_buffer_that_fills_up_is_an_alarm_and_ends_when_it_drains(
    tmp_path: Path, certificates: Path, events: list[dict[str, Any]]
) -> None:
    absent = Receiver(certificates)
    small = {"syslog_ng_buffer_bytes": 1024 * 1024, "syslog_ng_buffer_memory_bytes": 262144}
    variables = configuration(tmp_path, absent) | small
    config = config_of(tmp_path, size_bytes=1024 * 1024)
    archive = tmp_path / "archive" / "dvr.log"
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>line %d" % number for number in range(500)])
        wait_until_taken(archive, 500)
        (some,) = watch.look(config).buffers
        assert (some.state, some.lines) == ("ok", 500)
        assert 100_000 < some.used_bytes < 500_000
        sent = [b"<14>line %d %s" % (number, b"x" * 200) for number in range(500, 5_000)]
        device = threading.Thread(target=send, args=(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], sent))
        device.start()
        wait_until_it_rests(archive)
        (full,) = watch.look(config).buffers
        assert full.state == "warn"
        assert full.used_bytes > 0.8 * 1024 * 1024
        with absent:
            absent.wait_for(5_000, timeout_s=60)
            device.join()
            deadline = time.monotonic() + 10
            while read_fill(tmp_path / "buffer", 1024 * 1024).lines:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            (empty,) = watch.look(config).buffers
    assert (empty.state, empty.lines, empty.used_bytes) == ("ok", 0, 0)
    assert [event["event"] for event in events if event["event"].startswith("log_buffer")] == [
        "log_buffer_filling",
        "log_buffer_normal",
    ]
    assert [report["buffers"][0]["state"] for report in spooled(tmp_path)] == ["ok", "warn", "ok"]


@needs_syslog_ng
def test_what_a_full_buffer_of_elasticsearch_loses_is_counted(tmp_path: Path, receiver: Receiver) -> None:
    small = {"syslog_ng_elasticsearch_buffer_bytes": 1024 * 1024, "syslog_ng_buffer_memory_bytes": 262144}
    variables = configuration(tmp_path, receiver) | small | {"syslog_ng_elasticsearch_enabled": True}
    receiver.elasticsearch_status = 503
    with SyslogNg(tmp_path / "run", variables):
        sent = [b"script,info %d %s" % (number, b"x" * 200) for number in range(4_000)]
        send(variables["syslog_ng_router_port"], ADDRESSES["router"], sent)
        receiver.wait_for(4_000, timeout_s=60)
        command = ["syslog-ng-ctl", "stats", f"--control={tmp_path / 'run' / 'control'}"]
        stats = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    fill = read_fill(tmp_path / "buffer" / "elasticsearch", 1024 * 1024)
    assert losses.parse_stats(stats, ["loki", "elasticsearch"]) == {"loki": 0, "elasticsearch": 4_000 - fill.lines}


@needs_syslog_ng
def test_the_statement_names_every_line_that_was_stored_and_nothing_else(
    tmp_path: Path, certificates: Path, events: list[dict[str, Any]]
) -> None:
    """Also after a kill with a filled buffer, which leaves holes in the counter."""
    absent = Receiver(certificates)
    variables = configuration(tmp_path, absent)
    config = config_of(tmp_path)
    archive = tmp_path / "archive" / "dvr.log"
    port = variables["syslog_ng_dvr_port"]
    with SyslogNg(tmp_path / "run", variables) as first:
        send(port, ADDRESSES["dvr"], [b"<14>1970-01-01 00:00:01 line %d" % number for number in range(300)])
        wait_until_taken(archive, 300)
        time.sleep(1.5)  # the ledger is written beside the archive, at the latest after a second
        first.kill()
    with absent, SyslogNg(tmp_path / "run", variables):
        absent.wait_for(300)
        send(port, ADDRESSES["dvr"], [b"<14>line %d" % number for number in range(300, 500)])
        lines = absent.wait_for(500)
    later = datetime.now(UTC) + timedelta(minutes=15)
    until = statement.state_what_was_taken(config.ledger_dir, None, later)
    assert until == ledger.floor(later - statement.GRACE)
    stated = {number for event in named(events, "lines_taken") for number in numbers_of(event["ids"])}
    assert stated == {line.metadata["id"] for line in lines}
    assert len(stated) == 500
    assert not list(config.ledger_dir.iterdir())


def numbers_of(text: str) -> Iterator[str]:
    """Yield the ids of a statement as they stand in the store."""
    for part in filter(None, text.split(",")):
        host_id, _, span = part.partition("@")
        first, _, last = span.partition("-")
        for number in range(int(first, 16), int(last or first, 16) + 1):
            yield f"{host_id}@{number:016x}"


def write_slot(folder: Path, name: str, numbers: list[int], at: datetime = NOW) -> Path:
    path = folder / f"{name}.ids"
    path.write_text("".join(f"f9aa28aa@{number:016x} {int(at.timestamp())}000000000\n" for number in numbers))
    return path


def test_statements_follow_each_other_without_a_hole(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    write_slot(tmp_path, "20261129T0250Z", [1, 2, 3, 9])
    write_slot(tmp_path, "20261129T0310Z", [10])
    open_slot = write_slot(tmp_path, "20261129T0320Z", [11])
    until = statement.state_what_was_taken(tmp_path, datetime(2026, 11, 29, 2, 30, tzinfo=UTC), NOW)
    assert until == datetime(2026, 11, 29, 3, 20, tzinfo=UTC)
    assert [(event["start"][11:16], event["end"][11:16], event["lines"], event["ids"]) for event in events] == [
        ("02:30", "02:50", 0, ""),
        ("02:50", "03:00", 4, "f9aa28aa@1-3,f9aa28aa@9"),
        ("03:00", "03:10", 0, ""),
        ("03:10", "03:20", 1, "f9aa28aa@a"),
    ]
    assert events[1]["first_at"] == "2026-11-29T03:25:00.000000Z"
    assert [path.name for path in tmp_path.iterdir()] == [open_slot.name]


def test_a_slot_is_stated_only_when_it_is_surely_over(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    write_slot(tmp_path, "20261129T0310Z", [1])
    just_over = datetime(2026, 11, 29, 3, 20, 30, tzinfo=UTC)
    statement.state_what_was_taken(tmp_path, datetime(2026, 11, 29, 3, 10, tzinfo=UTC), just_over)
    assert not events


def test_many_ranges_come_in_parts(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    write_slot(tmp_path, "20261129T0310Z", list(range(1, 2400, 2)))
    statement.state_what_was_taken(tmp_path, datetime(2026, 11, 29, 3, 10, tzinfo=UTC), NOW)
    assert [(event["part"], event["parts"], event["lines"]) for event in events] == [
        (1, 3, 500),
        (2, 3, 500),
        (3, 3, 200),
    ]


def test_ids_that_were_written_out_of_order_are_one_range(tmp_path: Path) -> None:
    taken = ledger.read(write_slot(tmp_path, "20261129T0310Z", [5, 6, 1, 2, 3, 4, 7]))
    assert taken is not None
    assert [str(part) for part in taken.ranges] == ["f9aa28aa@1-7"]


def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path) -> None:
    path = write_slot(tmp_path, "20261129T0310Z", [1, 2])
    with path.open("ab") as file:
        file.write(b"f9aa28aa@00000\x00\x00\x00")
    taken = ledger.read(path)
    assert taken is not None
    assert [part.lines for part in taken.ranges] == [2]


def test_a_clock_that_was_set_back_keeps_no_slot_for_ever(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    path = write_slot(tmp_path, "20271129T0310Z", [1])
    os.utime(path, (NOW.timestamp() + 365 * 86400,) * 2)
    until = statement.state_what_was_taken(tmp_path, datetime(2027, 11, 29, 3, 10, tzinfo=UTC), NOW)
    assert [event["ids"] for event in events] == ["f9aa28aa@1"]
    assert until == datetime(2026, 11, 29, 3, 20, tzinfo=UTC)


def test_an_unknown_queue_file_is_an_event_and_not_an_empty_buffer(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    config = config_of(tmp_path)
    (tmp_path / "buffer" / "syslog-ng-00000.rqf").write_bytes(b"SLRQ\x09" + bytes(200))
    with pytest.raises(QueueError, match="no reliable disk queue"):
        read_fill(tmp_path / "buffer", 1)
    assert watch.look(config).buffers[0].state == "unknown"
    watch.look(config)
    assert len(named(events, "log_buffer_unreadable")) == 1


def test_losses_are_told_once_and_a_counter_that_began_anew_is_no_gain(
    tmp_path: Path, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path)
    for count in (0, 7, 7, 9, 2):
        monkeypatch.setattr(watch, "dropped_lines", lambda _names, count=count: {"loki": count})
        watch.look(config)
    assert [event["lines"] for event in named(events, "log_lines_dropped")] == [7, 2, 2]


def test_the_kernels_drops_are_those_of_the_ports_asked_for(tmp_path: Path) -> None:
    table = tmp_path / "udp"
    table.write_text(
        "   sl  local_address rem_address st tx_queue rx_queue tr retrnsmt uid timeout inode ref pointer drops\n"
        "  1: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0000000000000000 12\n"
        "  2: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0000000000000000 3\n"
        "  3: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0000000000000000 99\n"
    )
    assert losses.dropped_datagrams([5514], table) == 15


@needs_syslog_ng
def test_a_buffer_is_drained_before_it_would_be_orphaned(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 503
    variables = configuration(tmp_path, receiver)
    (tmp_path / "services" / "recorder.log").write_text("event=one\n")
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"<14>line %d" % number for number in range(1_499)])
        wait_until_taken(tmp_path / "archive" / "dvr.log", 1_499)
        receiver.wait_for_requests(2)
    config = tmp_path / "drain.conf"
    config.write_text(render(variables | {"__syslog_ng_drain": True}))
    command = ["logs-drain", "--syslog-ng-config", str(config), "--persist-file", str(tmp_path / "run" / "persist")]
    command += ["--buffer", str(tmp_path / "buffer"), "--patience"]
    assert main([*command, "3"]) == 1
    assert "1500 lines wait and the hub took none for 3 s" in capsys.readouterr().err
    receiver.status = 204
    assert main([*command, "30"]) == 0
    assert len({line.metadata["id"] for line in receiver.wait_for(1_500)}) == 1_500
    assert read_fill(tmp_path / "buffer", 1).lines == 0
    with SyslogNg(tmp_path / "run", variables), (tmp_path / "services" / "recorder.log").open("a") as file:
        file.write("event=two\n")
        file.flush()
        lines = receiver.wait_for(1_501)
    assert sum(line.text == "event=one" for line in lines) == 1, "files are read on from where they were"


def test_a_wrong_configuration_is_refused_with_key_and_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs.yml"
    path.write_text(yaml.safe_dump({"buffers": [], "ledger_dir": "/x", "warn_used": 8}))
    assert main(["logs-watch", "--check", "--config", str(path)]) == 2
    text = capsys.readouterr().err
    assert "warn_used: 8" in text
    assert "buffers" in text
