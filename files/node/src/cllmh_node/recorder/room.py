"""Room for what comes: while the disk has less than a reserve, or has refused, recordings are deleted by policy.

One thread in each of the recorder's processes; the lock of the recordings folder lets one of them (or the HDD monitor)
work at a time. Cameras do not wait for it: what they receive is in their rings, what they write in `ClipFile`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cllmh_node.log import event
from cllmh_node.recorder.disk import PROBE_BYTES, Disk
from cllmh_node.recordings import BusyError, RetentionError, Space
from cllmh_node.reports import Spool
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Policy, prune

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often the disk is looked at, in seconds."""

RESERVE_S = 60.0
"""The reserve holds what all cameras send in so many seconds, recorded or not."""

LEAST_RESERVE_BYTES = 64 * 1024**2
MOST_RESERVE_SHARE = 0.05
"""It is never more than this part of the file system; retention's own floor, 10 % by default, is above it."""

AT_ONCE = 1.25
"""So much of the reserve is made free at a time, so that not every clip takes another one with it."""

RATE_OVER_S = 60.0
_BUSY_S = 0.05
_BUSY_TRIES = 40
_VAIN_S = 2.0


class RoomMaker:
    """Keeps the reserve free. `tick` is called by one thread."""

    def __init__(
        self,
        disk: Disk,
        root: Path,
        index: Path,
        policy: Policy,
        spool: Spool | None,
        *,
        mount_point: Path | None = None,
        reserve_bytes: int | None = None,
        received_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        """`mount_point`: the mount that `root` must be on. `reserve_bytes`: instead of the recording rate.
        `received_bytes`: of all cameras since the start.
        """
        self._disk = disk
        self._root = root
        self._index = index
        self._policy = policy
        self._mount_point = mount_point
        self._spool = spool
        self._fixed_bytes = reserve_bytes
        self._received_bytes = received_bytes
        self._received: deque[tuple[float, int]] = deque()
        self._problem: str | None = None
        self._is_short = False
        self._vain_until = 0.0
        self._stopping = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        """Look at the disk and make room, until told to stop."""
        self._stopping = stopping
        while not stopping.is_set():
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  whatever it is, without this thread the disk fills
                self._failed(f"{type(error).__name__}: {error}", exc_info=True)
            self._disk.wait_for_news(LOOK_EVERY_S)

    def tick(self) -> None:
        """Look once; make room where the disk lacks it."""
        disk = self._disk
        disk.look()
        if disk.is_absent or (disk.problem is not None and not disk.wants_room):
            return
        try:
            space = Space.of(self._root)
        except OSError as error:
            disk.refused(error)
            return
        reserve_bytes = self.reserve_bytes(space)
        is_urgent = disk.wants_room
        if not is_urgent and space.free_bytes >= reserve_bytes:
            self._is_short = False
            return
        if time.monotonic() < self._vain_until:
            return
        floor_bytes = int(AT_ONCE * reserve_bytes)
        if is_urgent:  # refused although there is room by the numbers: a quota, inodes, blocks kept for root
            floor_bytes = max(floor_bytes, space.free_bytes + max(PROBE_BYTES, reserve_bytes // 4))
        disk.room_made()
        self._make_room(floor_bytes)
        if disk.problem is not None:
            disk.look()

    def reserve_bytes(self, space: Space) -> int:
        """Return what is to be free at all times, in bytes."""
        if self._fixed_bytes is not None:
            return self._fixed_bytes
        now, received = time.monotonic(), self._received
        received.append((now, self._received_bytes()))
        while now - received[0][0] > RATE_OVER_S:
            received.popleft()
        seconds = received[-1][0] - received[0][0]
        rate = max(0, received[-1][1] - received[0][1]) / seconds if seconds else 0.0
        most_bytes = MOST_RESERVE_SHARE * space.total_bytes
        return int(min(most_bytes, max(LEAST_RESERVE_BYTES, RESERVE_S * rate)))

    def _make_room(self, floor_bytes: int) -> None:
        """Prune by policy until so much is free, or another pruner has made it so."""
        policy = replace(self._policy, min_free_bytes=max(floor_bytes, self._policy.min_free_bytes or 0))
        for _ in range(_BUSY_TRIES):
            try:
                outcome = prune(self._root, policy, self._index, mount_point=self._mount_point)
            except BusyError:
                if self._stopping.wait(_BUSY_S):
                    return
                if _free_bytes(self._root) >= floor_bytes:
                    return
                continue
            except (RetentionError, OSError) as error:
                self._failed(str(error))
                return
            self._problem = None
            report_deleted(self._spool, outcome)
            if not outcome.deleted:
                self._vain_until = time.monotonic() + _VAIN_S
            lacks_bytes = floor_bytes - outcome.after.free_bytes
            is_short = outcome.short_bytes > 0 and lacks_bytes > 0
            if is_short and not self._is_short:
                event(logger, "disk_short", level=logging.ERROR, short_bytes=lacks_bytes)
            self._is_short = is_short
            return

    def _failed(self, problem: str, *, exc_info: bool = False) -> None:
        """Say once why no room was made, and try again a little later."""
        if problem != self._problem:
            event(logger, "prune_failed", level=logging.ERROR, exc_info=exc_info, text=problem)
        self._problem = problem
        self._vain_until = time.monotonic() + _VAIN_S


def _free_bytes(path: Path) -> int:
    try:
        return Space.of(path).free_bytes
    except OSError:  # the next look says what is wrong
        return 0
