"""What it costs to delete the oldest hundredth of 10,000, 100,000 and a million clips: by the recorder's index, by the
dated folders alone, and by `find | sort | head | xargs rm`, which asks for the time of every file."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from typing import Any

import psutil

from bench.harness import ROOT, Metric, Progress, Result, Row, at_least, at_most, plain
from bench.prune_disk import WAYS

FOLDER = ROOT / "build" / "bench-prune"
SIZES = (10_000, 100_000, 1_000_000)
SHORT_SIZES = (500, 2_000)
ROUNDS, SHORT_ROUNDS = 3, 1
BYTES_PER_CLIP = 4096
"""Memory that a clip takes at most: its inode, its name, and its row in the index."""

TIMEOUT_S = 540
FIGURES = ("wall_s", "cpu_s", "memory_mb")


def run(short: bool = False) -> Result:
    """Measure all sizes; the figures of a size are the medians of its rounds."""
    sizes, rounds = (SHORT_SIZES, SHORT_ROUNDS) if short else (SIZES, ROUNDS)
    progress = Progress("prune")
    answers = []
    for clips in sizes:
        progress(f"{clips} clips")
        answers.append(_answer(clips, rounds))
    rows = [_row(answer, way) for answer in answers for way in WAYS]
    return Result("prune", _metrics(rows, answers), rows, _notes(answers, rounds))


def _answer(clips: int, rounds: int) -> dict[str, Any]:
    """Run `prune_disk.py` in a mount namespace of its own, so that its disk goes with it."""
    room = psutil.virtual_memory().available
    if room < 2 * clips * BYTES_PER_CLIP:
        raise RuntimeError(f"{clips} clips need {clips * BYTES_PER_CLIP >> 20} MB twice, {room >> 20} MB are available")
    FOLDER.mkdir(parents=True, exist_ok=True)
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    script = [sys.executable, "-m", "bench.prune_disk", str(FOLDER), str(clips), str(rounds)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    try:
        done = subprocess.run(
            [*unshare, *script],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=env,
            preexec_fn=_die_with_parent,
        )
    finally:
        shutil.rmtree(FOLDER)
    if done.returncode:
        raise RuntimeError(f"{clips} clips: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout))


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the benchmark is killed; the disk ends with it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _row(answer: dict[str, Any], way: str) -> Row:
    runs = [found for found in answer["runs"] if found["way"] == way]
    figures = {name: statistics.median(found[name] for found in runs) for name in FIGURES}
    row: Row = {"clips": answer["clips"], "deleted": answer["deleted"], "way": way}
    return row | {name: round(value, 3 if name != "memory_mb" else 1) for name, value in figures.items()}


def _metrics(rows: list[Row], answers: list[dict[str, Any]]) -> list[Metric]:
    """Compare at the largest size, and each way's memory there with that at the smallest."""
    figures = {(row["clips"], row["way"]): {name: float(str(row[name])) for name in FIGURES} for row in rows}
    smallest, largest = answers[0]["clips"], answers[-1]["clips"]
    find = figures[largest, "find"]
    metrics = []
    for way, target in (("with_index", 20), ("without_index", 3)):
        ours = figures[largest, way]
        metrics += [
            at_least(f"{way}_times_faster", find["wall_s"] / ours["wall_s"], "times", target),
            at_least(f"{way}_times_less_cpu", find["cpu_s"] / ours["cpu_s"], "times", target),
            plain(f"{way}_wall", ours["wall_s"], "s"),
            plain(f"{way}_cpu", ours["cpu_s"], "s"),
            plain(f"{way}_memory", ours["memory_mb"], "MB"),
            at_most(f"{way}_memory_growth", ours["memory_mb"] / figures[smallest, way]["memory_mb"], "times", 1.5),
        ]
    metrics += [plain(f"find_{name}", find[name], "MB" if name == "memory_mb" else "s") for name in FIGURES]
    metrics.append(plain("find_memory_growth", find["memory_mb"] / figures[smallest, "find"]["memory_mb"], "times"))
    return [*metrics, at_most("wrongly_deleted_or_kept", sum(answer["wrong"] for answer in answers), "clips", 0)]


def _notes(answers: list[dict[str, Any]], rounds: int) -> list[str]:
    largest = answers[-1]
    return [
        f"medians of {rounds} rounds; empty files of 10 cameras, 10,000 a day, on a tmpfs: all is in memory, where"
        " find is at its best; it comes last, when fewer files are left",
        "the rule is a floor of free inodes; each way takes the oldest clips; with the index their rows go too",
        "ours is a process that starts, imports retention and prunes once; `command_line` is `cllmh-node prune` with"
        " the index, which loads more before it begins; in the recorder and the HDD monitor there is no start",
        "memory is the largest process of a way; ours grows with the plan, that is with what is deleted",
        f"an index of {largest['clips']:,} rows of the first version takes {largest['migration_s']:.1f} s, once, to get"
        " what retention needs",
    ]
