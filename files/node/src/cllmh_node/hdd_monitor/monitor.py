"""The loop of the HDD monitor: look, make room, report."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.disk import CameraUse, DiskStatus, LastPrune, State, cameras_in, look_at, next_state
from cllmh_node.log import event
from cllmh_node.recordings import BusyError, RetentionError
from cllmh_node.reports import Spool
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Outcome, is_below_floor, prune

logger = logging.getLogger(__name__)


class Monitor:
    """Owns the disk's status. `tick` is called by one thread; `status` may be read by any."""

    def __init__(self, config: HddMonitorConfig) -> None:
        """Take a first look, without deleting anything."""
        self._config = config
        self._policy = config.retention.policy()
        self._spool = Spool(config.spool_dir)
        self._reported_at: float | None = None
        self._prune_problem: str | None = None
        space, problem = look_at(config.recordings_dir)
        self.status = DiskStatus(config.recordings_dir, time.time(), space, "ok", problem)

    def run(self, stop: threading.Event, alive: Callable[[], object]) -> None:
        """Tick until `stop` is set. An unexpected error ends the loop, and so the watchdog's signs of life."""
        while not stop.is_set():
            self.tick(time.time())
            alive()
            stop.wait(self._config.interval_s)

    def tick(self, now: float) -> None:
        """Look at the disk once, make room if it needs some, report if it is time or the state changed."""
        config = self._config
        previous = self.status
        is_due = self._reported_at is None or not 0 <= now - self._reported_at < config.report_interval_s
        space, problem = look_at(config.recordings_dir)
        outcome: Outcome | None = None
        if problem is None and (is_due or is_below_floor(space, self._policy)):
            outcome = self._prune()
        if outcome is not None:
            space = outcome.after
        status = replace(
            previous,
            at=now,
            space=space,
            state=self._state(previous.state, space.used_percent, problem),
            problem=problem,
            last_prune=_last_prune(outcome, now) or previous.last_prune,
            short_bytes=outcome.short_bytes if outcome is not None else previous.short_bytes,
        )
        if is_due or status.cameras is None or (outcome is not None and outcome.deleted):
            status = replace(status, cameras=self._cameras(status))
        self.status = status
        self._log_changes(previous, status)
        if is_due or status.state != previous.state:
            self._spool.put("disk", status.as_report())
            self._reported_at = now

    def _prune(self) -> Outcome | None:
        """Apply the policy; return None when it could not be, which is said once."""
        index = self._config.index
        if not index.exists():  # the recorder has never run: there is nothing of ours to delete
            return None
        try:
            outcome = prune(self._config.recordings_dir, self._policy, index)
        except BusyError:
            return None
        except (RetentionError, OSError) as error:
            if str(error) != self._prune_problem:
                event(logger, "prune_failed", level=logging.ERROR, text=str(error))
            self._prune_problem = str(error)
            return None
        self._prune_problem = None
        report_deleted(self._spool, outcome)
        return outcome

    def _state(self, previous: State, used_percent: float, problem: str | None) -> State:
        """Return the disk's state; a folder that cannot be used is critical however empty its disk is."""
        if problem is not None:
            return "critical"
        config = self._config
        return next_state(
            previous, used_percent, config.warn_used_percent, config.critical_used_percent, config.hysteresis_percent
        )

    def _cameras(self, status: DiskStatus) -> dict[str, CameraUse]:
        """Return what each camera takes, or what was last known while the index cannot be read."""
        try:
            return cameras_in(self._config.index)
        except RetentionError as error:
            event(logger, "index_unreadable", level=logging.WARNING, text=str(error))
            return status.cameras or {}

    def _log_changes(self, previous: DiskStatus, status: DiskStatus) -> None:
        """Say once what changed."""
        if status.problem is not None and status.problem != previous.problem:
            event(logger, "disk_unusable", level=logging.ERROR, text=status.problem)
        if status.state != previous.state:
            level = {"ok": logging.INFO, "warn": logging.WARNING, "critical": logging.ERROR}[status.state]
            used_percent = status.space.used_percent
            event(logger, "disk_state", level=level, state=status.state, was=previous.state, used_percent=used_percent)
        if status.short_bytes and not previous.short_bytes:
            event(logger, "disk_short", level=logging.ERROR, short_bytes=status.short_bytes)


def _last_prune(outcome: Outcome | None, now: float) -> LastPrune | None:
    """Return what a prune took, None when nothing."""
    if outcome is None or not outcome.deleted:
        return None
    return LastPrune(now, len(outcome.deleted), outcome.freed_bytes)
