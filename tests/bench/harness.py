"""What every benchmark returns, how it is shown and kept: metrics with their targets, and rows."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
CACHE = ROOT / "build" / "bench-footage"
MEDIA = Path(os.environ.get("CLLMH_MEDIA", ROOT.parent / "shared" / "media"))
"""Real clips with hand-marked truth that not every machine has; benchmarks say so where they are absent."""

VTEST = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure; `met` is None where there is no target."""

    metric: str
    value: float | None
    unit: str
    target: str | None = None
    met: bool | None = None


def plain(metric: str, value: float | None, unit: str) -> Metric:
    """A figure without a target."""
    return Metric(metric, _rounded(value), unit)


def at_most(metric: str, value: float | None, unit: str, limit: float) -> Metric:
    """A figure that should not be above `limit`; what could not be measured does not meet it."""
    return Metric(metric, _rounded(value), unit, f"<= {limit:g}", value is not None and value <= limit)


def at_least(metric: str, value: float | None, unit: str, limit: float) -> Metric:
    """A figure that should not be below `limit`; what could not be measured does not meet it."""
    return Metric(metric, _rounded(value), unit, f">= {limit:g}", value is not None and value >= limit)


@dataclass
class Result:
    """What a benchmark found."""

    name: str
    metrics: list[Metric] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader has to know: what was absent, what was done another way than one would expect."""

    def value(self, metric: str) -> float | None:
        """Return a figure by its name."""
        (found,) = [m.value for m in self.metrics if m.metric == metric]
        return found


class Progress:
    """A line that is rewritten on a terminal; lines now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._said = 0.0

    def __call__(self, text: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        line = f"{self._title}: {now - self._began:4.0f} s  {text}"
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + line[:width].ljust(width))
        elif now - self._said > 20:
            sys.stderr.write(line + "\n")
            self._said = now
        sys.stderr.flush()


def machine() -> str:
    """Say in one line where a figure was measured."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = release.get("PRETTY_NAME", "Linux").strip('"')
    cpu = models[0] if models else platform.machine()
    return f"{system}, {os.cpu_count()} cores ({cpu}), {memory_gb:.0f} GB, Python {platform.python_version()}"


def keep(result: Result, seconds: float, folder: Path) -> Path:
    """Write a result as JSON; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    document = {
        "name": result.name,
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": round(seconds, 1),
        "metrics": [asdict(metric) for metric in result.metrics],
        "rows": result.rows,
        "notes": result.notes,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def table(result: Result) -> str:
    """Return a result as text for a terminal."""
    words = {True: "met", False: "MISSED", None: "-"}
    lines = [["metric", "value", "unit", "target", "met"]]
    lines += [[m.metric, shown(m.value), m.unit, m.target or "-", words[m.met]] for m in result.metrics]
    text = [result.name, *columns(lines)]
    if result.rows:
        heads = list(dict.fromkeys(key for row in result.rows for key in row))
        text += ["", *columns([heads, *[[shown(row.get(head)) for head in heads] for row in result.rows]])]
    return "\n".join([*text, *(f"note: {note}" for note in result.notes)])


def columns(lines: list[list[str]]) -> list[str]:
    """Align cells."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def shown(value: object) -> str:
    """Return a cell's text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
