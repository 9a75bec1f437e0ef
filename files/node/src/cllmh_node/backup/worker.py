"""The processes of a batch: one records one channel at a time, and lives no longer than the run.

They are forked, so that what the run has imported need not be imported again by each (0.4 s of CPU). What they share
with it is memory that needs no lock: whether to stop, and how far each channel is.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue
from typing import Any

from cllmh_node.backup.channel import ChannelJob, ChannelResult
from cllmh_node.backup.load import Dynamic
from cllmh_node.backup.settings import BackupSettings

FORK = multiprocessing.get_context("fork")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

WAITING, RECORDING, ENDED = 0, 1, 2


class Slot(ctypes.Structure):
    """How far one channel is."""

    _fields_ = (("state", ctypes.c_int), ("pid", ctypes.c_int), ("seconds", ctypes.c_double), ("bytes", ctypes.c_int64))


class Board:
    """What the processes of a run share: a slot for each channel, and whether to stop."""

    def __init__(self, channels: Sequence[int]) -> None:
        """Make it before the processes."""
        self._places = {channel: place for place, channel in enumerate(channels)}
        self._slots = FORK.RawArray(Slot, len(channels))
        self._stop = FORK.RawValue(ctypes.c_bool, False)
        self.lines: SimpleQueue[logging.LogRecord] = FORK.SimpleQueue()

    @property
    def stopping(self) -> bool:
        """Whether all must end."""
        return bool(self._stop.value)

    def stop(self) -> None:
        """Tell all to end."""
        self._stop.value = True

    def slot(self, channel: int) -> Any:
        """Return the slot of a channel."""
        return self._slots[self._places[channel]]

    @property
    def slots(self) -> list[Any]:
        """All of them."""
        return list(self._slots)

    def forget(self, channels: Sequence[int]) -> None:
        """Begin anew with channels whose process died."""
        for channel in channels:
            self.slot(channel).state = WAITING

    def kill(self) -> None:
        """End the processes that still record, at once."""
        for slot in self._slots:
            if slot.state == RECORDING:
                os.kill(slot.pid, signal.SIGKILL)


class _Ours:
    """What a process got when it began; functions of a pool cannot be given what only a fork hands over."""

    board: Board | None = None
    slot: Any = None
    told_to_end = False


def begin(board: Board, parent: int) -> None:
    """Begin a process of the pool: end with the run, leave signals to it, hand it the log lines."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    _Ours.board = board
    logging.getLogger().handlers[:] = [_ToRun(board.lines)]


def work(settings: BackupSettings, channel: int, dynamic: Dynamic) -> ChannelResult:
    """Back up one channel in a process of the pool."""
    board = _Ours.board
    assert board is not None
    slot = _Ours.slot = board.slot(channel)
    slot.pid, slot.state = os.getpid(), RECORDING

    def tell(seconds: float, size_bytes: int) -> None:
        slot.seconds, slot.bytes = seconds, size_bytes

    try:
        return ChannelJob(settings, channel, dynamic, lambda: board.stopping or _Ours.told_to_end, tell).run()
    finally:
        slot.state = ENDED
        if _Ours.told_to_end:
            os._exit(1)


def _end(_number: int, _frame: object) -> None:
    """Finish the file first: the pool ends all its processes in this way when one of them was killed."""
    _Ours.told_to_end = True
    if _Ours.slot is None or _Ours.slot.state != RECORDING:
        os._exit(1)


class _ToRun(logging.Handler):
    """Hands records to the run, which writes them: one process alone may rotate the file."""

    def __init__(self, lines: SimpleQueue[logging.LogRecord]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the pipe, which the run empties all the time."""
        record.exc_text = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        record.exc_info = None  # it cannot be sent
        self._lines.put(record)
