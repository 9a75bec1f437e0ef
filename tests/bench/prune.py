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

from bench.harness import ROOT, Metric, Progress, Result, Row, at_least, at_most, plain
from bench.prune_disk import CACHES, WAYS

FOLDER = ROOT / "build" / "bench-prune"
SIZES = (10_000, 100_000, 1_000_000)
SHORT_SIZES = (500, 2_000)
ROUNDS, SHORT_ROUNDS = 2, 1
BYTES_PER_CLIP = 4096
"""What a clip takes at most on the disk that has the image: its inode, its name, and its row in the index."""

TIMEOUT_S = 540
FIGURES = ("wall_s", "cpu_s", "memory_mb")


def run(short: bool = False) -> Result:
    """Measure all sizes; the figures of a size are the means of its rounds."""
    sizes, rounds = (SHORT_SIZES, SHORT_ROUNDS) if short else (SIZES, ROUNDS)
    progress = Progress("prune")
    answers = []
    for clips in sizes:
        progress(f"{clips} clips")
        answers.append(_answer(clips, rounds))
    rows = [_row(answer, way, caches) for answer in answers for caches in CACHES for way in WAYS]
    return Result("prune", _metrics(rows, answers), rows, _notes(answers, rounds))


def _answer(clips: int, rounds: int) -> dict[str, Any]:
    """Run `prune_disk.py` in a mount namespace of its own, so that its disk goes with it."""
    if os.geteuid() != 0:
        raise RuntimeError("needs root: it mounts a disk of its own")
    shutil.rmtree(FOLDER, ignore_errors=True)  # left by a run that was killed
    FOLDER.mkdir(parents=True)
    room = shutil.disk_usage(FOLDER).free
    if room < clips * BYTES_PER_CLIP:
        raise RuntimeError(f"{clips} clips need {clips * BYTES_PER_CLIP >> 20} MB, {FOLDER} has {room >> 20} MB free")
    unshare = ["unshare", "--mount", "--propagation", "private"]
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


def _row(answer: dict[str, Any], way: str, caches: str) -> Row:
    runs = [found for found in answer["runs"] if (found["way"], found["caches"]) == (way, caches)]
    figures = {name: statistics.mean(found[name] for found in runs) for name in FIGURES}
    row: Row = {"clips": answer["clips"], "deleted": answer["deleted"], "caches": caches, "way": way}
    return row | {name: round(value, 3 if name != "memory_mb" else 1) for name, value in figures.items()}


def _metrics(rows: list[Row], answers: list[dict[str, Any]]) -> list[Metric]:
    """Compare at the largest size, and each way's memory there with that at the smallest."""
    figures = {
        (row["clips"], row["caches"], row["way"]): {name: float(str(row[name])) for name in FIGURES} for row in rows
    }
    smallest, largest = answers[0]["clips"], answers[-1]["clips"]
    metrics = []
    for caches in CACHES:
        find = figures[largest, caches, "find"]
        for way, target in (("with_index", 20), ("without_index", 3)):
            ours = figures[largest, caches, way]
            metrics += [
                at_least(f"{way}_times_faster_{caches}", find["wall_s"] / ours["wall_s"], "times", target),
                at_least(f"{way}_times_less_cpu_{caches}", find["cpu_s"] / ours["cpu_s"], "times", target),
            ]
    for way, limit in (("with_index", 1.5), ("without_index", 1.5), ("find", None)):
        growth = figures[largest, "empty", way]["memory_mb"] / figures[smallest, "empty", way]["memory_mb"]
        name = f"{way}_memory_growth"
        metrics.append(plain(name, growth, "times") if limit is None else at_most(name, growth, "times", limit))
    return [*metrics, at_most("wrongly_deleted_or_kept", sum(answer["wrong"] for answer in answers), "clips", 0)]


def _notes(answers: list[dict[str, Any]], rounds: int) -> list[str]:
    largest = answers[-1]
    return [
        f"means of {rounds} rounds; empty files of 10 cameras, 10,000 a day, on an ext4 image of its own",
        "caches `empty`: it is mounted anew before each run, as if memory had been needed for video; its blocks come"
        " from memory, so the seeks of a real disk, which find would pay most, are not in it; `warm`: what the same way"
        " has just looked at is still known",
        "the rule is a floor of free inodes; each way takes the oldest clips; with the index their rows go too; find"
        " comes last, when fewer files are left",
        "ours is a process that starts, imports retention and prunes once; `command_line` is `cllmh-node prune` with"
        " the index, which loads more before it begins; in the recorder and the HDD monitor there is no start",
        "memory is the largest process of a way, and not less than that of the process that starts it, 16 to 20 MB;"
        " ours grows with the plan, that is with what is deleted",
        f"an index of {largest['clips']:,} rows of the first version takes {largest['migration_s']:.1f} s, once, to get"
        " what retention needs",
    ]
