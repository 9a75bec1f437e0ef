"""Golden files of the device parsers, against the real syslog-ng."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from unit.logs.harness import ADDRESSES, SITE_ZONE, Line, Receiver, SyslogNg, configuration, send

GOLDEN = Path(__file__).parent / "golden"

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine")


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


@pytest.mark.parametrize(
    ("fraction", "nanoseconds"), [(".265", 265e6), (".5", 5e8), (".000123", 123e3), (",123456789", 123456e3)]
)
def test_the_fraction_of_a_devices_stamp_keeps_the_order(
    fraction: str, nanoseconds: float, tmp_path: Path, receiver: Receiver
) -> None:
    variables = configuration(tmp_path, receiver)
    stamp = datetime.now(ZoneInfo(SITE_ZONE)).strftime("%Y-%m-%d %H:%M:%S")
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [f"{stamp}{fraction} hello".encode()])
        (line,) = receiver.wait_for(1)
    assert line.at_ns % 10**9 == nanoseconds


def test_an_unknown_device_is_named_by_its_address_and_not_refused(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        send(variables["syslog_ng_dvr_port"], "127.0.0.99", [b"<14>hello"], transport="udp")
        (line,) = receiver.wait_for(1)
    assert line.metadata["host"] == "127.0.0.99"
    assert line.text == "hello"


def test_lines_of_our_services_files_arrive_as_the_golden_file_says(tmp_path: Path, receiver: Receiver) -> None:
    cases = yaml.safe_load((GOLDEN / "services.yml").read_text())
    now = datetime.now(ZoneInfo("UTC"))
    with SyslogNg(tmp_path / "run", configuration(tmp_path, receiver)):
        text = "".join(case["send"].replace("{stamp}", stamped(case, now)[0]) + "\n" for case in cases)
        (tmp_path / "services" / "recorder.log").write_text(text)
        lines = receiver.wait_for(len(cases))
    lines.sort(key=lambda line: line.metadata["id"])
    paired = zip(cases, lines, strict=True)
    wrong = [text for case, line in paired for text in differences(case, line, "node-a", "node", now)]
    assert not wrong, "\n".join(wrong)
    assert lines[0].at_ns % 10**9 == 265_000_000, "the fraction of the stamp counts"


def test_a_line_of_a_service_file_arrives_with_the_name_of_its_file(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    with SyslogNg(tmp_path / "run", variables):
        (tmp_path / "services" / "recorder.log").write_text('event=clip_closed msg="done"\n')
        (line,) = receiver.wait_for(1)
    assert (line.labels["kind"], line.labels["severity"]) == ("node", "info")
    assert (line.metadata["host"], line.metadata["app"]) == ("node-a", "recorder.log")
    assert line.text == 'event=clip_closed msg="done"'
