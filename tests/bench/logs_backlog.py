"""A site comes back after a day: its backlog drains while the live lines of another site stay quick.

A device's lines of 24 hours, each with its own time, are taken by the node's syslog-ng into its disk buffer while the
hub cannot be reached. Then the link is there again.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterator

from bench.harness import ROOT, Progress, Result, at_least, at_most, plain
from bench.logs import loki
from bench.logs.emitters import Device, emitting
from bench.logs.hub import Hub, ground
from bench.logs.node import DVR_PORT, Node
from bench.logs.roles import Authority
from bench.logs.watcher import Watcher, share

FOLDER = ROOT / "build" / "bench-logs-backlog"
HOURS = 24
RATE = 50
LIVE_S = 5.0
FILL_RATE = 100_000
"""More than syslog-ng takes: TCP holds the device back."""

BUFFER_BYTES = 8 * 2**30
TIMEOUT_S = 900


class AwayDevice(Device):
    """A device whose lines have the times of the last 24 hours."""

    def __init__(self, total: int, address: str) -> None:
        super().__init__("backlog", total, FILL_RATE, address, DVR_PORT)
        self._began = time.time() - HOURS * 3600

    def text(self, number: int) -> str:
        """Return a line that begins with its stamp, as DVRs write it."""
        at = datetime.datetime.fromtimestamp(self._began + number / self.total * HOURS * 3600, datetime.UTC)
        return f"{at:%Y-%m-%dT%H:%M:%SZ} {super().text(number)}"


def run(short: bool = False) -> Result:
    """Drain 24 h at 50 lines/s, which is 4,320,000 (LINES=n for fewer); the short form 20,000."""
    total = 20_000 if short else int(os.environ.get("LINES", HOURS * 3600 * RATE))
    progress = Progress("logs_backlog")
    with machines() as (hub, away, other):
        away.cut_off(hub.address)
        away.boot()
        other.boot()
        device = AwayDevice(total, away.address)
        began = time.monotonic()
        with emitting(device):
            while device.is_alive():
                device.join(5)
                progress(f"{device.sent} of {total} lines are in the buffer")
        filled_s = time.monotonic() - began
        buffer_bytes = sum(file.stat().st_blocks * 512 for file in away.path("/var/lib/syslog-ng/cllmh").iterdir())
        live = Device("live", RATE * TIMEOUT_S, RATE, other.address, DVR_PORT)
        watcher = Watcher(hub.loki_url, other.site, '{job="cctv"} |= "bench live "', live)
        with emitting(live):
            watcher.start()
            if not watcher.wait_for(RATE, 30):
                raise TimeoutError("the other site's lines do not arrive")
            hub_cpu_s, node_cpu_s = hub.cpu_s(), away.cpu_s("syslog-ng")
            away.join_again()
            began, began_wall = time.monotonic(), time.time()
            drained_s = wait_until_drained(hub, away.site, total, progress, began)
            ended_wall = time.time()
            hub_cpu_s, node_cpu_s = hub.cpu_s() - hub_cpu_s, away.cpu_s("syslog-ng") - node_cpu_s
        watcher.wait_for(live.sent - 1, 30)
        watcher.end()
        meanwhile = watcher.delays_s(began_wall, ended_wall)
        there = stored(hub, away.site)
        live_there = loki.count(hub.loki_url, other.site, '{job="cctv"} |= "bench live "', 3600)
        refused = loki.metric(hub.loki_url, "loki_discarded_samples_total")
    rate = there / drained_s
    return Result(
        "logs_backlog",
        [
            plain("backlog", total, "lines"),
            at_most("missing_of_the_backlog", total - there, "lines", 0),
            at_most("missing_of_the_live_lines", live.sent - live_there, "lines", 0),
            at_most("refused_by_loki", refused, "lines", 0),
            at_most("live_delay_p99", share(meanwhile, 0.99), "s", LIVE_S),
            at_most("live_delay_max", share(meanwhile, 1.0), "s", LIVE_S),
            plain("live_delay_p50", share(meanwhile, 0.5), "s"),
            plain("drained", drained_s, "s"),
            at_least("drain_rate", rate, "lines/s", RATE),
            plain("hub_cpu_while_draining", hub_cpu_s / drained_s * 100, "% of a core"),
            plain("node_cpu_while_draining", node_cpu_s / drained_s * 100, "% of a core"),
            plain("buffer", buffer_bytes / 1e6, "MB"),
            plain("buffer_bytes_a_line", buffer_bytes / total, "bytes"),
            plain("filled", filled_s, "s"),
        ],
        notes=list(NOTES),
    )


@contextlib.contextmanager
def machines() -> Iterator[tuple[Hub, Node, Node]]:
    """Make a hub that runs, and two nodes that are not booted yet."""
    authority = Authority()
    # The device's own times are believed though it lags a day behind: they were made a moment ago.
    settings = {"syslog_ng_buffer_bytes": BUFFER_BYTES, "syslog_ng_clock_behind_max_s": (HOURS + 1) * 3600}
    with ground(FOLDER), contextlib.ExitStack() as stack:
        hub = Hub(FOLDER / "hub", authority)
        stack.callback(hub.stop)
        hub.start_all()
        hub.wait_until_ready()
        away = Node(FOLDER / "site-a", 21, authority, hub.address, syslog_ng=settings)
        stack.callback(away.stop)
        other = Node(FOLDER / "site-b", 22, authority, hub.address)
        stack.callback(other.stop)
        yield hub, away, other


def wait_until_drained(hub: Hub, site: str, total: int, progress: Progress, began: float) -> float:
    """Wait until Loki took over all; return how long it took, in seconds. Its counter is quick to ask for."""
    while time.monotonic() - began < TIMEOUT_S:
        taken = loki.metric(hub.loki_url, "loki_distributor_lines_received_total", tenant=site)
        progress(f"{taken:.0f} of {total} lines are in Loki")
        if taken >= total and stored(hub, site) >= total:
            break
        time.sleep(1)
    return time.monotonic() - began


def stored(hub: Hub, site: str) -> int:
    """Return how many lines of the backlog a query finds."""
    return loki.count(hub.loki_url, site, '{job="cctv"} |= "bench backlog "', (HOURS + 1) * 3600)


NOTES = (
    "the backlog was made in a moment: `syslog_ng_clock_behind_max_s` is a day here, so that the lines keep their times"
    " of the last 24 hours; all else is the roles' defaults but the buffer's size",
    "live: another site's lines at 50/s, from emission until a query finds them, while the backlog drains",
    "missing: what was emitted less what a query counts; refused: loki_discarded_samples_total",
)
