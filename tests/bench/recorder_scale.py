"""How much of a core, and how much memory, a camera costs the recorder, from 8 to 64 cameras.

1080p25, 4 Mbit/s, GOP 2 s, from `source.py`: all quiet, then a quarter of them with people walking. The cameras'
keyframes are spread over the GOP, as those of cameras that were switched on one by one are.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from bench.footage import full_hd, small
from bench.harness import Progress, Result, Row, at_most, plain
from bench.processes import Recorder, SourceProcess, Usage, camera, stopping, wait_for
from cllmh_node.clips.naming import iso_time

COUNTS = (8, 16, 32, 48, 64)
GOP_S = 2.0
LEARN_S = 22.0
"""Before anything is measured: connecting, and the first eight keyframes in which the scene is learned."""

RING_S = 5.0 + 2.0 + 2 * 4.0
"""Seconds that the ring holds at least, with the recorder's defaults: pre-roll, confirmation and two GOPs."""


def run(short: bool) -> Result:
    """Measure; the short form has two small cameras and asks for counts only."""
    progress = Progress("recorder_scale")
    rows = [row for count in ([2] if short else COUNTS) for row in point(count, short, progress)]
    return summarise(rows)


def summarise(rows: list[Row]) -> Result:
    """Compare the rows with the targets."""
    result = Result("recorder_scale", rows=rows)
    for row in rows:
        name = f"cpu_percent_per_camera_{row['cameras']}_{row['scene']}"
        value, unit = float(str(row["cpu_percent_per_camera"])), "% of a core"
        result.metrics.append(at_most(name, value, unit, 2) if row["scene"] == "quiet" else plain(name, value, unit))
    counted = [row for row in rows if row["scene"] == "quarter_moving"]
    for name, unit in (("frames_lost", "frames"), ("reconnects", "connections"), ("gap_rows", "rows")):
        result.metrics.append(at_most(name, sum(int(str(row[name])) for row in counted), unit, 0))
    above = float(str(max(rows, key=lambda row: int(str(row["cameras"])))["memory_above_ring_mb_per_camera"]))
    result.metrics.append(at_most("memory_above_ring_per_camera", above, "MB", 12))
    result.notes.append("the packets come from tests/bench/source.py, whose own use is in the column source_percent")
    result.notes.append(
        "memory is that of all processes; what they have in common weighs more the fewer cameras there are"
    )
    return result


def point(count: int, short: bool, progress: Progress) -> list[Row]:
    """Measure with so many cameras: a row while all are quiet, and one while a quarter is not."""
    quiet_s, moving_s = (6.0, 6.0) if short else (15.0, 15.0)
    fps = 10 if short else 25
    quiet, moving = (small(False), small(True)) if short else (full_hd(False), full_hd(True))
    lead_s = LEARN_S + quiet_s + 3
    length_s = 20.0 if short else 10.0
    still = [[str(quiet), 60]]
    walks = [[str(quiet), round(lead_s / length_s + 0.5)], [str(moving), 60]]
    begins_s = walks[0][1] * length_s  # type: ignore[operator]
    spread = {f"cam{n:02d}": n * GOP_S / count for n in range(count)}
    plans = {
        name: {"plan": walks if n % 4 == 1 else still, "fps": fps, "delay_s": round(delay_s, 2)}
        for n, (name, delay_s) in enumerate(spread.items())
    }
    folder = Path(tempfile.mkdtemp(prefix="cllmh-scale-"))
    source = SourceProcess(folder, plans)
    recorder = Recorder(folder / "ours", [camera(name, source.port) for name in plans])
    rows: list[Row] = []
    try:
        with stopping(source, recorder):
            process = recorder.start()
            wait_for(lambda: len(source.report()) == count, 60, "all cameras to be connected")
            wait_until(source.t0 + LEARN_S, progress, f"{count} cameras learn their scenes")
            rows.append(measure("quiet", count, quiet_s, process.pid, source, progress))
            wait_until(source.t0 + begins_s + GOP_S + 3, progress, f"{count} cameras, people come in")
            rows.append(measure("quarter_moving", count, moving_s, process.pid, source, progress))
            gaps = recorder.rows("gaps")
            lost = frames_lost(source, recorder)
        for row in rows:
            row |= {"gap_rows": len(gaps), "frames_lost": lost}
    finally:
        shutil.rmtree(folder)
    return rows


def measure(scene: str, count: int, seconds: float, pid: int, source: SourceProcess, progress: Progress) -> Row:
    """Watch recorder and source for some seconds."""
    began, before, feeding = time.monotonic(), Usage.of(pid), Usage.of(source.process.pid)
    sent_before = sum(int(row["sent"] or 0) for row in source.report().values())
    while (elapsed_s := time.monotonic() - began) < seconds:
        progress(f"{count} cameras, {scene}: {elapsed_s:.0f} of {seconds:.0f} s")
        time.sleep(min(1.0, seconds - elapsed_s))
    elapsed_s, after, fed = time.monotonic() - began, Usage.of(pid), Usage.of(source.process.pid)
    report = source.report()
    ring_mb = RING_S * 4e6 / 8 / 1e6
    return {
        "scene": scene,
        "cameras": count,
        "cpu_percent_per_camera": round(100 * (after.cpu_s - before.cpu_s) / elapsed_s / count, 2),
        "cpu_percent": round(100 * (after.cpu_s - before.cpu_s) / elapsed_s, 1),
        "source_percent": round(100 * (fed.cpu_s - feeding.cpu_s) / elapsed_s, 1),
        "memory_mb": round(after.memory_bytes / 1e6),
        "memory_above_ring_mb_per_camera": round(after.memory_bytes / 1e6 / count - ring_mb, 1),
        "frames_sent": sum(int(row["sent"] or 0) for row in report.values()) - sent_before,
        "reconnects": sum(int(row["connections"] or 0) - 1 for row in report.values()),
        "threads": after.threads,
    }


def frames_lost(source: SourceProcess, recorder: Recorder) -> int:
    """Stop the source, and compare what it sent, since it began, with what the recorder counted."""
    sent = sum(int(row["sent"] or 0) for row in source.report(hold=True).values())
    # Each of the recorder's processes writes its counters down every 5 s.
    held_at = iso_time(time.time() + 7.0)
    wait_for(lambda: recorder.status()["at"] > held_at, 30, "the recorder's counters")
    return sent - sum(int(camera["counters"]["frames"]) for camera in recorder.status()["cameras"].values())


def wait_until(at: float, progress: Progress, text: str) -> None:
    """Wait for a unix time."""
    while (left_s := at - time.time()) > 0:
        progress(text)
        time.sleep(min(1.0, left_s))
