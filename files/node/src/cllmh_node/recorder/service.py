"""The recorder as a service: it owns the cameras' threads, the index and the reports."""

import json
import logging
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from types import TracebackType

import cv2

from cllmh_node.clips.index import ClipIndex
from cllmh_node.clips.naming import iso_time
from cllmh_node.clips.reconcile import index_unknown_clips
from cllmh_node.config import ConfigError, read_secret
from cllmh_node.log import event
from cllmh_node.recorder.camera_thread import CameraThread
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.settings import CameraSettings, RecorderConfig
from cllmh_node.recorder.states import CameraState
from cllmh_node.recordings import MARKER
from cllmh_node.reports import Spool
from cllmh_node.systemd import notify, watchdog_interval_s

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 4.0
"""Threads that do not end within this time after SIGTERM are left; they are connecting and hold no clip."""

STUCK_S = 45.0
"""A camera's thread without a sign of life for so long is stuck: systemd's watchdog is no longer served."""

_TICK_S = 1.0
_STATUS_FILE_EVERY_S = 5.0
_WATCHED_EVERY_S = 5.0
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class RecorderService:
    """Runs all cameras of a configuration in this process."""

    def __init__(self, config: RecorderConfig) -> None:
        """Prepare directories and index; raise ConfigError when that is not possible."""
        self._config = config
        for camera in config.cameras:
            if camera.password_file is not None:
                read_secret(camera.password_file)
        try:
            config.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._index = ClipIndex(config.index_path)
            _check_recordings_dir(config.recordings_dir, is_first_run=self._index.is_empty())
        except OSError as error:
            raise ConfigError(f"{error.filename}: cannot be made or written: {error.strerror}") from error
        except sqlite3.Error as error:
            raise ConfigError(f"{config.index_path}: cannot be used: {error}") from error
        spool = Spool(config.spool_dir) if config.spool_dir is not None else None
        self._ledger = Ledger(self._index, spool)
        self._stopping = threading.Event()
        self._threads: list[CameraThread] = []

    def run(self) -> int:
        """Record until SIGTERM or SIGINT; return the exit code."""
        cv2.setNumThreads(1)  # the pictures are tiny: OpenCV's own threads would cost more than they give
        # Blocked before any thread starts, so that all inherit it and `sigtimedwait` below gets the signals.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        threading.excepthook = _log_thread_failure
        self._index_earlier_clips()
        self._threads = [self._start(camera, is_first=True) for camera in self._config.cameras]
        event(logger, "recorder_started", cameras=len(self._threads))
        notify(f"READY=1\nSTATUS={len(self._threads)} cameras")
        try:
            self._supervise()
        finally:
            notify("STOPPING=1")
            self._stop()
        event(logger, "recorder_stopped")
        return 0

    def _index_earlier_clips(self) -> None:
        for camera in self._config.cameras:
            added = index_unknown_clips(self._index, self._config.recordings_dir, camera.name)
            if added:
                event(logger, "clips_indexed", camera=camera.name, count=len(added))

    def _start(self, camera: CameraSettings, *, is_first: bool) -> CameraThread:
        left_open = self._index.last_open_gap(camera.name)
        pipeline = CameraPipeline(camera, self._config.recordings_dir, self._ledger, left_open=left_open)
        watched_until = self._index.watched_until(camera.name)
        if is_first and left_open is None and watched_until is not None:
            pipeline.restarted(watched_until)
        pipeline.announce()
        thread = CameraThread(camera, pipeline, self._stopping)
        thread.start()
        return thread

    def _supervise(self) -> None:
        """Serve the watchdog, report, and start again what failed, until a signal comes."""
        watchdog_s = watchdog_interval_s() or float("inf")
        next_watchdog = next_watched = next_file = time.monotonic()
        next_status = time.monotonic() + self._config.status_every_s
        while signal.sigtimedwait(_STOP_SIGNALS, min(_TICK_S, watchdog_s)) is None:
            now = time.monotonic()
            for number, thread in enumerate(self._threads):
                if not thread.is_alive():
                    self._threads[number] = self._start(thread.settings, is_first=False)
            if now >= next_watchdog and all(now - thread.alive_at < STUCK_S for thread in self._threads):
                notify("WATCHDOG=1")
                next_watchdog = now + watchdog_s
            if now >= next_watched:
                self._remember_watched()
                next_watched = now + _WATCHED_EVERY_S
            if now >= next_file:
                self._write_status_file()
                next_file = now + _STATUS_FILE_EVERY_S
            if now >= next_status:
                for thread in self._threads:
                    self._ledger.status(thread.pipeline.status)
                next_status = now + self._config.status_every_s

    def _remember_watched(self) -> None:
        statuses = [thread.pipeline.status for thread in self._threads]
        until = {
            status.camera: status.last_frame_at
            for status in statuses
            if status.last_frame_at is not None and status.state is not CameraState.LOST
        }
        if until:
            self._ledger.watched(until)

    def _write_status_file(self) -> None:
        """Say how the cameras are to other programs on this node, such as the HDD monitor's health page."""
        cameras = {thread.settings.name: thread.pipeline.status.as_report() for thread in self._threads}
        text = json.dumps({"at": iso_time(time.time()), "pid": os.getpid(), "cameras": cameras})
        temporary = self._config.status_path.with_suffix(".tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._config.status_path)
        except OSError as error:  # a full disk; who reads the file sees that it is old
            event(logger, "status_not_written", level=logging.ERROR, path=error.filename, text=error.strerror)

    def _stop(self) -> None:
        """Stop all cameras and close their clips."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._remember_watched()
        self._index.close()


def _check_recordings_dir(path: Path, *, is_first_run: bool) -> None:
    """Make the recordings directory and its marker at the first run; later both must be there.

    The marker tells the mounted disk from the empty directory below it: without it nothing is recorded, or the
    system's own disk would be filled.
    """
    marker = path / MARKER
    if is_first_run:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        marker.touch(mode=0o640)
    elif not marker.exists():
        raise ConfigError(
            f"recordings_dir: {path}: has no file {MARKER}, but the index has clips in it. Is its disk mounted? "
            "If this is a new, empty disk, create the file."
        )


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Log what ended a camera's thread; the supervisor starts it again."""
    if failure.exc_value is None:
        return
    error: tuple[type[BaseException], BaseException, TracebackType | None] = (
        failure.exc_type,
        failure.exc_value,
        failure.exc_traceback,
    )
    camera = failure.thread.name.removeprefix("camera-") if failure.thread else None
    event(logger, "camera_thread_failed", level=logging.ERROR, exc_info=error, camera=camera)
