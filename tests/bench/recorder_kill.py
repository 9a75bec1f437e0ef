"""`kill -9` at random instants: what can still be played, what is lost, and how soon it records again.

Several recorders, each with one small camera recorded continuously, are killed again and again at random moments: while
they begin a clip, in its midst, where it is cut and the next one begins, while they still start; the supervisor (all
ends) or, every other time, the process that has the camera.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import av
import av.error
import psutil

from bench.footage import small
from bench.frames import FrameIndex
from bench.harness import Progress, Result, at_most, plain
from bench.processes import Recorder, SourceProcess, camera, stopping, wait_for
from bench.source import Track, load
from cllmh_node.clips.index import read_clips
from cllmh_node.clips.naming import clip_start

AT_ONCE = 3 * (os.cpu_count() or 2)
"""Recorders that are killed side by side: most of the time each of them waits, for a camera or for its end."""

LONGEST_LIFE_S = 3.0
"""A recorder is killed so long after it records again, at the most."""

CLIP_S = 10.0
LIFE_WITH_A_CUT_S = (9.0, 12.0)
"""But every fifth time so long after it, around the cut."""

LONGEST_START_S = 1.5
"""One that is killed while it still starts is killed so long after its start, at the most."""

FIRST_START_S = 120.0
FRAGMENT_S = 1.0
BACK_WITHIN_S = 5.0
MENDED_WITHIN_S = 5.0
FPS = 10.0


@dataclass
class Tally:
    """What was found after all kills; threads share it."""

    kills: int = 0
    shard_kills: int = 0
    start_kills: int = 0
    files: dict[str, int] = field(default_factory=dict)
    """By recorder."""

    unplayable: int = 0
    empty: int = 0
    lost_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    not_back: int = 0
    rows_wrong: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(short: bool) -> Result:
    """Kill 1,000 times (KILLS=n for fewer), the short form 10 times."""
    return kill(10 if short else int(os.environ.get("KILLS", "1000")), "recorder_kill")


def kill(kills: int, name: str) -> Result:
    """Kill so many times."""
    tally, progress = Tally(), Progress(name)
    folder = Path(tempfile.mkdtemp(prefix="cllmh-kill-"))
    names = [f"cam{number}" for number in range(min(AT_ONCE, max(2, kills // 5)))]
    plans = {name: {"plan": [[str(small(True)), 1]], "fps": FPS, "delay_s": 0.01 * n} for n, name in enumerate(names)}
    source = SourceProcess(folder, plans)
    recorders = [
        Recorder(folder / name, [camera(name, source.port, mode="continuous", max_clip_s=CLIP_S)], processes=1)
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
                progress(f"{tally.kills} of {kills} kills, {tally.unplayable} unplayable files")
                time.sleep(1)
    finally:
        shutil.rmtree(folder)
    result = Result(name)
    result.metrics = [
        plain("kills", tally.kills, "kills"),
        plain("kills_of_one_process", tally.shard_kills, "kills"),
        plain("kills_during_the_start", tally.start_kills, "kills"),
        plain("files_looked_at", sum(tally.files.values()), "files"),
        plain("files_without_a_fragment_when_killed", tally.empty, "files"),
        at_most("unplayable_files", tally.unplayable, "files", 0),
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
    wait_for(recorder.files, FIRST_START_S, f"{recorder.folder.name} to record")
    while True:
        with tally.lock:
            if tally.kills >= kills:
                break
            tally.kills += 1
            whole, is_starting = tally.kills % 2 == 0, tally.kills % 10 == 9
            life_s = LIFE_WITH_A_CUT_S if tally.kills % 5 == 0 else (0.0, LONGEST_LIFE_S)
            tally.kills += is_starting
        time.sleep(chance.uniform(*life_s))
        killed_at = _kill(recorder, whole=whole or is_starting)
        empty = _look(recorder, kept, killed_at)
        lost_s = [
            _lost_s(writing, index, (killed_at - t0) * track.fps, killed_at, track.fps)
            for writing in recorder.files()[-1:]
        ]
        if is_starting:
            recorder.start()
            time.sleep(chance.uniform(0, LONGEST_START_S))
            killed_at = _kill(recorder, whole=True)
            empty += _look(recorder, kept, killed_at)
        began_at = killed_at
        if whole or is_starting:
            began_at = time.time()
            recorder.start()
        back_s = _recording_again(recorder, killed_at, began_at)
        wrong = 0 if back_s is None else _after_mending(partial(_wrong_rows, recorder))
        # A file that got no fragment yet is taken away at the next start; one that stays is a defect.
        left = 0 if back_s is None else _after_mending(partial(_left, empty))
        with tally.lock:
            tally.shard_kills += not (whole or is_starting)
            tally.start_kills += is_starting
            tally.files[recorder.folder.name] = len(kept)
            tally.empty += len(empty)
            tally.unplayable += left
            tally.lost_s += lost_s
            tally.rows_wrong += wrong
            if back_s is None:
                tally.not_back += 1
            else:
                tally.back_s.append(back_s)
        if back_s is None:  # what it loses until then is counted there
            wait_for(partial(_recording_since, recorder, killed_at), FIRST_START_S, "a recorder to record again")


def _after_mending(wrong: Callable[[], int]) -> int:
    """Return what is wrong still once the recorder has had time to look at all files, beside its recording."""
    until = time.monotonic() + MENDED_WITHIN_S
    while (found := wrong()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _kill(recorder: Recorder, *, whole: bool) -> float:
    """Kill the recorder, or the process of its camera; return the unix time."""
    assert recorder.process is not None
    killed_at = time.time()
    supervisor = psutil.Process(recorder.process.pid)
    children = supervisor.children(recursive=True)
    # The camera's process is younger than the one that it was forked from.
    for process in [supervisor, *children] if whole else sorted(children, key=psutil.Process.create_time)[-1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if whole:
        recorder.process.wait(10)
    return killed_at


def _look(recorder: Recorder, kept: set[Path], killed_at: float) -> list[Path]:
    """Play the files that are new or were written until now; return those of which nothing can be played."""
    new = [path for path in recorder.files() if path not in kept or path.stat().st_mtime > killed_at - 3 * FRAGMENT_S]
    kept.update(new)
    return [path for path in new if not _frames_shown(path)]


def _lost_s(writing: Path, index: FrameIndex, frame_at_kill: float, killed_at: float, fps: float) -> float:
    """Return how many seconds before the kill the file that was being written ends."""
    numbers = index.decodable(writing)
    if not numbers:
        return max(0.0, killed_at - (clip_start(writing.name) or killed_at))
    lost_frames: float = (frame_at_kill - numbers[-1]) % 200
    return lost_frames / fps


def _frames_shown(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.error.FFmpegError, IndexError, OSError):
        return 0


def _recording_again(recorder: Recorder, killed_at: float, began_at: float) -> float | None:
    """Wait until a clip begins after the kill; return how long after the start, by its first frame; None for never."""
    while time.time() - began_at < 4 * BACK_WITHIN_S:
        start = _recording_since(recorder, killed_at)
        if start is not None:
            return start - began_at
        time.sleep(0.05)
    return None


def _recording_since(recorder: Recorder, killed_at: float) -> float | None:
    """Return when the clip began that is written since a kill, None when there is none yet."""
    newest = (recorder.files() or [Path()])[-1]
    start = clip_start(newest.name) or 0.0
    with contextlib.suppress(FileNotFoundError):  # an empty one, taken away
        if start > killed_at and newest.stat().st_size:
            return start
    return None


def _left(files: list[Path]) -> int:
    return sum(path.exists() for path in files)


def _wrong_rows(recorder: Recorder) -> int:
    """Count files without a row and rows without a file; the file that is being written needs none yet."""
    files = {str(path.relative_to(recorder.recordings)) for path in recorder.files()[:-1]}
    listed = {row.path for row in read_clips(recorder.folder / "state/index.db")}
    return len(files - listed) + sum(not (recorder.recordings / path).exists() for path in listed)
