"""No id is given twice, whatever a power cut throws back."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from unit.logs.harness import ADDRESSES, ROLE, Receiver, SyslogNg, configuration, send

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="syslog-ng is not installed on this machine")


def lift(folder: Path) -> None:
    subprocess.run(["/usr/bin/python3", ROLE / "files" / "cllmh-log-ids", folder], check=True, timeout=60)


def counter(receiver: Receiver) -> int:
    return max(int(line.metadata["id"].partition("@")[2], 16) for line in receiver.lines)


def test_ids_are_not_given_twice_after_a_power_cut(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    run = tmp_path / "run"
    run.mkdir()
    port, address = variables["syslog_ng_dvr_port"], ADDRESSES["dvr"]
    begun = time.time_ns() // 1000
    with SyslogNg(run, variables, persist="syslog-ng.persist"):
        send(port, address, [b"first"])
        receiver.wait_for(1)
    old = (run / "syslog-ng.persist").read_bytes()
    lift(run)  # the first start after a boot
    with SyslogNg(run, variables, persist="syslog-ng.persist"):
        send(port, address, [b"before the cut"] * 10)
        receiver.wait_for(11)
    given = counter(receiver)
    assert given > begun
    (run / "syslog-ng.persist").write_bytes(old)
    (run / "cllmh.boot_id").write_text("another boot")
    lift(run)
    with SyslogNg(run, variables, persist="syslog-ng.persist"):
        send(port, address, [b"after the cut"])
        lines = receiver.wait_for(12)
    assert counter(receiver) > given
    assert len({line.metadata["id"].partition("@")[0] for line in lines}) == 1, "the host id stays"


def test_a_restart_without_a_boot_leaves_the_counter_alone(tmp_path: Path, receiver: Receiver) -> None:
    variables = configuration(tmp_path, receiver)
    run = tmp_path / "run"
    run.mkdir()
    lift(run)
    for number in (1, 2):
        with SyslogNg(run, variables, persist="syslog-ng.persist"):
            send(variables["syslog_ng_dvr_port"], ADDRESSES["dvr"], [b"x"])
            receiver.wait_for(number)
        lift(run)
    assert counter(receiver) == 2
