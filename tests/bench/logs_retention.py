"""Lines of the last 88 days, of each severity, before and after Loki's compactor has applied the role's retention.

The times are in the lines, not in the clock: Loki takes them as what a long-absent node sends. The compactor then runs
every few seconds instead of every ten minutes, and deletes at once instead of after two hours.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml

from bench.harness import ROOT, Metric, Progress, Result, Row, at_most, plain
from bench.logs import loki
from bench.logs.emitters import line
from bench.logs.hub import LOKI_DISK, Hub, ground
from bench.logs.roles import Authority
from bench.processes import wait_for

FOLDER = ROOT / "build" / "bench-logs-retention"
TENANT = "site-a"
SEVERITIES = ("debug", "info", "notice", "warning", "err", "crit")
DAYS = (88, 75, 62, 58, 45, 32, 28, 15, 9, 6, 2, 1)
"""So many days old are the lines, less an hour at most; no retention ends there. The role lets in up to 90 days."""

PER_DAY, SHORT_PER_DAY = 40_000, 100
PAGE = 10_000
DAY_S, HOUR_S = 86_400, 3_600
TIMEOUT_S = 300
FLAGS = [
    "-compactor.compaction-interval=5s",
    "-compactor.apply-retention-interval=10s",
    "-compactor.retention-delete-delay=1s",
    # The compactor sees what is in the store, which else is up to an hour behind.
    "-ingester.flush-on-shutdown=true",
    "-ingester.flush-check-period=1s",
    # Queries use copies of the index; that of the ingester is kept for both of these and two minutes more.
    "-tsdb.shipper.resync-interval=5s",
    "-store.index-cache-validity=1s",
]
BUDGET = 0.25
"""Bytes on the disk for each byte of text that is to be kept."""


def run(short: bool = False) -> Result:
    """Store 40,000 lines of each severity and day, the short form 100; let the compactor work; look what is there."""
    per_day = SHORT_PER_DAY if short else PER_DAY
    progress = Progress("logs_retention")
    kept_days = retention_days()
    with ground(FOLDER):
        hub = Hub(FOLDER / "hub", Authority())
        try:
            hub.loki_flags = FLAGS
            hub.start_loki()
            hub.wait_until_loki_ready()
            now = time.time()
            text_bytes = store(hub.loki_url, now, per_day, progress)
            before = wait_for_all(hub.loki_url, now, per_day, SEVERITIES)
            # A store that ends in order writes all that it has in memory to its disk, index too.
            hub.end("loki")
            bytes_before = disk_bytes(hub.path(LOKI_DISK))
            # Read again from its log, lines of all days would be in memory as if they had come just now.
            shutil.rmtree(hub.path(f"{LOKI_DISK}/wal"))
            hub.start_loki()
            hub.wait_until_loki_ready()
            began = time.monotonic()
            wait_for_all(hub.loki_url, now, per_day, [name for name, kept in kept_days.items() if kept > DAYS[0]])
            after = wait_for_compactor(hub.loki_url, now, kept_days, progress)
            bytes_after = disk_bytes(hub.path(LOKI_DISK)) if short else wait_until_still(hub.path(LOKI_DISK))
            took_s = time.monotonic() - began
        finally:
            hub.stop()
    table = [row(severity, before[severity], after[severity], kept_days[severity], per_day) for severity in SEVERITIES]
    return Result("logs_retention", metrics(table, text_bytes, bytes_before, bytes_after, took_s), table, list(NOTES))


def retention_days() -> dict[str, int]:
    """Return for each severity the days for which the role keeps it."""
    defaults = yaml.safe_load((ROOT / "roles/loki/defaults/main.yml").read_text(encoding="utf-8"))
    return {name: defaults["loki_retention_severity_hours"][name] // 24 for name in SEVERITIES}


def store(url: str, now: float, per_day: int, progress: Progress) -> int:
    """Push all lines, oldest first; return how many bytes of text they are."""
    text_bytes = 0
    for day in DAYS:
        progress(f"{day} days ago")
        for severity in SEVERITIES:
            labels = {"job": "cctv", "site": TENANT, "kind": "dvr", "severity": severity}
            begin_ns = int((now - day * DAY_S) * 1e9)
            step_ns = HOUR_S * 10**9 // per_day
            for first in range(0, per_day, PAGE):
                numbers = range(first, min(first + PAGE, per_day))
                values = [
                    [str(begin_ns + number * step_ns), line(severity, number), {"id": f"bench@{day:04x}{number:08x}"}]
                    for number in numbers
                ]
                text_bytes += sum(len(str(value[1])) for value in values)
                push(url, {"streams": [{"stream": labels, "values": values}]})
        close_chunks(url)
    return text_bytes


def close_chunks(url: str) -> None:
    """Have Loki close its chunks and write them: one goes as a whole, and has six hours of lines in real life."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/flush", method="POST"), timeout=60):
        pass
    wait_for(lambda: loki.metric(url, "loki_ingester_memory_chunks") == 0, 60, "Loki to write its chunks")


