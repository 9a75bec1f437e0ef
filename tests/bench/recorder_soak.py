"""Sixteen cameras with faults every few seconds: nothing leaks, and every second of every camera is accounted for.

Faults: a camera restarts (its connections are cut), its picture stalls while the connection stays, its password is
changed and changed back, its bit rate jumps (it comes back with people walking). The machine's clock is left as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.footage import small
from bench.harness import Progress, Result, Row, at_most, plain
from bench.processes import Recorder, Usage, wait_for
from cllmh_node.clips.naming import iso_time
from fakes.fake_dvr import FakeDvr, Footage, running

FULL_S, SHORT_S = 1800.0, 60.0
CAMERAS, SHORT_CAMERAS = 16, 4
FAULT_EVERY_S = 4.0
LOCKED_OUT_S = 8.0
SETTLING_S = 60.0
"""The rings fill and libraries load: growth is measured after it."""

PASSWORD = "katasandi"
EXPECTED = {"restart": "camera_lost", "stall": "camera_lost", "auth": "auth_failed"}
FAULTS = ("restart", "stall", "auth", "bit_rate")


@dataclass
class Dvr:
    """A camera of its own DVR, and what was done to it."""

    name: str
    dvr: FakeDvr
    address: str
    port: int
    quiet: Footage
    moving: Footage
    faults: list[tuple[float, str]] = field(default_factory=list)
    locked_until: float = 0.0
    is_moving: bool = False

    def cut(self) -> None:
        """Cut all its connections."""
        for session in list(self.dvr.connections):
            if session.task is not None:
                session.task.get_loop().call_soon_threadsafe(session.writer.transport.abort)

    def stall(self) -> None:
        """Send no more on the connections there are, and keep them."""
        for session in list(self.dvr.connections):
            if session.task is not None:
                session.task.get_loop().call_soon_threadsafe(session.task.cancel)

    def fault(self, kind: str) -> None:
        """Do something to it."""
        self.faults.append((time.time(), kind))
        if kind == "stall":
            self.stall()
            return
        if kind == "auth":
            self.dvr.password = "another"
            self.locked_until = time.time() + LOCKED_OUT_S
        elif kind == "bit_rate":
            self.is_moving = not self.is_moving
            self.dvr.channels[1, False] = self.moving if self.is_moving else self.quiet
        self.cut()

    def mend(self) -> None:
        """Undo what has lasted long enough."""
        if self.locked_until and time.time() > self.locked_until:
            self.locked_until = 0.0
            self.dvr.password = PASSWORD


def run(short: bool) -> Result:
    """Soak for 30 minutes; the short form for one, with four cameras."""
    seconds = float(os.environ.get("SOAK_S", SHORT_S if short else FULL_S))
    result, progress = Result("recorder_soak"), Progress("recorder_soak")
    folder = Path(tempfile.mkdtemp(prefix="cllmh-soak-"))
    quiet, moving = (Footage.load(small(is_moving), 10.0) for is_moving in (False, True))
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    secret.chmod(0o600)
    try:
        with contextlib.ExitStack() as stack:
            dvrs = []
            for number in range(SHORT_CAMERAS if short else CAMERAS):
                dvr = FakeDvr(channels={(1, False): quiet}, username="admin", password=PASSWORD)
                # Each is a DVR of its own: what one refuses says nothing of the others.
                address = f"127.0.0.{number + 1}"
                port = stack.enter_context(running(dvr, address))
                dvrs.append(Dvr(f"cam{number:02d}", dvr, address, port, quiet, moving))
            path = "/cam/realmonitor?channel=1&subtype=0"
            cameras: list[dict[str, object]] = [
                {
                    "name": dvr.name,
                    "host": dvr.address,
                    "port": dvr.port,
                    "path": path,
                    "username": "admin",
                    "password_file": str(secret),
                }
                for dvr in dvrs
            ]
            recorder = Recorder(folder / "ours", cameras)
            stack.callback(recorder.stop)
            soak(result, recorder, dvrs, seconds, progress)
    finally:
        shutil.rmtree(folder)
    return result


def soak(result: Result, recorder: Recorder, dvrs: list[Dvr], seconds: float, progress: Progress) -> None:
    """Make faults and look on."""
    chance = random.Random(4)
    pid = recorder.start().pid
    wait_for(lambda: len(recorder.status()["cameras"]) == len(dvrs), 60, "the recorder's status")
    wait_for(
        lambda: all(camera["state"] not in ("lost", "starting") for camera in recorder.status()["cameras"].values()),
        60,
        "all cameras to be quiet",
    )
    began, began_at = time.monotonic(), time.time()
    samples: list[tuple[float, Usage]] = []
    next_fault = next_sample = 0.0
    while (now := time.monotonic() - began) < seconds:
        if now >= next_fault and now < seconds - 20:
            # Only a camera that is watched can be lost: one that is still shut out shows no fault of another kind.
            states = {name: camera["state"] for name, camera in recorder.status()["cameras"].items()}
            recent = time.time() - 15.0
            free = [
                dvr
                for dvr in dvrs
                if not dvr.locked_until
                and states[dvr.name] not in ("lost", "starting")
                and all(at < recent for at, _ in dvr.faults)
            ]
            if free:
                chance.choice(free).fault(FAULTS[round(now / FAULT_EVERY_S) % len(FAULTS)])
            next_fault += FAULT_EVERY_S
        if now >= next_sample:
            samples.append((now, Usage.of(pid)))
            next_sample += 5.0
        for dvr in dvrs:
            dvr.mend()
        progress(f"{sum(len(dvr.faults) for dvr in dvrs)} faults, {samples[-1][1].memory_bytes / 1e6:.0f} MB")
        time.sleep(0.2)
    ended_at = time.time()
    died = int(recorder.process is None or recorder.process.poll() is not None)
    stopped_s = recorder.stop()
    account(result, recorder, dvrs, began_at, ended_at)
    settled = [sample for sample in samples if sample[0] >= min(SETTLING_S, seconds / 3)]
    minutes = (settled[-1][0] - settled[0][0]) / 60
    slope = statistics.linear_regression(
        [at / 60 for at, _ in settled], [u.memory_bytes / 1e6 for _, u in settled]
    ).slope
    result.metrics += [
        plain("faults", sum(len(dvr.faults) for dvr in dvrs), "faults"),
        at_most("memory_slope_per_camera", slope / len(dvrs), "MB/min", 0.1),
        plain("memory_at_the_end", settled[-1][1].memory_bytes / 1e6, "MB"),
        at_most("threads_grown", settled[-1][1].threads - settled[0][1].threads, "threads", 2),
        at_most("file_handles_grown", settled[-1][1].files - settled[0][1].files, "handles", len(dvrs)),
        plain("minutes_of_growth_measured", minutes, "min"),
        plain("cpu_percent_per_camera", 100 * settled[-1][1].cpu_s / settled[-1][0] / len(dvrs), "% of a core"),
        at_most("recorder_died", died, "times", 0),
        at_most("stopping_took", stopped_s, "s", 5),
    ]
    result.notes.append("file handles: a clip that is open at the last look and was not at the first is one handle")
    result.notes.append("a step of the clock was not made: the machine's clock is shared")


def account(result: Result, recorder: Recorder, dvrs: list[Dvr], began_at: float, ended_at: float) -> None:
    """Ask `cllmh-node coverage` what every second was, and compare the gaps with the faults."""
    since = ["--since", iso_time(began_at)]
    command = [sys.executable, "-m", "cllmh_node", "coverage", "--config", str(recorder.config), "--json", *since]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    stretches = [json.loads(line) for line in listed.stdout.splitlines()]
    gaps = recorder.rows("gaps")
    wrong = unseen = 0
    for dvr in dvrs:
        own = [gap for gap in gaps if gap["camera"] == dvr.name]
        for at, kind in dvr.faults:
            cause = EXPECTED.get(kind)
            if cause is None or at > ended_at - 25:
                continue
            near = [gap for gap in own if gap["start"] <= iso_time(at + 8) and (gap["end"] or "9") >= iso_time(at - 1)]
            unseen += not near
            wrong += bool(near) and cause not in [gap["cause"] for gap in near]
    totals: dict[str, float] = {}
    for stretch in stretches:
        seconds = _seconds(stretch["end"]) - _seconds(stretch["start"])
        key = stretch["kind"] + (f" ({stretch['cause']})" if stretch["cause"] else "")
        totals[key] = totals.get(key, 0.0) + seconds
    watched_s = sum(totals.values())
    result.rows += [Row(was=key, camera_seconds=round(value, 1)) for key, value in sorted(totals.items())]
    result.metrics += [
        plain("camera_seconds", watched_s, "s"),
        at_most("camera_seconds_unaccounted", totals.get("unknown", 0.0), "s", 0),
        at_most(
            "camera_seconds_missing", max(0.0, (ended_at - began_at) * len(dvrs) - watched_s), "s", 5.0 * len(dvrs)
        ),
        at_most("faults_without_a_gap", unseen, "faults", 0),
        at_most("gaps_with_another_cause", wrong, "gaps", 0),
    ]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
