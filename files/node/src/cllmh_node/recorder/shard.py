"""One of the recorder's processes: the threads of its cameras, and what is written about them.

It is forked by the fork server and lives no longer than its supervisor: the kernel sends SIGTERM when that dies.
"""

import json
import logging
import signal
import socket
import threading
import time
from types import TracebackType

import cv2

from cllmh_node.clips.index import ClipIndex
from cllmh_node.log import event
from cllmh_node.recorder.housekeeping import Housekeeper
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.plan import INDEX_DAMAGED_CODE, Plan
from cllmh_node.recorder.settings import CameraSettings, RecorderConfig
from cllmh_node.reports import Spool

logger = logging.getLogger(__name__)

STUCK_S = 45.0
"""A camera's thread without a sign of life for so long is stuck: this process ends, and is started again."""

STOP_WITHIN_S = 4.0
"""Cameras whose clip is not closed so long after SIGTERM are left, in seconds."""

_LINGER_S = 0.5
"""So long a thread may take to end its session; it may be waiting for its camera, which cannot be interrupted."""

_TICK_S = 1.0
_STUCK_EXIT_CODE = 3
_LEFT_OPEN_EXIT_CODE = 5  # 4 is taken, see plan


class Shard:
    """Runs some of the cameras of a configuration in this process."""

    def __init__(self, config: RecorderConfig, cameras: tuple[CameraSettings, ...], number: int, shards: int) -> None:
        """`number`: 0 for the first shard, which also looks after folders of cameras that are no longer configured."""
        spool = Spool(config.spool_dir) if config.spool_dir is not None else None
        self._index = ClipIndex(config.index_path)
        self._stopping = threading.Event()
        self._ledger = Ledger(self._index, spool)
        self._keeper = Housekeeper(
            config, self._index, self._ledger, self._stopping, spool=spool, shard=number, shards=shards
        )
        self._threads = [self._keeper.thread_for(camera) for camera in cameras]

    def run(self, link: socket.socket) -> int:
        """Record until SIGTERM or until the supervisor is gone; return the exit code."""
        cv2.setNumThreads(1)  # the pictures are tiny: OpenCV's own threads would cost more than they give
        threading.excepthook = _log_thread_failure
        for thread in self._threads:
            thread.start()
        self._keeper.start(self._threads)
        code = self._watch(link)
        self._stop()
        is_all_closed = all(thread.is_closed for thread in self._threads)
        return code if code or is_all_closed else _LEFT_OPEN_EXIT_CODE

    def _watch(self, link: socket.socket) -> int:
        """Start again what failed, and tell the supervisor of it, until it is time to stop."""
        while signal.sigtimedwait({signal.SIGTERM}, _TICK_S) is None:
            if self._ledger.is_index_damaged:
                return INDEX_DAMAGED_CODE
            now = time.monotonic()
            for number, thread in enumerate(self._threads):
                if not thread.is_alive():
                    self._threads[number] = self._keeper.thread_for(thread.settings)
                    self._threads[number].start()
                elif now - thread.alive_at > STUCK_S:
                    event(logger, "camera_thread_stuck", level=logging.ERROR, camera=thread.settings.name)
                    return _STUCK_EXIT_CODE
            self._keeper.relieve()
            try:
                link.send(json.dumps(self._keeper.state()).encode(), socket.MSG_DONTWAIT)
            except BlockingIOError:  # the supervisor is late; it wants the newest anyway
                pass
            except OSError:
                return 0
        return 0

    def _stop(self) -> None:
        """Stop all cameras and close their clips."""
        self._stopping.set()
        began = time.monotonic()
        # Not left to the cameras' own threads, which may be waiting for a camera that has fallen silent.
        closers = [threading.Thread(target=thread.close, name=thread.name, daemon=True) for thread in self._threads]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(max(0.0, began + STOP_WITHIN_S - time.monotonic()))
        for thread in self._threads:
            thread.join(max(0.0, began + _LINGER_S - time.monotonic()))
        self._keeper.finish()


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Log what ended a camera's thread; it is started again."""
    if failure.exc_value is None:
        return
    error: tuple[type[BaseException], BaseException, TracebackType | None] = (
        failure.exc_type,
        failure.exc_value,
        failure.exc_traceback,
    )
    camera = failure.thread.name.removeprefix("camera-") if failure.thread else None
    event(logger, "camera_thread_failed", level=logging.ERROR, exc_info=error, camera=camera)


def run(config: RecorderConfig, plan: Plan, number: int, link: socket.socket) -> int:
    """Run the shard `number` of a plan in this process, SIGTERM being blocked; `link` leads to the supervisor."""
    names = plan.shards[number]
    cameras = tuple(camera for camera in config.cameras if camera.name in names)
    return Shard(config, cameras, number, len(plan.shards)).run(link)
