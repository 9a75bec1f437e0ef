"""What strikes hub, link and node while lines go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.logs import stock
from bench.logs.emitters import Device, Emitter
from bench.logs.hub import LOKI_DISK, Hub
from bench.logs.node import Node

FAULTS = (
    "hub_kill", "partition", "node_kill", "disk_full", "node_reboot_in_partition", "gateway_kill",
    "hub_stall", "loki_kill", "hub_stall_then_kill",
)  # fmt: skip
"""Each of them once; a run goes round."""

_FILLER = f"{LOKI_DISK}/somebody-elses-file"


@dataclass(frozen=True, slots=True)
class Site:
    """A node and what emits at it."""

    node: Node
    devices: Sequence[Device]
    local: Sequence[Emitter]
    """Sources on the node itself: a reboot ends them first."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults, each called by its name with the site that it strikes; each lasts `seconds`."""

    hub: Hub
    seconds: float

    def strike(self, name: str, site: Site) -> None:
        """Let a fault happen; return when it is over and all programs run again."""
        fault: Callable[[Site], None] = getattr(self, name)
        fault(site)

    def hub_kill(self, _: Site) -> None:
        """The hub's programs are killed, as when it loses its power."""
        self.hub.kill()
        time.sleep(self.seconds)
        self._start_hub()

    def hub_stall(self, _: Site) -> None:
        """The hub takes connections and answers nothing, then goes on."""
        self.hub.stall()
        time.sleep(self.seconds)
        self.hub.go_on()

    def hub_stall_then_kill(self, _: Site) -> None:
        """The hub takes connections, answers nothing and is then reset."""
        self.hub.stall()
        time.sleep(self.seconds)
        self.hub.kill()
        self._start_hub()

    def gateway_kill(self, _: Site) -> None:
        """What the node talks to is killed: nginx and the door; for the stock recipe the hub's syslog-ng."""
        self.hub.kill("gateway", "door")
        stock.kill(self.hub)
        time.sleep(self.seconds)
        self.hub.start_door()
        self.hub.start_gateway()
        stock.start(self.hub)

    def loki_kill(self, _: Site) -> None:
        """The store is killed: Loki; for the stock recipe the hub's syslog-ng, which writes the files."""
        self.hub.kill("loki")
        stock.kill(self.hub)
        self.hub.start_loki()
        stock.start(self.hub)
        self.hub.wait_until_ready()

    def disk_full(self, _: Site) -> None:
        """The disk of Loki (and of the stock files) is filled to the last byte at once, and freed."""
        self.hub.run("sh", "-c", f"cat /dev/zero > {_FILLER} || true")
        time.sleep(self.seconds)
        self.hub.path(_FILLER).unlink()

    def partition(self, site: Site) -> None:
        """The link drops every packet."""
        site.node.cut_off(self.hub.address)
        time.sleep(self.seconds)
        site.node.join_again()

    def node_kill(self, site: Site) -> None:
        """The node's syslog-ng is killed."""
        self._kill(site, "syslog-ng", "stock-syslog-ng")
        time.sleep(self.seconds / 4)
        site.node.start_syslog_ng()
        stock.start(site.node)

    def node_reboot_in_partition(self, site: Site) -> None:
        """The node, cut off, goes down with all its programs and comes back with what its disk has."""
        site.node.cut_off(self.hub.address)
        time.sleep(self.seconds / 2)
        # A reboot ends the services first, and the journal after them.
        for emitter in site.local:
            emitter.pause()
        self._kill(site)
        site.node.boot()
        stock.start(site.node)
        for emitter in site.local:
            emitter.go_on()
        time.sleep(self.seconds / 2)
        site.node.join_again()

    def _kill(self, site: Site, *names: str) -> None:
        site.node.kill(*names)
        for device in site.devices:
            device.receiver_killed()

    def _start_hub(self) -> None:
        self.hub.start_all()
        stock.start(self.hub)
        self.hub.wait_until_ready()
