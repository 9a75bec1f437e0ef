"""A site for the Backup Manager: footage, variables, and the program as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np

from fakes.fake_dvr import FakeDvr, Footage

FPS, GOP = 25, 25
PASSWORD = "p@:/#%1 &'\""
SCRIPT = Path(__file__).parents[3] / "files/backup_manager/backup_manager.py"
AT_LOAD = """
import sys
from cllmh_node.backup import run
from cllmh_node.cli import main
load = float(sys.argv.pop(1))
run.cpu_load = lambda: load
sys.exit(main(["backup", *sys.argv[1:]]))
"""
"""The program with a CPU load that the test decides: the machine's own depends on what else it does."""


def raw_footage(folder: Path, codec: str = "libx264") -> Path:
    """Make two seconds of noise, raw, a keyframe each second."""
    path = folder / f"{codec}.raw"
    common = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0:repeat-headers=1"
    if codec == "libx264":
        options = {"preset": "fast", "x264-params": common}
    else:
        options = {"preset": "ultrafast", "x265-params": f"{common}:log-level=none"}
    noise = np.random.default_rng(1)
    with av.open(str(path), "w", format="h264" if codec == "libx264" else "hevc") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(2 * GOP):
            picture = noise.integers(0, 255, (96, 96), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def footage(folder: Path, codec: str = "libx264") -> Footage:
    """Return the same as a DVR shows it."""
    return Footage.load(raw_footage(folder, codec), FPS)


def dvr_with(shown: Footage, channels: int, **more: Any) -> FakeDvr:
    """Return a DVR that shows the same on all its channels."""
    return FakeDvr({(number, False): shown for number in range(1, channels + 1)}, "admin", PASSWORD, **more)


@dataclass
class Site:
    """Where a Backup Manager works, and its variables."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path, port: int, **more: object) -> "Site":
        """Return a site whose DVR is at a port of this machine."""
        site = cls(folder)
        site.variables = {
            "RTSP_IP": "127.0.0.1",
            "RTSP_PORT": str(port),
            "RTSP_USERNAME": "admin",
            "RTSP_PASSWORD": PASSWORD,
            "CHANNELS": "2",
            "VIDEO_DURATION": "1",
            "MAX_RETRIES": "0",
            "MIN_FREE_PERCENT": "0",
            "BACKUP_DIR": str(folder / "backup"),
            "LOG_FILE": str(folder / "log/backup_manager.log"),
            "NODE_NAME": "node-a",
        }
        site.variables |= {name: str(value) for name, value in more.items()}
        return site

    def start(self, *arguments: str, load: float = 0.0, command: list[str] | None = None) -> subprocess.Popen[str]:
        """Start it, at a CPU load of so many percent."""
        given = [sys.executable, "-c", AT_LOAD, str(load)] if command is None else command
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.Popen(
            [*given, *arguments],
            env=kept | self.variables,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, load: float = 0.0, command: list[str] | None = None) -> "Ended":
        """Run it to its end."""
        process = self.start(*arguments, load=load, command=command)
        try:
            out, said = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
            raise AssertionError(f"it did not end; it said:\n{said}") from None
        return Ended(process.returncode, out, said)

    @property
    def backups(self) -> Path:
        """The backup folder."""
        return Path(self.variables["BACKUP_DIR"])

    def files(self, channel: str = "*") -> list[Path]:
        """Return the recordings of a channel, or of all."""
        return sorted(self.backups.glob(f"{channel}/*/*.mp4"))

    def log(self) -> str:
        """Return what is in the log file."""
        return Path(self.variables["LOG_FILE"]).read_text(encoding="utf-8")

    def events(self) -> list[str]:
        """Return the keys of the log's lines."""
        return [line.split("event=")[1].split()[0] for line in self.log().splitlines()]


@dataclass
class Ended:
    """What a run left at the terminal."""

    code: int
    out: str
    said: str

    @property
    def result(self) -> dict[str, Any]:
        """The object of --json."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@contextmanager
def watching_command_lines(secret: str) -> Iterator[set[str]]:
    """Look at the command lines of all processes all the time; collect those that show a secret."""
    seen: set[str] = set()
    looks = [0]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.005):
            looks[0] += 1
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if secret in line:
                    seen.add(line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
    assert looks[0] > 10


class Backend(ThreadingHTTPServer):
    """A backend that takes reports; `status` is what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.status = 202
        self.taken: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}/api/report"

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the reports of a kind."""
        return [report["data"] for _key, report in self.taken if report["kind"] == kind]


class _Taker(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status < 300:
            self.server.taken.append((self.headers["Idempotency-Key"], body))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""


@contextmanager
def backend() -> Iterator[Backend]:
    """Run a backend."""
    server = Backend()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(condition: Any, seconds: float = 20.0) -> Any:
    """Wait until a condition holds; return what it gave."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[Ended, float]:
    """Send a signal; return how it ended and after how many seconds."""
    began = time.monotonic()
    process.send_signal(number)
    out, said = process.communicate(timeout=30)
    return Ended(process.returncode, out, said), time.monotonic() - began
