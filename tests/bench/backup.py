"""The Backup Manager against plain shell loops of ffmpeg: 16 channels, 20 s each, one after the other and 16 at once.

All record the same streams (1080p25, 4 Mbit/s, a keyframe each second) by stream copy into MP4, and all files are
checked in the same way. The source begins a stream at its next keyframe: up to a second of waiting for everybody.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from bench.footage import encode, x264
from bench.harness import ROOT, Progress, Result, Row, at_least, at_most, plain
from bench.processes import SourceProcess, Usage, stopping
from cllmh_node.backup.streams import check_file

FPS = 25
SCRIPT = ROOT / "files/backup_manager/backup_manager.py"
CALM_PERCENT = 40.0
FFMPEG = "ffmpeg -nostdin -v error -rtsp_transport tcp -allowed_media_types video"


def run(short: bool) -> Result:
    """Measure; the short form has four channels, three seconds, and asks for counts only."""
    channels, seconds, calm_within_s = (4, 3, 0.0) if short else (16, 20, 60.0)
    progress = Progress("backup")
    folder = Path(tempfile.mkdtemp(prefix="cllmh-backup-"))
    size = "640x360" if short else "1920x1080"
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={FPS}:duration=10"]
    rate = ["-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M"]
    clip = encode(f"backup-{size}", source, *x264(FPS, 1, *rate))
    cameras = {
        str(number): {"plan": [[str(clip), 1]], "fps": FPS, "delay_s": number / channels}
        for number in range(1, channels + 1)
    }
    try:
        dvr = SourceProcess(folder / "source", cameras)
        with stopping(dvr):
            wait_for_calm(progress, calm_within_s)
            progress(f"the Backup Manager records {channels} channels")
            ours = backup_manager(folder / "ours", dvr.port, channels, seconds)
            wait_for_calm(progress, calm_within_s)
            progress(f"xargs -P {channels}")
            parallel = loop(folder / "parallel", dvr.port, channels, seconds, channels)
            progress("one ffmpeg after the other")
            sequential = loop(folder / "sequential", dvr.port, channels // 4, seconds, 1)
            progress("the Backup Manager on burnt cores")
            burnt = on_burnt_cores(folder / "burnt", dvr.port, 4 if short else 8, 3 if short else 5)
    finally:
        shutil.rmtree(folder)
    result = Result("backup", rows=[ours, parallel, sequential, burnt])
    overhead = float(str(ours["overhead_percent"]))
    result.metrics = [
        plain("channels", channels, "channels"),
        plain("seconds_each", seconds, "s"),
        at_least("recorded_whole", int(str(ours["whole"])), "channels", channels),
        plain("wall", float(str(ours["wall_s"])), "s"),
        plain("overhead", overhead, "%") if short else at_most("overhead", overhead, "%", 10),
        plain("cpu", float(str(ours["cpu_s"])), "s"),
        plain("cpu_xargs", float(str(parallel["cpu_s"])), "s"),
        plain("wall_xargs", float(str(parallel["wall_s"])), "s"),
        plain("wall_sequential_extrapolated", 4 * float(str(sequential["wall_s"])), "s"),
        plain("cpu_sequential_extrapolated", 4 * float(str(sequential["cpu_s"])), "s"),
        at_least("recorded_whole_on_burnt_cores", int(str(burnt["whole"])), "channels", int(str(burnt["channels"]))),
    ]
    result.notes = [
        "the sequential loop was run over a quarter of the channels; its extrapolation is four times that",
        "overhead: wall time beyond the recording time of all batches; of the sequential loop, of all channels",
        "CPU is user and system time of all processes that record and check, start of the interpreter included; the "
        "source is not in it, but it runs on the same cores. Memory is the sum of the proportional set sizes",
        "whole: ffprobe finds the right length within 10 % or 1 s, and the keyframes decode. Only the Backup Manager "
        "looks for that itself, and only its files are synced to the disk when it ends",
        "burnt cores: a busy loop on each; fewer channels at a time and longer pauses are wanted there",
    ]
    return result


def wait_for_calm(progress: Progress, within_s: float) -> None:
    """Wait until nothing else keeps the cores busy, but not for ever."""
    until = time.monotonic() + within_s
    while psutil.cpu_percent(2.0) > CALM_PERCENT and time.monotonic() < until:
        progress("waiting for calm cores")


def backup_manager(folder: Path, port: int, channels: int, seconds: int, name: str = "Backup Manager") -> Row:
    """Let `backup_manager.py` record, as a user calls it."""
    folder.mkdir()
    variables = {
        "RTSP_IP": "127.0.0.1",
        "RTSP_PORT": str(port),
        "RTSP_USERNAME": "admin",
        "RTSP_PASSWORD": "bench-4711",
        "RTSP_PATH": "/ours/{channel}",
        "RECORDER": "ffmpeg",
        "CHANNELS": str(channels),
        "VIDEO_DURATION": str(seconds),
        "BACKUP_DIR": str(folder / "backup"),
        "LOG_FILE": str(folder / "backup_manager.log"),
        "MIN_FREE_PERCENT": "0",
    }
    meter = Meter([sys.executable, str(SCRIPT)], os.environ | variables, folder)
    log = (folder / "backup_manager.log").read_text(encoding="utf-8")
    batches = log.count("event=backup_dynamic_")
    return meter.row(name, channels, seconds, batches, sorted((folder / "backup").glob("*/*/*.mp4")))


def loop(folder: Path, port: int, channels: int, seconds: int, parallel: int) -> Row:
    """Let a shell loop of ffmpeg record."""
    folder.mkdir()
    one = f"{FFMPEG} -i rtsp://127.0.0.1:{port}/loop/{{}} -t {seconds} -c copy -y {shlex.quote(str(folder))}/{{}}.mp4"
    command = f"seq {channels} | xargs -P {parallel} -I{{}} {one}"
    name = "ffmpeg, one after the other" if parallel == 1 else f"ffmpeg, xargs -P {parallel}"
    meter = Meter(["sh", "-c", command], dict(os.environ), folder)
    return meter.row(name, channels, seconds, channels // parallel, sorted(folder.glob("*.mp4")))


def on_burnt_cores(folder: Path, port: int, channels: int, seconds: int) -> Row:
    """Let it record while something else takes all cores."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        return backup_manager(folder, port, channels, seconds, "Backup Manager, burnt cores")
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


