"""What it takes to ask a DVR for 256 channels: `cllmh-node probe` against ffprobe, one at a time and 32 at a time.

The DVR answers 50 ms late, has room for 32 connections, refuses some channels and never answers for some others. All
ask for the same channels over the same connections to 127.0.0.1, with Digest, and give up after 5 s.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.footage import encode, x264
from bench.harness import Progress, Result, Row, at_least, at_most, plain
from fakes.fake_dvr import FakeDvr, Footage, running

PASSWORD = "bench-4711"
PARALLEL = 32
FFPROBE = ["ffprobe", "-v", "quiet", "-rtsp_transport", "tcp", "-show_streams"]


def run(short: bool) -> Result:
    """Measure; the short form has 32 channels and less patience, and asks for counts only."""
    count, hanging, refusing, hang_s = (32, 2, 3, 2.0) if short else (256, 8, 12, 5.0)
    progress = Progress("probe")
    footage = Footage.load(clip(), fps=10)
    # Spread evenly, and the first channel is a good one, as a DVR's is.
    hang = frozenset(5 + n * count // hanging for n in range(hanging))
    refuse = {9 + n * count // refusing: (404, 453, 403)[n % 3] for n in range(refusing)}
    dvr = FakeDvr(
        {(number, False): footage for number in range(1, count + 1)},
        "admin",
        PASSWORD,
        "dahua",
        latency_s=0.05,
        max_connections=PARALLEL,
        hang=hang,
        refuse=refuse,
    )
    folder = Path(tempfile.mkdtemp(prefix="cllmh-probe-"))
    try:
        with running(dvr) as port:
            progress(f"cllmh-node asks for {count} channels")
            ours, found = ask(folder, port, count, hang_s)
            dvr.most_connections = 0
            progress(f"{PARALLEL} ffprobes ask for {count} channels")
            parallel = ffprobes(port, list(range(1, count + 1)), PARALLEL, hang_s)
            # Every eighth channel of the good ones: a whole loop takes minutes, most of them waiting.
            part = [number for number in range(1, count + 1, 8) if number not in hang and number not in refuse]
            part = part[:1] if short else part
            progress(f"ffprobe asks for {len(part)} channels, one after the other")
            loop = ffprobes(port, part, 1, hang_s)
    finally:
        shutil.rmtree(folder)
    expected = Counter({"ok": count - hanging - refusing, "timeout": hanging})
    expected.update({404: "not_found", 453: "busy", 403: "auth"}[status] for status in refuse.values())
    result = Result("probe", rows=[ours, parallel, loop])
    wrong = sum(abs(found[kind] - expected[kind]) for kind in found.keys() | expected.keys())
    result.metrics = [
        plain("channels", count, "channels"),
        plain("channels_hanging", hanging, "channels"),
        plain("channels_refused", refusing, "channels"),
        at_most("answers_wrong", wrong, "channels", 0),
        at_most("logins_refused", dvr.logins_refused, "logins", 0),
        plain("wall", _of(ours, "wall_s"), "s"),
        at_most("wall_without_hang_budget", _of(ours, "wall_s") - hang_s, "s", 2),
        plain("cpu", _of(ours, "cpu_s"), "s"),
        at_least("cpu_times_less_than_32_ffprobes", _of(parallel, "cpu_s") / _of(ours, "cpu_s"), "times", 20),
        plain("wall_times_less_than_32_ffprobes", _of(parallel, "wall_s") / _of(ours, "wall_s"), "times"),
        plain("peak_memory", _of(ours, "memory_mb"), "MB"),
        plain("peak_memory_32_ffprobes", _of(parallel, "memory_mb"), "MB"),
    ]
    each_s = _of(loop, "wall_s") / len(part)
    whole_s = each_s * (count - hanging - refusing) + hang_s * hanging
    result.metrics.append(plain("wall_ffprobe_loop_extrapolated", whole_s, "s"))
    result.notes = [
        f"the loop was run over {len(part)} good channels; its extrapolation adds {hang_s:g} s for each that hangs and "
        "nothing for those that are refused",
        "CPU is user and system time of the processes that ask, start of the interpreter included; the DVR's is not in "
        "it, but it runs on the same cores. Memory is the sum of the proportional set sizes, ten times a second",
        "ffprobe decodes some pictures to learn what the description says already; it was left at its defaults but for "
        "TCP and the timeout",
    ]
    return result


def clip() -> Path:
    """Return a small picture that ffprobe can decode."""
    source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10:duration=4"]
    return encode("probe", source, *x264(10, 1, "-b:v", "300k"))


def ask(folder: Path, port: int, count: int, hang_s: float) -> tuple[Row, Counter[str]]:
    """Let `cllmh-node probe` ask, as a user calls it."""
    secret = folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)
    login = ["--username", "admin", "--password-file", str(secret)]
    command = [sys.executable, "-m", "cllmh_node", "probe", "127.0.0.1", "--port", str(port), "--vendor", "dahua"]
    command += ["--channel", f"1-{count}", "--stream", "main", "--timeout", str(hang_s), "--json", *login]
    with Meter() as meter:
        out = meter.run(command)
    kinds = Counter(str(row["error"] or "ok") for row in map(json.loads, out.splitlines()))
    return meter.row("cllmh-node probe", count, kinds["ok"]), kinds


def ffprobes(port: int, numbers: list[int], parallel: int, hang_s: float) -> Row:
    """Let ffprobe ask for channels, so many at a time."""

    patience = ["-timeout", str(round(hang_s * 1e6))]

    def one(number: int) -> bool:
        url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{port}/cam/realmonitor?channel={number}&subtype=0"
        return bool(re.search(r"^width=640$", meter.run([*FFPROBE, *patience, url]), re.MULTILINE))

    with Meter() as meter, ThreadPoolExecutor(parallel) as pool:
        good = sum(pool.map(one, numbers))
    return meter.row(f"ffprobe, {parallel} at a time", len(numbers), good)


class Meter:
    """Wall time, CPU time and memory of the processes that are run through it."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")
        self.memory_bytes = 0
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def __enter__(self) -> Meter:
        """Begin."""
        self._began = time.monotonic()
        self._cpu_before_s = _children_cpu_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; all processes have ended."""
        self.wall_s = time.monotonic() - self._began
        self.cpu_s = _children_cpu_s() - self._cpu_before_s
        self._ended.set()
        self._thread.join()

    def run(self, command: list[str]) -> str:
        """Run a command to its end; return what it printed."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._running.add(process.pid)
        try:
            return process.communicate(timeout=120)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        finally:
            self._running.discard(process.pid)

    def row(self, name: str, channels: int, good: int) -> Row:
        """Return a row of the result."""
        return {
            "who": name,
            "channels": channels,
            "ok": good,
            "wall_s": round(self.wall_s, 2),
            "cpu_s": round(self.cpu_s, 2),
            "cpu_ms_per_channel": round(1000 * self.cpu_s / channels, 1),
            "memory_mb": round(self.memory_bytes / 1e6),
        }

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.memory_bytes = max(self.memory_bytes, sum(map(_memory_bytes, list(self._running))))


def _memory_bytes(pid: int) -> int:
    """Return the proportional set size of a process; 0 when it has just ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def _children_cpu_s() -> float:
    """Return the CPU time of this process's children that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _of(row: Row, name: str) -> float:
    return float(str(row[name]))
