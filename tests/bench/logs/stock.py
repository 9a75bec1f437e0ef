"""The stock recipe: syslog-ng sends by TCP, with a reliable disk buffer, to a syslog-ng that writes files."""

from __future__ import annotations

from collections import Counter

from bench.logs.emitters import LINE
from bench.logs.hub import LOKI_DISK, Hub
from bench.logs.network import wait_until_open
from bench.logs.node import SERVICE_LOG, Node, installed_config_version

PORT = 6514
_NAME = "stock-syslog-ng"
_FILES = f"{LOKI_DISK}/stock"
_HEAD = "@version: {version}\noptions {{ keep-hostname(yes); use-dns(no); stats-freq(0); time-reopen(1); }};\n"
_NODE = """
source s_local {{
  systemd-journal(read-old-records(no));
  wildcard-file(base-dir("{folder}") filename-pattern("*.log") follow-freq(1) flags(no-parse));
  network(port({port}) transport("tcp") flags(no-parse));
}};
destination d_hub {{
  network("{hub}" port({port}) transport("tcp") template("{site} $MESSAGE\\n")
    disk-buffer(reliable(yes) disk-buf-size(536870912) mem-buf-size(16777216) dir("/var/lib/stock")));
}};
log {{ source(s_local); destination(d_hub); flags(flow-control); }};
"""
_HUB = """
source s_nodes {{ network(port({port}) transport("tcp") max-connections(100) flags(no-parse)); }};
destination d_files {{ file("{files}/all.log" template("$MESSAGE\\n") create-dirs(yes)); }};
log {{ source(s_nodes); destination(d_files); flags(flow-control); }};
"""


def set_up_node(node: Node, hub: str) -> None:
    """Configure a node's second syslog-ng, beside that of the role."""
    values = {"folder": SERVICE_LOG.rpartition("/")[0], "port": PORT, "hub": hub, "site": node.site}
    node.write("/etc/stock.conf", (_HEAD + _NODE).format(version=installed_config_version(), **values))
    node.path("/var/lib/stock").mkdir(parents=True, exist_ok=True)


def set_up_hub(hub: Hub) -> None:
    """Configure the hub's syslog-ng; it writes to the same disk as Loki."""
    values = {"files": _FILES, "port": PORT}
    hub.write("/etc/stock.conf", (_HEAD + _HUB).format(version=installed_config_version(), **values))
    hub.path("/var/lib/stock").mkdir(parents=True, exist_ok=True)


def start(machine: Node | Hub) -> None:
    """Start it; wait until it listens."""
    private = [f"--{what}=/var/lib/stock/{what}" for what in ("persist-file", "control", "pidfile")]
    command = ["syslog-ng", "--foreground", "--stderr", "--no-caps", "--cfgfile=/etc/stock.conf", *private]
    machine.start(_NAME, *command)
    wait_until_open(machine.address, PORT)


def kill(machine: Node | Hub) -> None:
    """Kill it."""
    machine.kill(_NAME)


def arrived(hub: Hub) -> Counter[tuple[str, str, int]]:
    """Return how often each line (site, source, number) is in the hub's files."""
    counts: Counter[tuple[str, str, int]] = Counter()
    file = hub.path(f"{_FILES}/all.log")
    if not file.exists():
        return counts
    with file.open(encoding="utf-8", errors="replace") as lines:
        for text in lines:
            found = LINE.search(text)
            if found:
                counts[text.partition(" ")[0], found[1], int(found[2])] += 1
    return counts
