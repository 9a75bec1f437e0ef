"""The loop of the HDD monitor: look, have room made, report."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.disk import DiskStatus, look_at
from cllmh_node.hdd_monitor.growth import GrowthLedger, outlook
from cllmh_node.hdd_monitor.levels import Levels, causes, inodes_used_percent, next_state
from cllmh_node.hdd_monitor.pruner import Pruner
from cllmh_node.hdd_monitor.smart import read_smart
from cllmh_node.hdd_monitor.usage import Usage, total_bytes, usage_in
from cllmh_node.log import event
from cllmh_node.recordings import RetentionError
from cllmh_node.reports import Spool
from cllmh_node.retention import is_below_floor

logger = logging.getLogger(__name__)


class Monitor:
    """Owns the disk's status. `tick` is called by one thread; `status` may be read by any."""

    def __init__(self, config: HddMonitorConfig) -> None:
        """Take a first look, without deleting anything."""
        self._config = config
        self._policy = config.retention.policy()
        self._spool = None if config.spool_dir is None else Spool(config.spool_dir)
        self._growth = GrowthLedger(None if config.state_dir is None else config.state_dir / "growth.json")
        self._reported_at: float | None = None
        self._wake = threading.Event()
        self.pruner = Pruner(config, self._spool)
        self.status = DiskStatus(config.recordings_dir, time.time(), look_at(config.recordings_dir, config.mount_point))

    def run(self, stop: threading.Event, alive: Callable[[], object]) -> None:
        """Tick until `stop` is set and `wake` called, with a thread that prunes.

        An unexpected error in either thread ends the loop, and so the watchdog's signs of life.
        """
        pruner = threading.Thread(target=self.pruner.run, args=(stop, self.wake), name="prune", daemon=True)
        pruner.start()
        while not stop.is_set() and pruner.is_alive():
            self._wake.clear()
            self.tick(time.time())
            alive()
            self._wake.wait(self._config.interval_s)
        self.pruner.ask()  # sees that it is to stop

    def wake(self) -> None:
        """Have the disk looked at now."""
        self._wake.set()

    def tick(self, now: float) -> None:
        """Look at the disk once, have room made if it needs some, report if it is time or something changed."""
        config, previous = self._config, self.status
        is_due = self._reported_at is None or not 0 <= now - self._reported_at < config.report_interval_s
        look = look_at(config.recordings_dir, config.mount_point)
        status = replace(
            previous, at=now, look=look, pruning=self.pruner.state, smart=read_smart(config.smart_file, now)
        )
        status = replace(status, levels=self._levels(previous.levels, status))
        if is_due or status.usage is None or status.pruning.rounds != previous.pruning.rounds:
            status = replace(status, usage=self._usage(status))
        if is_due:
            status = self._with_growth(status)
        self.status = status
        if look.problem is None and (is_due or is_below_floor(look.space, self._policy)):
            self.pruner.ask()
        self._log_changes(previous, status)
        if is_due or status.levels != previous.levels:
            self._report(status)

    def _levels(self, previous: Levels, status: DiskStatus) -> Levels:
        """Return how grave each cause is; a folder that cannot be used is critical however empty its disk is."""
        config, space = self._config, status.space
        limits = (config.warn_used_percent, config.critical_used_percent, config.hysteresis_percent)
        return {
            "space": next_state(previous.get("space", "ok"), space.used_percent, *limits),
            "inodes": next_state(previous.get("inodes", "ok"), inodes_used_percent(space), *limits),
            "unusable": "critical" if status.look.problem is not None else "ok",
            "prune": "warn" if status.pruning.problem is not None else "ok",
            "smart": "warn" if status.smart.state == "failing" else "ok",
        }

    def _usage(self, status: DiskStatus) -> Usage:
        """Return what the clips take, or what was last known while the index cannot be read."""
        try:
            return usage_in(self._config.index)
        except RetentionError as error:
            event(logger, "index_unreadable", level=logging.WARNING, text=str(error))
            return status.usage or {}

    def _with_growth(self, status: DiskStatus) -> DiskStatus:
        """Return the status with how the disk fills up."""
        space, now = status.space, status.at
        if status.look.problem is not None:  # the space is that of another disk
            return status
        try:
            self._growth.note(self._config.index, space, now)
        except RetentionError as error:
            event(logger, "index_unreadable", level=logging.WARNING, text=str(error))
            return status
        growth = self._growth.growth(space, now)
        ahead = outlook(growth, total_bytes(status.usage or {}), space, self._policy, now)
        return replace(status, growth=growth, outlook=ahead)

    def _report(self, status: DiskStatus) -> None:
        if self._spool is not None:
            self._spool.put("disk", status.as_report())
        self._reported_at = status.at

    def _log_changes(self, previous: DiskStatus, status: DiskStatus) -> None:
        """Say once what changed."""
        problem = status.look.problem
        if problem is not None and problem != previous.look.problem:
            event(logger, "disk_unusable", level=logging.ERROR, text=problem)
        if (status.state, causes(status.levels)) != (previous.state, causes(previous.levels)):
            _log_state(previous, status)
        if status.smart.state == "failing" and previous.smart.state != "failing":
            event(logger, "disk_dying", level=logging.ERROR, text=status.smart.reason)
        if status.pruning.short_bytes and not previous.pruning.short_bytes:
            event(logger, "disk_short", level=logging.ERROR, short_bytes=status.pruning.short_bytes)


def _log_state(previous: DiskStatus, status: DiskStatus) -> None:
    """Say how the disk is now, and why."""
    event(
        logger,
        "disk_state",
        level={"ok": logging.INFO, "warn": logging.WARNING, "critical": logging.ERROR}[status.state],
        state=status.state,
        was=previous.state,
        causes=",".join(causes(status.levels)) or "none",
        used_percent=status.space.used_percent,
    )
