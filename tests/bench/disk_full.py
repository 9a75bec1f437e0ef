"""A disk that is always full: cameras record to a small one that another program fills in bursts and frees again.

A mounted ext4 image, full of old clips of all classes from the start; eight cameras recorded without a pause, half of
them with people in the picture (class motion); the adversary takes blocks at ten times the recording rate for a while,
when the disk is full as soon as something is free, keeps them for half as long, and frees them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from bench.footage import full_hd, small
from bench.harness import ROOT, Progress, Result, at_most, plain
from bench.processes import Recorder, SourceProcess, camera, end_left_behind, stopping, wait_for
from cllmh_node.clips.index import ClipIndex, ClipRow, Importance
from cllmh_node.clips.naming import clip_path
from cllmh_node.recordings import MARKER, Space
from small_disk import clear, small_disk, why_not

CAMERAS = 8
FOLDER = ROOT / "build" / "bench-disk-full"
"""Always the same, so that a run can take away what a killed one left mounted."""

BURST_RATE = 10.0
CLASSES: tuple[Importance, ...] = ("continuous", "motion", "object", "pinned")
SEAM_S = 0.02
"""Clips follow each other to within less than a frame, in seconds."""

IN_FLIGHT_S = 1.0
"""The last clip may end so much before the recorder is told to stop, in seconds."""


@dataclass(frozen=True)
class Form:
    """How large and how long it is."""

    disk_bytes: int
    seconds: float
    fps: float
    max_clip_s: float
    min_age_s: float
    old_clip_bytes: int
    mixture: tuple[int, int, int, int]
    """How many of the old clips are of each class."""

    burst_s: float
    max_used_percent: float | None
    settings: dict[str, object] = field(default_factory=dict)


FULL = Form(
    disk_bytes=2 * 1024**3,
    seconds=float(os.environ.get("DISK_FULL_S", "1200")),
    fps=25.0,
    max_clip_s=60.0,
    min_age_s=60.0,
    old_clip_bytes=8 * 1024**2,
    mixture=(6, 6, 3, 1),
    burst_s=10.0,
    max_used_percent=90.0,
)
SHORT = Form(
    disk_bytes=24 * 1024**2,
    seconds=28.0,
    fps=10.0,
    max_clip_s=10.0,
    min_age_s=5.0,
    old_clip_bytes=256 * 1024,
    mixture=(2, 8, 5, 1),
    burst_s=8.0,
    max_used_percent=None,
    settings={"reserve_bytes": 256 * 1024},
)
"""With a reserve that is too small, so that the disk gets full between two looks."""


def run(short: bool) -> Result:
    """Record for 20 minutes (DISK_FULL_S=n for another time), the short form for half a minute."""
    reason = why_not()
    if reason is not None:
        raise RuntimeError(reason)
    form = SHORT if short else FULL
    FOLDER.mkdir(parents=True, exist_ok=True)
    end_left_behind(f"{FOLDER}/")
    clear(FOLDER)
    shutil.rmtree(FOLDER)
    FOLDER.mkdir()
    footage = [small(moving) if short else full_hd(moving) for moving in (False, True)]
    rate = CAMERAS * sum(path.stat().st_size for path in footage) / 2 / (20 if short else 10)
    names = [f"cam{number}" for number in range(CAMERAS)]
    plans = {
        name: {"plan": [[str(footage[number % 2]), 1]], "fps": form.fps, "delay_s": 0.02 * number}
        for number, name in enumerate(names)
    }
    try:
        with small_disk(FOLDER, form.disk_bytes) as disk, stopping(source := SourceProcess(FOLDER, plans)):
            return measure(form, disk.path / "recordings", source, names, rate)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def measure(form: Form, root: Path, source: SourceProcess, names: list[str], rate: float) -> Result:
    """Record, and account for it; `rate`: what all cameras send, in bytes a second."""
    cameras = [camera(name, source.port, mode="continuous", max_clip_s=form.max_clip_s) for name in names]
    retention = {"min_age_s": form.min_age_s, "max_used_percent": form.max_used_percent}
    settings = {"spool_dir": str(FOLDER / "spool"), "retention": retention, **form.settings}
    recorder = Recorder(FOLDER, cameras, recordings_dir=str(root), processes=2, **settings)
    old = fill_with_old_clips(root, FOLDER / "state" / "index.db", form)
    watcher = Watcher(root, BURST_RATE * rate, form.burst_s)
    progress = Progress("disk_full")
    with stopping(recorder):
        recorder.start()
        wait_for(lambda: len(recorder.log_lines("clip_opened")) >= len(names) or None, 60, "all cameras to be recorded")
        began = time.monotonic()
        with watcher:
            while (elapsed_s := time.monotonic() - began) < form.seconds:
                progress(f"{watcher.bursts} bursts, {watcher.free_bytes / 1e6:.0f} MB free of {form.seconds:.0f} s")
                time.sleep(min(1.0, form.seconds - elapsed_s))
        stopped_at = time.time()
    return account(recorder, form, old, watcher, names, stopped_at, root)


def fill_with_old_clips(root: Path, index_path: Path, form: Form) -> list[ClipRow]:
    """Fill the disk with clips of another camera, of all classes; some of them are pinned."""
    root.mkdir()
    (root / MARKER).touch()
    index = ClipIndex(index_path)
    chance = random.Random(5)
    rows = []
    at = time.time() - 30 * 86400
    while Space.of(root).free_bytes > form.disk_bytes // 20 + form.old_clip_bytes:
        at += 600
        path = clip_path("old", at)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, form.old_clip_bytes)
        (importance,) = chance.choices(CLASSES, form.mixture)
        rows.append(ClipRow("old", str(path), at, at + 60, form.old_clip_bytes, importance))
        index.add_clip(rows[-1])
    index.close()
    return rows


class Watcher:
    """The adversary, and who looks at the disk ten times a second."""

    def __init__(self, root: Path, rate: float, burst_s: float) -> None:
        self._root = root
        self._ballast = root.parent / "ballast"
        self._rate = rate
        self._burst_s = burst_s
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._fill, self._look)]
        self.samples: list[tuple[float, int]] = []
        self.free_bytes = 0
        self.bursts = self.bursts_to_the_end = 0

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.free_bytes = Space.of(self._root).free_bytes
            self.samples.append((time.monotonic(), self.free_bytes))

    def _fill(self) -> None:
        while not self._ended.wait(self._burst_s / 2):
            self.bursts += 1
            with self._ballast.open("wb") as file:
                began, taken, was_full = time.monotonic(), 0, False
                while (spent_s := time.monotonic() - began) < self._burst_s and not self._ended.wait(0.02):
                    wanted = int(spent_s * self._rate) - taken
                    try:
                        os.posix_fallocate(file.fileno(), taken, max(1, wanted))
                    except OSError:
                        was_full = True
                        continue
                    taken += wanted
            self.bursts_to_the_end += was_full
            self._ended.wait(self._burst_s / 2)
            self._ballast.unlink()


def account(
    recorder: Recorder,
    form: Form,
    old: list[ClipRow],
    watcher: Watcher,
    names: list[str],
    stopped_at: float,
    root: Path,
) -> Result:
    """Say what was lost, what was deleted before its turn, and how long the disk lacked its reserve."""
    reports = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((FOLDER / "spool").glob("*.json"), key=lambda path: path.name)
    ]
    clips = {row.path: row for row in old}
    lost_s, holes = 0.0, 0
    for name in names:
        own = [_row(report["data"]) for report in reports if report["kind"] == "clip_closed"]
        own = sorted((row for row in own if row.camera == name), key=lambda row: row.start)
        clips |= {row.path: row for row in own}
        late = [later.start - earlier.end for earlier, later in pairwise(own)]
        late = [hole_s for hole_s in [*late, stopped_at - IN_FLIGHT_S - own[-1].end] if hole_s > SEAM_S]
        lost_s += sum(late)
        holes += len(late)
    gaps = [gap for gap in recorder.rows("gaps") if gap["cause"] == "disk"]
    wrong_bytes, deleted = deleted_before_its_turn(reports, clips, form.min_age_s)
    reserve_bytes = int(str(form.settings.get("reserve_bytes", 0))) or _default_reserve(root)
    below = [(later - at, free) for (at, free), (later, _) in pairwise(watcher.samples) if free < reserve_bytes]
    result = Result("disk_full")
    result.metrics = [
        at_most("seconds_lost", lost_s, "s", 0),
        at_most("holes_between_clips", holes, "holes", 0),
        at_most("gap_rows_of_the_disk", len(gaps), "gaps", 0),
        at_most("frames_missing_in_files", frames_missing(root, clips, form.fps), "frames", 0),
        at_most("higher_class_deleted_while_lower_existed", wrong_bytes, "bytes", 0),
        plain("camera_seconds_recorded", sum(c.end - c.start for c in clips.values() if c.camera != "old"), "s"),
        plain("bytes_recorded", sum(c.size_bytes for c in clips.values() if c.camera != "old") / 1e6, "MB"),
        plain("reserve", reserve_bytes / 1e6, "MB"),
        plain("time_below_the_reserve", sum(seconds for seconds, _ in below), "s"),
        plain("least_free", min(free for _, free in watcher.samples) / 1e6, "MB"),
        plain("bursts", watcher.bursts, "bursts"),
        plain("bursts_that_filled_the_disk", watcher.bursts_to_the_end, "bursts"),
        *(plain(f"deleted_{name}", deleted[name], "clips") for name in CLASSES),
    ]
    result.notes = [
        f"{form.seconds:.0f} s on {form.disk_bytes / 1024**2:.0f} MiB; the adversary takes blocks without writing to "
        "them, so that it costs the disk no time; time below the reserve is looked at ten times a second",
        "before its turn: a clip of a lower class, older than min_age_s, was there when it was deleted",
    ]
    return result


def deleted_before_its_turn(
    reports: list[dict[str, Any]], clips: dict[str, ClipRow], min_age_s: float
) -> tuple[int, dict[str, int]]:
    """Go through closed and deleted clips in their order; return bytes deleted too early, and the count by class."""
    there = {path: row for path, row in clips.items() if row.camera == "old"}
    counts = dict.fromkeys(CLASSES, 0)
    wrong_bytes = 0
    for report in reports:
        if report["kind"] == "clip_closed":
            there[report["data"]["path"]] = clips[report["data"]["path"]]
        elif report["kind"] == "clips_deleted":
            at = datetime.fromisoformat(report["at"]).timestamp()
            for path in report["data"]["paths"]:
                row = there.pop(path)
                counts[row.importance] += 1
                rank = CLASSES.index(row.importance)
                # What ended just then may not have been known to be old enough.
                lower = (c for c in there.values() if CLASSES.index(c.importance) < rank)
                if any(other.end < at - min_age_s - 5 for other in lower):
                    wrong_bytes += row.size_bytes
    return wrong_bytes, counts


def frames_missing(root: Path, clips: dict[str, ClipRow], fps: float) -> int:
    """Count what the clips that are still on the disk lack, by their length."""
    missing = 0
    for row in clips.values():
        if row.camera != "old" and (root / row.path).exists():
            with contextlib.closing(av.open(str(root / row.path))) as container:
                frames = sum(1 for packet in container.demux(video=0) if packet.size)
            missing += max(0, round((row.end - row.start) * fps) - frames)
    return missing


def _default_reserve(root: Path) -> int:
    """Return the reserve of a recorder whose cameras send more than 64 MiB in a minute: 5 % of the disk."""
    return int(0.05 * Space.of(root).total_bytes)


def _row(data: dict[str, Any]) -> ClipRow:
    times = (datetime.fromisoformat(data[key]).timestamp() for key in ("start", "end"))
    return ClipRow(data["camera"], data["path"], *times, data["bytes"], data["importance"])