class Meter:
    """A command, run to its end, with what it used."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        """Run it; raise RuntimeError when it does not end."""
        self.memory_bytes = 0
        before = _children_cpu_s()
        began = time.monotonic()
        process = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.DEVNULL)
        ended = threading.Event()
        watcher = threading.Thread(target=self._look, args=(process.pid, ended))
        watcher.start()
        try:
            process.wait(900)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{command[0]} did not end") from None
        finally:
            self.wall_s = time.monotonic() - began
            ended.set()
            watcher.join()
        self.cpu_s = _children_cpu_s() - before

    def row(self, name: str, channels: int, seconds: int, batches: int, files: list[Path]) -> Row:
        """Return a row of the result."""
        recording_s = batches * seconds
        return {
            "who": name,
            "channels": channels,
            "seconds": seconds,
            "whole": sum(check_file(path, seconds).problem is None for path in files),
            "batches": batches,
            "wall_s": round(self.wall_s, 2),
            "overhead_percent": round(100 * (self.wall_s / recording_s - 1), 1),
            "cpu_s": round(self.cpu_s, 2),
            "memory_mb": round(self.memory_bytes / 1e6),
        }

    def _look(self, pid: int, ended: threading.Event) -> None:
        while not ended.wait(1.0):
            try:
                self.memory_bytes = max(self.memory_bytes, Usage.of(pid).memory_bytes)
            except psutil.NoSuchProcess:
                return


def _children_cpu_s() -> float:
    """Return the CPU time of this process's children that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
