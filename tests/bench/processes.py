"""The programs that are measured, as processes of their own, and what they use."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used by now."""

    cpu_s: float
    memory_bytes: int
    """Proportional set size: pages that processes share are counted once."""

    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Look at a process that runs, with all below it; children that ended are in the CPU time."""
        root = psutil.Process(pid)
        cpu_s, memory_bytes, threads, files = 0.0, 0, 0, 0
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                times = process.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
                (kilobytes,) = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
                memory_bytes += int(kilobytes) * 1024
                threads += process.num_threads()
                files += process.num_fds()
        return cls(cpu_s, memory_bytes, threads, files)


def wait_for(condition: Callable[[], Found | None], seconds: float, what: str, every_s: float = 0.1) -> Found:
    """Ask again and again; raise TimeoutError that says what was waited for."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every_s)
    return found


class SourceProcess:
    """`source.py` with its cameras; `plans` maps a camera's name to what it shows."""

    def __init__(self, folder: Path, cameras: Mapping[str, Mapping[str, object]], port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        spec = folder / "source.json"
        spec.write_text(json.dumps({"cameras": cameras, "port": port}), encoding="utf-8")
        command = [sys.executable, str(Path(__file__).with_name("source.py")), str(spec)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.port: int = ready["port"]
        self.t0: float = ready["t0"]

    def report(self, *, hold: bool = False) -> dict[str, dict[str, int | None]]:
        """Return the counts of every client and camera, by ``CLIENT/CAMERA``; `hold` stops all sending first."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("hold\n" if hold else "report\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        end(self.process)


class Recorder:
    """`cllmh-node record` with a folder of its own."""

    def __init__(self, folder: Path, cameras: list[dict[str, object]], **settings: object) -> None:
        """`cameras` as in the configuration file; `settings` are added at its top level."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.recordings = folder / "recordings"
        self.config = folder / "recorder.yml"
        self.log = folder / "recorder.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.env: Mapping[str, str] | None = None
        """The environment of what is started, where it is another one."""
        document = {"recordings_dir": str(self.recordings), "state_dir": str(folder / "state"), "cameras": cameras}
        self.config.write_text(yaml.safe_dump({**document, **settings}), encoding="utf-8")

    def start(self) -> subprocess.Popen[bytes]:
        """Begin to record."""
        command = [sys.executable, "-m", "cllmh_node", "record", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.env)
        return self.process

    def stop(self) -> float:
        """Stop it as systemd does; return how long that took in seconds."""
        began = time.monotonic()
        if self.process is not None:
            end(self.process)
        return time.monotonic() - began

    def rows(self, verb: str, *options: str) -> list[dict[str, Any]]:
        """Return what `cllmh-node clips`, `gaps` or `coverage` lists."""
        command = [sys.executable, "-m", "cllmh_node", verb, "--config", str(self.config), "--json", *options]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=self.env)
        return [json.loads(line) for line in listed.stdout.splitlines()]

    def status(self) -> dict[str, Any]:
        """Return what the recorder last wrote down of itself: time, and each camera's state and counters."""
        try:
            return dict(json.loads((self.folder / "state/status.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {"at": "", "cameras": {}}

    def log_lines(self, event: str) -> list[str]:
        """Return the log's lines of one event."""
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if f"event={event} " in line + " "]

    def files(self) -> list[Path]:
        """Return all clips on the disk, the open ones too."""
        return sorted(self.recordings.glob("*/*/*.mp4"))


class DebianMotion:
    """Debian's Motion, recording by passthrough, all else as it comes."""

    def __init__(self, folder: Path, cameras: Mapping[str, tuple[str, int, int]], **options: object) -> None:
        """`cameras`: name -> (URL, width, height); `options` are added for every camera."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.recordings = folder / "recordings"
        self.process: subprocess.Popen[bytes] | None = None
        lines = ["daemon off", "setup_mode off", "log_level 5", "webcontrol_port 0", "movie_passthrough on"]
        for number, (name, (url, width, height)) in enumerate(cameras.items(), 1):
            (self.recordings / name).mkdir(parents=True, exist_ok=True)
            own = {"camera_name": name, "camera_id": number, "netcam_url": url, "width": width, "height": height}
            own |= {"target_dir": self.recordings / name, **options}
            if "threshold_share" in own:
                own["threshold"] = round(float(str(own.pop("threshold_share"))) * width * height)
            file = folder / f"{name}.conf"
            file.write_text("".join(f"{key} {value}\n" for key, value in own.items()), encoding="utf-8")
            lines.append(f"camera {file}")
        self.config = folder / "motion.conf"
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> subprocess.Popen[bytes]:
        """Begin to record."""
        with (self.folder / "motion.log").open("ab") as log:
            self.process = subprocess.Popen(["motion", "-n", "-c", str(self.config)], stdout=log, stderr=log)
        return self.process

    def stop(self) -> None:
        """Stop it; it closes its files."""
        if self.process is not None:
            end(self.process)

    def files(self) -> list[Path]:
        """Return all its movies."""
        return sorted(path for path in self.recordings.glob("*/*") if path.suffix in (".mkv", ".mp4"))


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and end it when it does not."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def end_left_behind(path: str) -> None:
    """Kill machines, sources and recorders that a killed run left at work below `path` (the beginning of one)."""
    left = [process for process in psutil.process_iter(["name", "cmdline"]) if _works_in(process, path)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=20)


def _works_in(process: psutil.Process, path: str) -> bool:
    if not str(process.info["name"]).startswith(("qemu", "python")):
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        # The recorder's processes do not have the folder among their arguments.
        names = [*(process.info["cmdline"] or []), *(file.path for file in process.open_files())]
        return any(path in name for name in names)
    return False


@contextlib.contextmanager
def stopping(*programs: SourceProcess | Recorder | DebianMotion) -> Iterator[None]:
    """Stop programs at the end, whatever happens, the last one first."""
    with contextlib.ExitStack() as stack:
        for program in programs:
            stack.callback(program.stop)
        yield


def camera(name: str, port: int, client: str = "ours", **more: object) -> dict[str, object]:
    """Return a camera of `source.py` as the recorder's configuration has it."""
    return {"name": name, "host": "127.0.0.1", "port": port, "path": f"/{client}/{name}", **more}
