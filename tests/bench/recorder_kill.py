"""`kill -9` at random instants: what can still be played, what is lost, and how soon it records again.

Several recorders, each with one small camera recorded continuously and two processes, are killed again and again, each
at a random moment after its start: the supervisor (all ends) or, every fourth time, the process that has the camera.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import psutil

from bench.footage import small
from bench.frames import FrameIndex
from bench.harness import Progress, Result, at_most, plain
from bench.processes import Recorder, SourceProcess, camera, stopping
from bench.source import Track, load
from cllmh_node.clips.naming import clip_start

AT_ONCE = os.cpu_count() or 2
"""Recorders that are killed at the same time: a node has one, and more would wait for each other's start."""
LONGEST_LIFE_S = 6.0
FRAGMENT_S = 1.0
BACK_WITHIN_S = 5.0
FPS = 10.0


@dataclass
class Tally:
    """What was found after all kills; threads share it."""

    kills: int = 0
    shard_kills: int = 0
    files: int = 0
    unplayable: list[str] = field(default_factory=list)
    empty: int = 0
    lost_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    not_back: int = 0
    rows_wrong: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(short: bool) -> Result:
    """Kill 1,000 times (about an hour on two cores; KILLS=n for fewer), the short form 10 times."""
    return kill(10 if short else int(os.environ.get("KILLS", "1000")), "recorder_kill")


def kill(kills: int, name: str) -> Result:
    """Kill so many times."""
    tally, progress = Tally(), Progress(name)
    folder = Path(tempfile.mkdtemp(prefix="cllmh-kill-"))
    names = [f"cam{number}" for number in range(min(AT_ONCE, max(2, kills // 5)))]
    plans = {name: {"plan": [[str(small(True)), 1]], "fps": FPS, "delay_s": 0.01 * n} for n, name in enumerate(names)}
    source = SourceProcess(folder, plans)
    recorders = [
        Recorder(folder / name, [camera(name, source.port, mode="continuous", max_clip_s=10)], processes=1)
        for name in names
    ]
    track = load({"cameras": plans})[names[0]].track
    threads = [
        threading.Thread(target=victim, args=(recorder, source.t0 + 0.01 * n, track, kills, n, tally), name=name)
        for n, (name, recorder) in enumerate(zip(names, recorders, strict=True))
    ]
    try:
        with stopping(source, *recorders):
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                progress(f"{tally.kills} of {kills} kills, {len(tally.unplayable)} unplayable files")
                time.sleep(1)
    finally:
        shutil.rmtree(folder)
    result = Result(name)
    result.metrics = [
        plain("kills", tally.kills, "kills"),
        plain("kills_of_one_process", tally.shard_kills, "kills"),
        plain("files_looked_at", tally.files, "files"),
        plain("files_without_a_fragment_when_killed", tally.empty, "files"),
        at_most("unplayable_files", len(tally.unplayable), "files", 0),
        at_most("seconds_lost_max", max(tally.lost_s, default=None), "s", 1.0 + FRAGMENT_S),
        plain("seconds_lost_mean", sum(tally.lost_s) / len(tally.lost_s) if tally.lost_s else None, "s"),
        at_most("recording_again_max", max(tally.back_s, default=None), "s", BACK_WITHIN_S),
        plain("recording_again_mean", sum(tally.back_s) / len(tally.back_s) if tally.back_s else None, "s"),
        at_most("not_recording_again", tally.not_back, "times", 0),
        at_most("index_rows_wrong", tally.rows_wrong, "rows", 0),
    ]
    return result


def victim(recorder: Recorder, t0: float, track: Track, kills: int, seed: int, tally: Tally) -> None:
    """Start, kill and look, until there were enough kills."""
    chance = random.Random(seed)
    index = FrameIndex(track, 200)
    kept: set[Path] = set()
    recorder.start()
    while True:
        with tally.lock:
            if tally.kills >= kills:
                break
            tally.kills += 1
            whole = tally.kills % 4 != 0
        time.sleep(chance.uniform(0, LONGEST_LIFE_S))
        assert recorder.process is not None
        killed_at = time.time()
        writing = _newest(recorder, killed_at)
        if whole:
            _kill_all(recorder.process.pid)
            recorder.process.wait(10)
        else:
            _kill_child(recorder.process.pid)
        empty, lost_s = _look(recorder, kept, index, writing, killed_at, t0, track.fps)
        began_at = time.time() if whole else killed_at
        if whole:
            recorder.start()
        back_s = _recording_again(recorder, killed_at, began_at)
        known = recorder.rows("clips") if tally.kills % 10 == 0 else None
        with tally.lock:
            tally.shard_kills += not whole
            tally.files += len(kept)
            tally.empty += len(empty)
            # A file that got no fragment yet is taken away at the next start; one that stays is a defect.
            tally.unplayable += [str(path) for path in empty if path.exists()] if back_s is not None else []
            tally.lost_s += [] if lost_s is None else [lost_s]
            if back_s is None:
                tally.not_back += 1
            else:
                tally.back_s.append(back_s)
            if known is not None:
                tally.rows_wrong += _wrong_rows(recorder, known)


def _kill_all(pid: int) -> None:
    """Kill the supervisor and all its processes, as the kernel does when memory is short, or a power switch."""
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def _kill_child(pid: int) -> None:
    """Kill the process that has the camera."""
    children = psutil.Process(pid).children(recursive=True)
    if children:
        children[-1].kill()


def _newest(recorder: Recorder, killed_at: float) -> Path | None:
    """Return the file that is being written, None while the recorder still starts."""
    files = recorder.files()
    return files[-1] if files and files[-1].stat().st_mtime > killed_at - 3 * FRAGMENT_S else None


def _look(
    recorder: Recorder,
    kept: set[Path],
    index: FrameIndex,
    writing: Path | None,
    killed_at: float,
    t0: float,
    fps: float,
) -> tuple[list[Path], float | None]:
    """Play the files that are new; return those that cannot be, and the seconds lost of the one that was written."""
    frame_at_kill = (killed_at - t0) * fps
    unplayable: list[Path] = []
    lost_s: float | None = None
    for path in recorder.files():
        if path in kept and path != writing:
            continue
        kept.add(path)
        frames = _frames_shown(path)
        if not frames:
            unplayable.append(path)
        if path == writing and frames:
            numbers = index.decodable(path)
            if numbers:
                lost_s = ((frame_at_kill - numbers[-1]) % 200) / fps
        elif path == writing:
            lost_s = max(0.0, killed_at - (clip_start(path.name) or killed_at))
    return unplayable, lost_s


def _frames_shown(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.error.FFmpegError, IndexError, OSError):
        return 0


def _recording_again(recorder: Recorder, killed_at: float, began_at: float) -> float | None:
    """Wait until a clip begins after the kill; return how long after the start, by its first frame; None for never."""
    while time.time() - began_at < 4 * BACK_WITHIN_S:
        starts = [clip_start(path.name) or 0.0 for path in recorder.files() if path.stat().st_size]
        if starts and max(starts) > killed_at:
            return max(starts) - began_at
        time.sleep(0.1)
    return None


def _wrong_rows(recorder: Recorder, rows: list[dict[str, object]]) -> int:
    """Count files without a row and rows without a file; the file that is being written needs none yet."""
    files = {str(path) for path in recorder.files()[:-1]}
    listed = {str(row["path"]) for row in rows}
    return len(files - listed) + sum(not Path(path).exists() for path in listed)
