# SPDX-License-Identifier: MIT
"""Run long work in named steps: what, how far, how long; the full output in a log, its end shown on failure."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TAIL_LINES = 40
TASK = re.compile(r"(?:TASK|PLAY|RUNNING HANDLER) \[(?:cllmh\.cctv\.)?(.*?)\]|^(tests?/\S+::\S+)|^\S*INFO\S*\s+(\[.*)$")


class StepFailedError(Exception):
    """A step ended badly; its output has been shown."""


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


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
        self._running: list[subprocess.Popen[str]] = []
        self.live = sys.stdout.isatty()

    def run(self, title: str, *command: str, env: dict[str, str] | None = None) -> str:
        """Run one step and return its output; raise StepFailedError after showing the output's end."""
        head, log_path = self._begin(title)
        print(f"{head} ..." if not self.live else head, end="" if self.live else "\n", flush=True)
        started = time.monotonic()
        count = 0

        def progress(line: str) -> None:
            nonlocal count
            found = TASK.search(line)
            if found and self.live:
                count += 1
                what = next(group for group in found.groups() if group)
                width = os.get_terminal_size().columns
                text = f"{head}  {clock(time.monotonic() - started)}  #{count} {what}"
                print(f"\r\033[K{text[: width - 1]}", end="", flush=True)

        code, output = self._execute(command, log_path, env, progress)
        took = self._took(title, started)
        lead = "\r\033[K" if self.live else ""
        if code:
            self._show_failure(f"{lead}{head}", took, log_path, output)
            raise StepFailedError(title)
        print(f"{lead}{head}  {clock(took)}", flush=True)
        return output

    def side_by_side(
        self, title: str, jobs: list[tuple[str, list[str]]], lanes: Sequence[Callable[[str], dict[str, str]]]
    ) -> str:
        """Run `jobs` (name, command) in turn, each in the first free lane; return all output.

        A lane is a function that gives a job, by its name, an environment. After a failure no further job begins, and
        StepFailedError names the jobs that failed.
        """
        head, log_path = self._begin(title)
        print(f"{head} ...", flush=True)
        started = time.monotonic()
        waiting = deque(jobs)
        outputs: list[str] = []
        failed: list[str] = []

        def work(lane: Callable[[str], dict[str, str]]) -> None:
            with contextlib.suppress(IndexError):
                while not failed:
                    name, command = waiting.popleft()
                    began = time.monotonic()
                    job_log = log_path.with_name(f"{log_path.stem}-{name}.log")
                    code, output = self._execute(command, job_log, lane(name), lambda _: None)
                    outputs.append(output)
                    took = time.monotonic() - began
                    if code:
                        failed.append(name)
                        self._show_failure(f"      {name}", took, job_log, output)
                    else:
                        print(f"      {name}  {clock(took)}", flush=True)

        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                for future in [pool.submit(work, lane) for lane in lanes]:
                    future.result()
            except KeyboardInterrupt:
                waiting.clear()
                self._terminate()
                raise
        took = self._took(title, started)
        if failed:
            raise StepFailedError(f"{title}: {', '.join(failed)}")
        print(f"{head}  {clock(took)}", flush=True)
        return "".join(outputs)

    def _begin(self, title: str) -> tuple[str, Path]:
        """Count a step; return the beginning of its line, and its log."""
        self.done += 1
        log_path = BUILD / "log" / f"{self.name}-{self.done:02d}-{_slug(title)}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        return f"[{self.done}/{self.total}] {title}", log_path

    def _took(self, title: str, started: float) -> float:
        took = time.monotonic() - started
        self.seconds[_slug(title)] = round(took, 1)
        return took

    def _execute(
        self, command: Sequence[str], log_path: Path, env: dict[str, str] | None, on_line: Callable[[str], None]
    ) -> tuple[int, str]:
        """Run a command to its end; return its exit code and its output, which is in the log too."""
        with log_path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **(env or {})}, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            self._running.append(process)
            try:
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    on_line(line)
                code = process.wait()
            except KeyboardInterrupt:
                self._terminate()
                raise
            finally:
                self._running.remove(process)
        return code, log_path.read_text(encoding="utf-8", errors="replace")

    def _terminate(self) -> None:
        """End what runs."""
        for process in list(self._running):
            process.terminate()
            process.wait()

    def _show_failure(self, head: str, took: float, log_path: Path, output: str) -> None:
        print(f"{head}: failed after {clock(took)}; the whole output is in {log_path.relative_to(ROOT)}")
        print("\n".join(output.splitlines()[-TAIL_LINES:]), flush=True)

    def total_seconds(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.started, 1)
