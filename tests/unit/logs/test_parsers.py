"""Golden files of the device parsers, and the promises of the buffer, against the real syslog-ng."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from unit.logs.harness import Line, Receiver, SyslogNg, free_port, installed_config_version, self_signed, send

GOLDEN = Path(__file__).parent / "golden"
SITE_ZONE = "Asia/Jakarta"
ADDRESSES = {"dvr": "127.0.0.11", "router": "127.0.0.12"}

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine")


def configuration(folder: Path, receiver: Receiver) -> dict[str, Any]:
    """Return the role variables of a node with one DVR and one router, all of it private to this test."""
    files = folder / "services"
    for name in ("services", "archive", "buffer"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "__syslog_ng_config_version": installed_config_version(),
        "syslog_ng_site": "site-a",
        "syslog_ng_host": "node-a",
        "syslog_ng_timezone": SITE_ZONE,
        "syslog_ng_journal": False,
        "syslog_ng_files_dir": str(files),
        "syslog_ng_archive_dir": str(folder / "archive"),
        "syslog_ng_buffer_dir": str(folder / "buffer"),
        "syslog_ng_buffer_bytes": 4 * 1024 * 1024,
        "syslog_ng_buffer_memory_bytes": 1024 * 1024,
        "syslog_ng_hub_url": f"https://127.0.0.1:{receiver.port}/loki/api/v1/push",
        "syslog_ng_ca_file": str(receiver.certificates / "ca.crt"),
        "syslog_ng_cert_file": str(receiver.certificates / "host.crt"),
        "syslog_ng_key_file": str(receiver.certificates / "host.key"),
        "syslog_ng_listen_address": "127.0.0.1",
        "syslog_ng_dvr_port": free_port(),
        "syslog_ng_router_port": free_port(),
        "syslog_ng_retry_s": 1,
        "syslog_ng_devices": [
            {"name": f"{kind}-a", "kind": kind, "address": address} for kind, address in ADDRESSES.items()
        ],
        "syslog_ng_dvr_severities_extra": [{"severity": "alert", "pattern": r"pintu terbuka \bpaksa\b"}],
    }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def receiver(certificates: Path) -> Iterator[Receiver]:
    with Receiver(certificates) as running:
        yield running


def stamped(case: dict[str, Any], now: datetime) -> tuple[str, datetime | None]:
    """Return the case's {stamp} text and the moment it means."""
    rule = case.get("stamp")
    if rule is None:
        return "", None
    moment = now - timedelta(seconds=rule["ago_s"])
    text = moment.astimezone(ZoneInfo(rule.get("zone", SITE_ZONE))).strftime(rule["format"])
    if rule.get("colon"):
        text = f"{text[:-2]}:{text[-2:]}"
    return text.lower() if rule.get("lower") else text, moment


def differences(case: dict[str, Any], line: Line, host: str, kind: str, now: datetime) -> list[str]:
    """Compare one stored line with what its case expects; each difference is one text."""
    stamp, moment = stamped(case, now)
    expected = dict(case["expect"])
    at = expected.pop("at")
    wanted_at = moment if at == "stamp" else now
    assert wanted_at is not None
    expected |= {"host": host, "kind": kind, "site": "site-a", "job": "cctv"}
    found = line.labels | line.metadata | {"line": line.text}
    if "orig" in expected:
        expected["orig"] = expected["orig"].format(stamp=stamp)
    elif "orig" in found:
        expected["orig"] = None
    wrong = [
        f"{case['name']}: {key} is {found.get(key)!r}, not {value!r}"
        for key, value in expected.items()
        if found.get(key) != value
    ]
    seconds_off = abs(line.at_ns / 1e9 - wanted_at.timestamp())
    if seconds_off > (1.5 if at == "stamp" else 15):
        wrong.append(f"{case['name']}: the time is {seconds_off:.0f} s away from the {at}")
    return wrong


@pytest.mark.parametrize(("file", "kind"), [("routeros.yml", "router"), ("dvr.yml", "dvr")])
def test_lines_of_a_device_arrive_as_the_golden_file_says(
    file: str, kind: str, tmp_path: Path, receiver: Receiver
) -> None:
    cases = yaml.safe_load((GOLDEN / file).read_text())
    variables = configuration(tmp_path, receiver)
    now = datetime.now(ZoneInfo("UTC"))
    payloads = [
        case["send"].replace("{stamp}", stamped(case, now)[0]).encode(case.get("encoding", "utf-8")) for case in cases
    ]
    with SyslogNg(tmp_path / "run", variables):
        send(variables[f"syslog_ng_{kind}_port"], ADDRESSES[kind], payloads)
        lines = receiver.wait_for(len(cases))
    lines.sort(key=lambda line: line.metadata["id"])
    wrong = [
        text
        for case, line in zip(cases, lines, strict=True)
        for text in differences(case, line, f"{kind}-a", kind, now)
    ]
    assert not wrong, "\n".join(wrong)
    archived = (tmp_path / "archive" / f"{kind}.log").read_bytes()
    assert all(payload in archived for payload in payloads), "the raw text of every line is kept on the node"


def test_an_unknown_device_is_named_by_its_address_and_not_refused(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], "127.0.0.99", [b"<14>hello"], transport="udp")
        (line,) = receiver.wait_for(1)
    assert line.metadata["host"] == "127.0.0.99"
    assert line.text == "hello"


def test_a_line_of_a_service_file_arrives_with_the_name_of_its_file(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        (tmp_path / "services" / "recorder.log").write_text('event=clip_closed msg="done"\n')
        (line,) = receiver.wait_for(1)
    assert (line.labels["kind"], line.labels["severity"]) == ("node", "info")
    assert (line.metadata["host"], line.metadata["app"]) == ("node-a", "recorder.log")
    assert line.text == 'event=clip_closed msg="done"'


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
