"""Sixteen cameras with faults every few seconds: nothing leaks, and every second of every camera is accounted for.

Faults: a camera restarts (its connections are cut), its picture stalls while the connection stays, its password is
changed and changed back, its bit rate jumps (it comes back with people walking); and the clock is set forwards and
backwards under all cameras at once (for the recorder alone, see `stepped_clock`). Unix times here are of that clock.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.footage import small
from bench.harness import Progress, Result, Row, at_most, plain
from bench.processes import Recorder, Usage, wait_for
from bench.stepped_clock import SteppedClock, can_be_built
from cllmh_node.clips.naming import iso_time
from fakes.fake_dvr import FakeDvr, Footage, running

FULL_S, SHORT_S = 1800.0, 70.0
CAMERAS, SHORT_CAMERAS = 16, 4
FAULT_EVERY_S = 4.0
LOCKED_OUT_S = 8.0
ALONE_S = 15.0
"""So long a camera has no other fault after one."""

STEP_EVERY_S, SHORT_STEP_EVERY_S = 90.0, 20.0
FORWARDS_S, BACKWARDS_S = (2.0, 20.0), (-6.0, -2.0)
SETTLING_S = 60.0
"""The rings fill and libraries load: growth is measured after it."""

PASSWORD = "katasandi"
EXPECTED = {"restart": "camera_lost", "stall": "camera_lost", "auth": "auth_failed", "step": "clock"}
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
    refused_before: int = 0
    """Logins that it had refused when its password was changed."""

    locked_until: float = 0.0
    """Monotonic time, in seconds."""

    disturbed_at: float = -math.inf
    """Monotonic time of the latest fault or step of the clock, in seconds."""

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

    def fault(self, kind: str, at: float) -> None:
        """Do something to it; `at`: unix time."""
        self.faults.append((at, kind))
        self.disturbed_at = time.monotonic()
        if kind == "stall":
            self.stall()
            return
        if kind == "auth":
            self.dvr.password = "another"
            self.refused_before = self.dvr.logins_refused
            self.locked_until = time.monotonic() + LOCKED_OUT_S
        elif kind == "bit_rate":
            self.is_moving = not self.is_moving
            self.dvr.channels[1, False] = self.moving if self.is_moving else self.quiet
        self.cut()

    def mend(self) -> None:
        """Undo what has lasted long enough."""
        if self.locked_until and time.monotonic() > self.locked_until:
            self.locked_until = 0.0
            self.dvr.password = PASSWORD
            if self.dvr.logins_refused == self.refused_before:
                # Nobody knocked meanwhile, since a camera that is lost again and again is tried more slowly.
                at, _ = self.faults[-1]
                self.faults[-1] = at, "restart"


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
            clock = SteppedClock(folder) if can_be_built() else None
            if clock is None:
                result.notes.append("the clock was not set: without a C compiler it cannot be set for one program")
            else:
                recorder.env = clock.env
            stack.callback(recorder.stop)
            soak(result, recorder, dvrs, seconds, progress, clock, SHORT_STEP_EVERY_S if short else STEP_EVERY_S)
    finally:
        shutil.rmtree(folder)
    return result


def soak(
    result: Result,
    recorder: Recorder,
    dvrs: list[Dvr],
    seconds: float,
    progress: Progress,
    clock: SteppedClock | None,
    step_every_s: float,
) -> None:
    """Make faults and look on."""
    chance = random.Random(4)
    now_there = time.time if clock is None else clock.now
    pid = recorder.start().pid
    wait_for(lambda: len(recorder.status()["cameras"]) == len(dvrs), 60, "the recorder's status")
    wait_for(
        lambda: all(camera["state"] not in ("lost", "starting") for camera in recorder.status()["cameras"].values()),
        60,
        "all cameras to be quiet",
    )
    began, began_at = time.monotonic(), now_there()
    samples: list[tuple[float, Usage]] = []
    steps: list[tuple[float, float]] = []
    next_fault = next_sample = 0.0
    while (now := time.monotonic() - began) < seconds:
        if clock is not None and (len(steps) + 1) * step_every_s <= now < seconds - 20:
            steps.append((clock.now(), chance.uniform(*(BACKWARDS_S if len(steps) % 2 else FORWARDS_S))))
            step(clock, *steps[-1], dvrs, undisturbed(recorder, dvrs))
        if now >= next_fault and now < seconds - 20:
            free = undisturbed(recorder, dvrs)
            if free:
                chance.choice(free).fault(FAULTS[round(now / FAULT_EVERY_S) % len(FAULTS)], now_there())
            next_fault += FAULT_EVERY_S
        if now >= next_sample:
            samples.append((now, Usage.of(pid)))
            next_sample += 5.0
        for dvr in dvrs:
            dvr.mend()
        progress(f"{sum(len(dvr.faults) for dvr in dvrs)} faults, {samples[-1][1].memory_bytes / 1e6:.0f} MB")
        time.sleep(0.2)
    ended_at = now_there()
    died = int(recorder.process is None or recorder.process.poll() is not None)
    stopped_s = recorder.stop()
    account(result, recorder, dvrs, began_at, ended_at, steps)
    settled = [sample for sample in samples if sample[0] >= min(SETTLING_S, seconds / 3)]
    minutes = (settled[-1][0] - settled[0][0]) / 60
    slope = statistics.linear_regression(
        [at / 60 for at, _ in settled], [u.memory_bytes / 1e6 for _, u in settled]
    ).slope
    result.metrics += [
        plain("faults", sum(kind != "step" for dvr in dvrs for _, kind in dvr.faults), "faults"),
        plain("clock_steps", len(steps), "steps"),
        plain("cameras_watched_at_a_clock_step", sum(kind == "step" for d in dvrs for _, kind in d.faults), "cameras"),
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


def undisturbed(recorder: Recorder, dvrs: list[Dvr]) -> list[Dvr]:
    """Return the cameras that are watched: only they can be lost, and one still shut out shows no other fault."""
    states = {name: camera["state"] for name, camera in recorder.status()["cameras"].items()}
    recent = time.monotonic() - ALONE_S
    return [
        dvr
        for dvr in dvrs
        if not dvr.locked_until and states[dvr.name] not in ("lost", "starting") and dvr.disturbed_at < recent
    ]


def step(clock: SteppedClock, at: float, seconds: float, dvrs: list[Dvr], watched: list[Dvr]) -> None:
    """Set the clock, which shows `at`: a fault of the cameras that are watched. All are left alone for a while."""
    clock.step(seconds)
    for dvr in dvrs:
        dvr.disturbed_at = time.monotonic()
        if dvr in watched:
            dvr.faults.append((at, "step"))


def account(
    result: Result,
    recorder: Recorder,
    dvrs: list[Dvr],
    began_at: float,
    ended_at: float,
    steps: list[tuple[float, float]],
) -> None:
    """Ask `cllmh-node coverage` what every second was, and compare the gaps with the faults.

    `steps`: when the clock was set, by itself, and by how much, in seconds.
    """
    stretches = recorder.rows("coverage", "--since", iso_time(began_at))
    gaps = recorder.rows("gaps")
    wrong = unseen = 0
    for dvr in dvrs:
        own = [gap for gap in gaps if gap["camera"] == dvr.name]
        for at, kind in dvr.faults:
            cause = EXPECTED.get(kind)
            if cause is None or at > ended_at - 25:
                continue
            late_s = _dated_late_s(at, steps)
            near = [
                gap
                for gap in own
                if gap["start"] <= iso_time(at + 8 + late_s) and (gap["end"] or "9") >= iso_time(at - 1)
            ]
            causes = [gap["cause"] for gap in near]
            unseen += not near
            wrong += bool(near) and cause not in causes
            if cause not in causes:
                result.notes.append(f"{dvr.name} {iso_time(at)} {kind}: {', '.join(causes) or 'no gap'}")
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


def _dated_late_s(at: float, steps: list[tuple[float, float]]) -> float:
    """Return how much later than it was what a fault of the time `at` leads to may be dated, in seconds.

    After the clock was set back, dates run on until it has caught up. Where it is set forwards before anybody has
    noticed the fault, or before the camera knocks again, that is dated by the new time.
    """
    back_s = -min([0.0, *(seconds for _, seconds in steps)])
    return back_s + sum(seconds for when, seconds in steps if seconds > 0 and at <= when <= at + ALONE_S)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
