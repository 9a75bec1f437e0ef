"""How many lines are missing and how many are doubled after faults have struck hub, link and nodes.

Two nodes emit numbered lines (journal, a service's file, a device on TCP) while the faults come one after the other.
Then the store is asked for every line. The stock recipe (`logs/stock.py`) gets the same lines on the same machines at
the same time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator

from bench.harness import ROOT, Metric, Progress, Result, Row, at_most, plain
from bench.logs import loki, stock
from bench.logs.emitters import LINE, Device, Service, ServiceFile, emitting
from bench.logs.faults import FAULTS, Faults, Site
from bench.logs.hub import LOKI_DISK, Hub, ground
from bench.logs.node import DVR_PORT, JOURNAL_SOCKET, SERVICE_LOG, Node
from bench.logs.roles import Authority
from small_disk import SmallDisk

FOLDER = ROOT / "build" / "bench-logs-loss"
SITES = ("site-a", "site-b")
SHARES = {"tcp": 0.4, "file": 0.3, "journal": 0.3}
FAULT_S, SHORT_FAULT_S = 5.0, 3.0
BETWEEN_S, SHORT_BETWEEN_S = 4.0, 1.0
SHORT_FAULTS = ("hub_kill", "partition", "node_kill", "disk_full", "node_reboot_in_partition", "gateway_kill")
DISK_BYTES, SHORT_DISK_BYTES = 2 * 2**30, 256 * 2**20
DRAINED_WITHIN_S = 240
STILL_S = 12
"""More than a node waits before it tries again, and than Loki takes to start."""
QUERY = '{job="cctv"} |= "bench "'

Counts = Counter[tuple[str, str, int]]


def run(short: bool = False) -> Result:
    """A million lines and 25 faults (LINES=n for fewer), the short form 50,000 and 6."""
    total = 50_000 if short else int(os.environ.get("LINES", "1000000"))
    names = SHORT_FAULTS if short else tuple(FAULTS[number % len(FAULTS)] for number in range(25))
    seconds = 40.0 if short else 360.0
    with ground(FOLDER), machines(SHORT_DISK_BYTES if short else DISK_BYTES) as (hub, nodes):
        sites = [site_of(node, total // len(nodes), seconds) for node in nodes]
        began_ns = time.time_ns()
        faults = Faults(hub, SHORT_FAULT_S if short else FAULT_S)
        struck = strike(sites, faults, names, SHORT_BETWEEN_S if short else BETWEEN_S)
        progress = Progress("logs_loss")
        drained_s = wait_until_drained(hub, total, progress)
        ours = arrived(hub, began_ns)
        theirs = stock.arrived(hub)
        refused = loki.metric(hub.loki_url, "loki_discarded_samples_total")
        result = Result("logs_loss", metrics(total, sites, ours, theirs), rows(sites, ours, theirs))
        result.metrics += [
            plain("faults", len(struck), "faults"),
            plain("seconds_of_faults", sum(struck), "s"),
            plain("drained_after_the_last", drained_s, "s"),
            at_most("refused_by_loki", refused, "lines", 0),
        ]
    result.notes = notes(names)
    return result


@contextlib.contextmanager
def machines(disk_bytes: int) -> Iterator[tuple[Hub, list[Node]]]:
    """Boot a hub, whose Loki has a disk of its own, and the nodes; stop them at the end."""
    authority = Authority()
    with contextlib.ExitStack() as stack:
        hub = Hub(FOLDER / "hub", authority)
        stack.callback(hub.stop)
        disk = SmallDisk(FOLDER, disk_bytes)
        hub.run("mount", "-o", "loop", str(disk.image), LOKI_DISK)
        stock.set_up_hub(hub)
        hub.start_all()
        stock.start(hub)
        nodes = []
        for number, name in enumerate(SITES, 21):
            node = Node(FOLDER / name, number, authority, hub.address, syslog_ng={"syslog_ng_retry_s": 1})
            stack.callback(node.stop)
            stock.set_up_node(node, hub.address)
            node.boot()
            stock.start(node)
            nodes.append(node)
        hub.wait_until_ready()
        yield hub, nodes


def site_of(node: Node, total: int, seconds: float) -> Site:
    """Return what emits at a node: `total` lines within `seconds`."""
    counts = {source: round(total * share) for source, share in SHARES.items()}
    counts["tcp"] += total - sum(counts.values())
    rates = {source: count / seconds for source, count in counts.items()}
    devices = [Device("tcp", counts["tcp"], rates["tcp"], node.address, port) for port in (DVR_PORT, stock.PORT)]
    file = ServiceFile("file", counts["file"], rates["file"], node.path(SERVICE_LOG))
    journal = Service("journal", counts["journal"], rates["journal"], node.path(JOURNAL_SOCKET))
    return Site(node, devices, [file, journal])


def strike(sites: list[Site], faults: Faults, names: tuple[str, ...], between_s: float) -> list[float]:
    """Emit all lines while the faults come; return how long each took, in seconds."""
    emitters = [emitter for site in sites for emitter in (*site.devices, *site.local)]
    progress, struck = Progress("logs_loss"), []
    with emitting(*emitters):
        for number, name in enumerate(names):
            time.sleep(between_s)
            sent = sum(emitter.sent for emitter in emitters)
            progress(f"fault {number + 1} of {len(names)}, {name}; {sent} lines emitted")
            began = time.monotonic()
            faults.strike(name, sites[number % len(sites)])
            struck.append(time.monotonic() - began)
        for emitter in emitters:
            while emitter.is_alive():
                emitter.join(5)
                progress(f"{emitter.source}: {emitter.sent} of {emitter.total}")
    return struck


def wait_until_drained(hub: Hub, total: int, progress: Progress) -> float:
    """Wait until all is there, or nothing has come for a while; return how long it took, in seconds."""
    began = moved = time.monotonic()
    before = -1
    while time.monotonic() - began < DRAINED_WITHIN_S:
        there = loki.count(hub.loki_url, "|".join(SITES), QUERY, 3600)
        progress(f"{there} of {total} lines are in Loki")
        if there >= total or (there == before and time.monotonic() - moved > STILL_S):
            break
        if there != before:
            before, moved = there, time.monotonic()
        time.sleep(1)
    return moved - began


def arrived(hub: Hub, began_ns: int) -> Counts:
    """Return how often each line (site, source, number) is in Loki."""
    counts: Counts = Counter()
    for site in SITES:
        for _, _, text in loki.lines(hub.loki_url, site, QUERY, began_ns - 60 * 10**9, time.time_ns() + 10**9):
            found = LINE.match(text)
            if found:
                counts[site, found[1], int(found[2])] += 1
    return counts


def expected(sites: list[Site], way: int) -> dict[tuple[str, str], tuple[int, set[int]]]:
    """Return how many lines each source emitted and which of them had an unsure end; `way` 0 is ours, 1 the stock."""
    emitted: dict[tuple[str, str], tuple[int, set[int]]] = {}
    for site in sites:
        device = site.devices[way]
        emitted[site.node.site, device.source] = device.sent, device.unread
        for emitter in site.local:
            emitted[site.node.site, emitter.source] = emitter.sent, set()
    return emitted


def rows(sites: list[Site], ours: Counts, theirs: Counts) -> list[Row]:
    """Compare, for each source, what was emitted with what is there."""
    compared: list[Row] = []
    for way, (who, counts) in enumerate((("ours", ours), ("stock", theirs))):
        for (site, source), (sent, unread) in expected(sites, way).items():
            gone = {number for number in range(sent) if not counts[site, source, number]}
            compared.append(
                {
                    "who": who,
                    "site": site,
                    "source": source,
                    "emitted": sent,
                    "missing": len(gone - unread),
                    "unread_in_a_socket": len(gone & unread),
                    "doubled": sum(counts[site, source, number] > 1 for number in range(sent)),
                }
            )
    return compared


def metrics(total: int, sites: list[Site], ours: Counts, theirs: Counts) -> list[Metric]:
    """Add the rows up."""
    table = rows(sites, ours, theirs)

    def added(who: str, column: str) -> int:
        return sum(int(str(row[column])) for row in table if row["who"] == who)

    return [
        plain("lines", added("ours", "emitted"), "lines"),
        at_most("missing", added("ours", "missing") + total - added("ours", "emitted"), "lines", 0),
        at_most("doubled", added("ours", "doubled"), "lines", 0),
        plain("unread_in_a_socket", added("ours", "unread_in_a_socket"), "lines"),
        plain("missing_stock", added("stock", "missing"), "lines"),
        plain("doubled_stock", added("stock", "doubled"), "lines"),
        plain("unread_in_a_socket_stock", added("stock", "unread_in_a_socket"), "lines"),
    ]


def notes(names: tuple[str, ...]) -> list[str]:
    """Say how it was done."""
    times = Counter(names)
    return [
        "faults: " + ", ".join(f"{name} {times[name]}" for name in FAULTS if times[name]),
        "nodes and hub are network and mount namespaces with the roles' configurations in them; a kill is SIGKILL, a"
        " reboot the kill of all programs and a new start with the disk as it was",
        "emitted at each node: 40 % by a device on TCP, 30 % to a file, 30 % to the journal; not by UDP, which cannot"
        " be held back and loses when nobody reads",
        "unread_in_a_socket: missing lines that a device had written to its TCP connection within the second before the"
        " node's syslog-ng was killed; TCP tells the device nothing, and no receiver can have them. Not in `missing`",
        "counted by querying Loki for every line; a line is doubled when its number is there with two ids, times or"
        " texts. The stock recipe: the same lines at the same time, counted in its files; a kill of gateway or Loki is"
        " for it a kill of the hub's syslog-ng",
    ]
