# SPDX-License-Identifier: MIT
"""Run long work in named steps: what, how far, how long; the full output in a log, its end shown on failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TAIL_LINES = 40
TASK = re.compile(r"(?:TASK|PLAY|RUNNING HANDLER) \[(?:cllmh\.cctv\.)?(.*?)\]|^(tests?/\S+::\S+)|^\S*INFO\S*\s+(\[.*)$")


class StepFailedError(Exception):
    """A step ended badly; its output has been shown."""


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Steps:
    """Counts the steps of one run and keeps the seconds of each."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.live = sys.stdout.isatty()

    def run(self, title: str, *command: str, env: dict[str, str] | None = None) -> str:
        """Run one step and return its output; raise StepFailedError after showing the output's end."""
        self.done += 1
        head = f"[{self.done}/{self.total}] {title}"
        slug = re.sub(r"\W+", "-", title.lower()).strip("-")
        log_path = BUILD / "log" / f"{self.name}-{self.done:02d}-{slug}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        print(f"{head} ..." if not self.live else head, end="" if self.live else "\n", flush=True)
        started = time.monotonic()
        count = 0
        with log_path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **(env or {})}, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    found = TASK.search(line)
                    if found and self.live:
                        count += 1
                        what = next(group for group in found.groups() if group)
                        width = os.get_terminal_size().columns
                        text = f"{head}  {clock(time.monotonic() - started)}  #{count} {what}"
                        print(f"\r\033[K{text[: width - 1]}", end="", flush=True)
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
        took = time.monotonic() - started
        self.seconds[slug] = round(took, 1)
        lead = "\r\033[K" if self.live else ""
        output = log_path.read_text(encoding="utf-8", errors="replace")
        if code:
            print(f"{lead}{head}: failed after {clock(took)}; the whole output is in {log_path.relative_to(ROOT)}")
            print("\n".join(output.splitlines()[-TAIL_LINES:]))
            raise StepFailedError(title)
        print(f"{lead}{head}  {clock(took)}", flush=True)
        return output

    def total_seconds(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.started, 1)