def push(url: str, body: dict[str, object]) -> None:
    """Push lines as a node's syslog-ng does, past the gateway."""
    headers = {"Content-Type": "application/json", "X-Scope-OrgID": TENANT}
    request = urllib.request.Request(f"{url}/loki/api/v1/push", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60):
        pass


def days(url: str, severity: str, now: float) -> dict[int, int]:
    """Return how many lines of a severity a query finds for each day."""
    found = {}
    for day in DAYS:
        # An instant query counts what lies in (time - range, time]; the first line is at the very beginning.
        found[day] = loki.count(url, TENANT, f'{{severity="{severity}"}}', HOUR_S, now - day * DAY_S + HOUR_S - 0.001)
    return found


def wait_for_all(url: str, now: float, per_day: int, severities: Sequence[str]) -> dict[str, dict[int, int]]:
    """Wait until queries find every line of these severities: while Loki writes old ones to its disk, they do not."""

    def found() -> dict[str, dict[int, int]] | None:
        there = {severity: days(url, severity, now) for severity in severities}
        return there if all(sum(counts.values()) == per_day * len(DAYS) for counts in there.values()) else None

    return wait_for(found, TIMEOUT_S, "queries to find all lines", 1)


def wait_for_compactor(
    url: str, now: float, kept_days: dict[str, int], progress: Progress
) -> dict[str, dict[int, int]]:
    """Wait until what should be gone is gone; return what is there then (or after `TIMEOUT_S`)."""
    until = time.monotonic() + TIMEOUT_S
    doomed = {name: kept for name, kept in kept_days.items() if kept < DAYS[0]}
    while time.monotonic() < until:
        left = sum(sum(over(days(url, name, now), kept)) for name, kept in doomed.items())
        progress(f"{left} lines that should go are there")
        if left == 0:
            break
        time.sleep(2)
    return {severity: days(url, severity, now) for severity in SEVERITIES}


def over(found: dict[int, int], kept: int) -> list[int]:
    """Return the counts of the days that are past the retention as a whole."""
    return [count for day, count in found.items() if day > kept]


def wait_until_still(folder: Path) -> int:
    """Wait until the sweeper, which comes once a minute, has deleted the marked chunks; return the bytes then."""
    began = time.monotonic()
    least, since = disk_bytes(folder), began
    while time.monotonic() - since < 75 and time.monotonic() - began < TIMEOUT_S:
        time.sleep(3)
        now = disk_bytes(folder)
        if now < least * 0.999:
            least, since = now, time.monotonic()
    return least


def disk_bytes(folder: Path) -> int:
    """Return what chunks and index take on the disk; the write-ahead log is not kept."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and "wal" not in file.relative_to(folder).parts
    )


def row(severity: str, before: dict[int, int], after: dict[int, int], kept: int, per_day: int) -> Row:
    """Say of a severity what was there, what is there, and what is wrong about it."""
    must = [day for day in before if day <= kept]
    return {
        "severity": severity,
        "kept_days": kept,
        "lines_before": sum(before.values()),
        "lines_after": sum(after.values()),
        "oldest_day_after": max((day for day, count in after.items() if count), default=0),
        "too_old_but_there": sum(over(after, kept)),
        "young_but_gone": sum(per_day - after[day] for day in must),
    }


def metrics(table: list[Row], text_bytes: int, before: int, after: int, took_s: float) -> list[Metric]:
    """Add up, and compare the bytes with the budget."""

    def added(column: str) -> int:
        return sum(int(str(row[column])) for row in table)

    kept_text = text_bytes * added("lines_after") / max(1, added("lines_before"))
    return [
        plain("lines", added("lines_before"), "lines"),
        at_most("too_old_but_there", added("too_old_but_there"), "lines", 0),
        at_most("young_but_gone", added("young_but_gone"), "lines", 0),
        plain("text", text_bytes / 1e6, "MB"),
        plain("on_disk_before", before / 1e6, "MB"),
        plain("on_disk_after", after / 1e6, "MB"),
        at_most("on_disk_after_of_the_text_kept", after / kept_text, "bytes/byte", BUDGET),
        plain("took", took_s, "s"),
    ]


NOTES = (
    f"lines of {len(DAYS)} of the last {DAYS[0]} days, which is as far back as the role lets lines in; so warning, err"
    " and crit must all be kept, and their own ends (180, 365 and 730 days) are not reached",
    "real clock, old lines; the compactor's own interval and delay are shortened, the retention periods are the role's",
)
