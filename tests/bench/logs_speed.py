"""Lines a second from node to Loki over TLS, and how long until a query finds them; beside Promtail.

Ways: a device on TCP and a service's file through the node's syslog-ng, and the same file through Promtail. Each goes
through the same gateway into the same Loki, one after the other. Besides the three rates each way has to take a heap of
lines at once: how fast it is when it is behind.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from bench.harness import ROOT, Metric, Progress, Result, Row, at_least, at_most, plain
from bench.logs import loki, promtail
from bench.logs.emitters import Device, Emitter, ServiceFile, emitting
from bench.logs.hub import Hub, ground
from bench.logs.node import DVR_PORT, SERVICE_LOG, Node
from bench.logs.roles import Authority, staged
from bench.logs.watcher import EVERY_S, Watcher, share

FOLDER = ROOT / "build" / "bench-logs-speed"
WAYS = ("tcp", "file", "promtail")
RATES = (100, 1_000, 10_000)
SECONDS, SHORT_SECONDS = 30.0, 3.0
HEAP, SHORT_HEAP = 300_000, 5_000
HEAP_RATE = 200_000
P99_S = 2.0


def run(short: bool = False) -> Result:
    """Measure all ways at all rates."""
    progress, rows = Progress("logs_speed"), []
    has_promtail = staged("promtail")
    for way in WAYS if has_promtail else WAYS[:2]:
        with machines() as (hub, node):
            if way == "promtail":
                promtail.start(node, hub)
            else:
                node.boot()
            for rate in (*RATES, None):
                progress(f"{way}, {rate or 'as many as possible'} lines/s")
                rows.append(measure(hub, node, way, rate, short))
    notes = NOTES if has_promtail else (*NOTES, "Promtail is not staged here, so it was not measured")
    return Result("logs_speed", metrics(rows), rows, list(notes))


@contextlib.contextmanager
def machines() -> Iterator[tuple[Hub, Node]]:
    """Boot a hub and a node; each way begins with an empty Loki."""
    authority = Authority()
    with ground(FOLDER), contextlib.ExitStack() as stack:
        hub = Hub(FOLDER / "hub", authority)
        stack.callback(hub.stop)
        hub.start_all()
        hub.wait_until_ready()
        node = Node(FOLDER / "site-a", 21, authority, hub.address)
        stack.callback(node.stop)
        yield hub, node


def measure(hub: Hub, node: Node, way: str, rate: int | None, short: bool) -> Row:
    """Emit at a rate (as fast as it is taken, where none is given) and watch the lines arrive."""
    seconds = SHORT_SECONDS if short else SECONDS
    total = (SHORT_HEAP if short else HEAP) if rate is None else round(rate * seconds)
    program = "promtail" if way == "promtail" else "syslog-ng"
    emitter = emitter_of(node, way, f"{way}_{rate or 'heap'}", total, rate or HEAP_RATE)
    query = f'{{job="cctv"}} |= "bench {emitter.source} "'
    watcher = Watcher(hub.loki_url, node.site, query, emitter)
    node_cpu_s, hub_cpu_s = node.cpu_s(program), hub.cpu_s()
    watcher.start()
    began = time.time()
    with emitting(emitter):
        emitter.join()
        watcher.wait_for(total - 1, 120)
    watcher.end()
    took_s = (watcher.seen[-1][0] if watcher.seen else time.time()) - began
    node_cpu_s, hub_cpu_s = node.cpu_s(program) - node_cpu_s, hub.cpu_s() - hub_cpu_s
    delays = watcher.delays_s()
    there = loki.count(hub.loki_url, node.site, query, 600)
    return {
        "way": way,
        "rate": rate or "heap",
        "lines": total,
        "arrived": there,
        "lines_per_s": round(there / took_s),
        "p50_s": rounded(share(delays, 0.5)),
        "p99_s": rounded(share(delays, 0.99)),
        "node_cpu_us_per_line": round(node_cpu_s / total * 1e6, 1),
        "hub_cpu_us_per_line": round(hub_cpu_s / total * 1e6, 1),
        "node_cpu_percent": round(node_cpu_s / took_s * 100, 1),
        "hub_cpu_percent": round(hub_cpu_s / took_s * 100, 1),
    }


def emitter_of(node: Node, way: str, source: str, total: int, rate: float) -> Emitter:
    """Return where the lines of a way come from."""
    if way == "tcp":
        return Device(source, total, rate, node.address, DVR_PORT)
    return ServiceFile(source, total, rate, node.path(SERVICE_LOG if way == "file" else promtail.LOG))


def metrics(rows: list[Row]) -> list[Metric]:
    """Compare with the targets and with Promtail."""
    figures = {(row["way"], row["rate"]): row for row in rows}

    def figure(way: str, rate: int | str, column: str) -> float | None:
        value = figures.get((way, rate), {}).get(column)
        return None if value is None else float(str(value))

    found: list[Metric] = []
    fastest = RATES[-1]
    theirs = figure("promtail", fastest, "lines_per_s")
    for way in WAYS[:2]:
        sustained, p99_s = figure(way, fastest, "lines_per_s"), figure(way, fastest, "p99_s")
        # The last line takes its time too, so a rate that is kept shows as a little less.
        kept = bool(sustained and p99_s is not None and p99_s <= P99_S)
        found += [
            Metric(f"{way}_sustained", sustained, "lines/s", f"{fastest} with p99 <= {P99_S:g} s", kept),
            at_most(f"{way}_p99_at_{fastest}", p99_s, "s", P99_S),
            plain(f"{way}_when_behind", figure(way, "heap", "lines_per_s"), "lines/s"),
        ]
    if theirs is not None:
        behind = figure("promtail", "heap", "lines_per_s") or 0
        found += [
            plain("promtail_p99_at_10000", figure("promtail", fastest, "p99_s"), "s"),
            plain("promtail_when_behind", behind, "lines/s"),
            at_least("file_to_promtail_when_behind", (figure("file", "heap", "lines_per_s") or 0) / behind, "times", 1),
        ]
    missing = sum(int(str(row["lines"])) - int(str(row["arrived"])) for row in rows)
    return [*found, at_most("missing", missing, "lines", 0)]


def rounded(value: float | None) -> float | None:
    """Return milliseconds' worth of digits."""
    return None if value is None else round(value, 3)


NOTES = (
    "a line is emitted when it is written to the socket or file, and found when a query returns it or a later one of"
    f" its source; asked every {EVERY_S:g} s, and what the queries cost is in the hub's CPU time",
    f"each rate for {SECONDS:g} s; `heap` is {HEAP} lines at once, its delays say little",
    "lines_per_s: from the first line emitted to the last one found, so the last delay makes it less than the rate",
    "emitters, node, hub and queries share the cores of one machine; CPU in percent of one core",
)
