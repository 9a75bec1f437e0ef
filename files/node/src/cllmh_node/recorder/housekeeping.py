"""What a shard does beside recording: rows and reports in their rhythm, and mending what an earlier run left."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from cllmh_node.clips.backup import BACKUP, back_up
from cllmh_node.clips.index import ClipIndex
from cllmh_node.clips.reconcile import mend, mend_clip, mend_newest_clip
from cllmh_node.log import event
from cllmh_node.recorder.auth_gate import AuthGate
from cllmh_node.recorder.camera_thread import CameraThread
from cllmh_node.recorder.disk import Disk
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.overload import OverloadRule
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.room import RoomMaker
from cllmh_node.recorder.schedule import mode_at
from cllmh_node.recorder.settings import CameraSettings, RecorderConfig
from cllmh_node.recorder.time_line import LONGEST_HOLD_S
from cllmh_node.reports import Spool

logger = logging.getLogger(__name__)

SPANS_EVERY_S = 2.0
"""How often it is put down until when each camera is watched, in seconds: so much of quiet time a kill takes."""

UNWRITTEN_S = 2.0
"""At the most so much of a clip is not in its file when the recorder is killed: a fragment and what follows it."""

BACKUP_EVERY_S = 60.0
"""How often the index is copied, in seconds: so much of its gaps, labels and importance a loss can take."""

BACKUP_SHARE = 0.005
"""A large one is copied more rarely: copying takes at most this part of the time."""

BACKUP_AT_STOP_BYTES = 8_000_000
"""An index of up to so many bytes is copied when the recorder stops, too; a larger one could take too long then."""

TRUSTED_S = 600.0
"""A password that was right so long ago is taken to be right still, in seconds."""

_TICK_S = 1.0


class Housekeeper:
    """Owns the ledger of a shard. A slow disk may stop its thread, but not the shard's signs of life."""

    def __init__(
        self,
        config: RecorderConfig,
        index: ClipIndex,
        ledger: Ledger,
        stopping: threading.Event,
        *,
        spool: Spool | None,
        shard: int,
        shards: int,
    ) -> None:
        """`shard`: its number, from 0; `shards`: how many there are."""
        self._config = config
        self._index = index
        self._ledger = ledger
        self._stopping = stopping
        self._disk = Disk(config.recordings_dir, config.mount_point)
        self._room = RoomMaker(
            self._disk,
            config.recordings_dir,
            config.index_path,
            config.retention.policy(),
            spool,
            mount_point=config.mount_point,
            reserve_bytes=config.reserve_bytes,
            # Of all processes: the cameras are dealt out evenly.
            received_bytes=lambda: shards * sum(thread.pipeline.counters.bytes for thread in self._threads),
        )
        self._shard = shard
        self._zone = config.zone
        self._began = time.time()
        self._threads: Sequence[CameraThread] = ()
        self._helpers: list[threading.Thread] = []
        self._gate = AuthGate(shards)
        self._overload = OverloadRule()
        self._backup_problem: str | None = None
        self._busy = 0.0
        self._used_s = time.process_time()
        self._judged_at = time.monotonic()

    def thread_for(self, camera: CameraSettings) -> CameraThread:
        """Return a thread for a camera, not started yet, that goes on where the last one, or an earlier run, ended."""
        left_over = self._index.open_clip(camera.name)
        cut_off = None
        if left_over is not None:
            # At once, since it tells when the gap begins. All other files have time.
            cut_off = mend_clip(self._index, self._config.recordings_dir, *left_over)
            self._index.clip_ended(camera.name)
        latest = time.time() + LONGEST_HOLD_S
        watched_until = self._index.watched_until(camera.name, latest)
        if not self._index.has_clips(camera.name):  # a new camera, or a new index
            mend_newest_clip(self._index, self._config.recordings_dir, camera.name)
            watched_until = self._index.watched_until(camera.name, latest)
        if cut_off is not None and watched_until is not None and watched_until - cut_off.end <= UNWRITTEN_S:
            # What was seen but not written any more is lost, not quiet.
            watched_until = cut_off.end
        left_open = self._index.last_open_gap(camera.name)
        if watched_until is not None and (left_open is None or left_open.cause != "auth_failed"):
            self._trust(camera, watched_until)
        pipeline = CameraPipeline(
            camera,
            self._config.recordings_dir,
            self._ledger,
            left_open=left_open,
            watched_until=watched_until,
            was_recording=left_over is not None and left_over[1] != "continuous",
            mode_at=partial(mode_at, camera, zone=self._zone),
            disk=self._disk,
        )
        pipeline.announce()
        return CameraThread(camera, pipeline, self._stopping, self._gate)

    def _trust(self, camera: CameraSettings, watched_until: float) -> None:
        """Let a camera connect at once whose password was right until a moment ago and has not been changed since."""
        file = camera.password_file
        try:
            changed_at = 0.0 if file is None else file.stat().st_mtime
        except OSError:
            return
        if changed_at < watched_until and time.time() - watched_until < TRUSTED_S:
            self._gate.trust(camera.address)

    def start(self, threads: Sequence[CameraThread]) -> None:
        """Begin, with threads that may be replaced in their list."""
        self._threads = threads
        works: list[tuple[str, Callable[[], object]]] = [
            ("housekeeping", self._keep),
            ("mending", self._mend),
            ("room", partial(self._room.run, self._stopping)),
        ]
        if self._shard == 0:
            works.append(("backup", self._back_up))
        for name, work in works:
            helper = threading.Thread(target=work, name=name, daemon=True)
            helper.start()
            self._helpers.append(helper)

    def finish(self) -> None:
        """Put down the last spans; the cameras have stopped."""
        self._disk.wake()
        for helper in self._helpers:
            helper.join(1.0)
        self._remember_spans()
        with suppress(OSError):
            if self._config.index_path.stat().st_size <= BACKUP_AT_STOP_BYTES:
                self._copy_index()

    def state(self) -> dict[str, Any]:
        """Return how the cameras are, as plain values."""
        cameras = {thread.settings.name: thread.pipeline.state() for thread in self._threads}
        shard = {"look_at_every": self._overload.stride, "busy": round(self._busy, 3), "disk": self._disk.problem}
        return {"cameras": cameras, "shard": shard}

    def relieve(self) -> None:
        """Look at fewer keyframes while there is too much to do; called every second."""
        now, used_s = time.monotonic(), time.process_time()
        self._busy = (used_s - self._used_s) / max(0.001, now - self._judged_at)
        self._judged_at, self._used_s = now, used_s
        lags_s = [thread.pipeline.lag_s for thread in self._threads if thread.pipeline.span is not None]
        before = self._overload.stride
        stride = self._overload.judge(lags_s, self._busy)
        for thread in self._threads:
            thread.pipeline.stride = stride
        if before == 1 < stride:
            lag_s = round(max(lags_s), 1)
            event(logger, "overload", level=logging.WARNING, shard=self._shard, lag_s=lag_s, busy=round(self._busy, 2))
        elif stride == 1 < before:
            event(logger, "overload_ended", shard=self._shard)

    def _keep(self) -> None:
        next_spans = time.monotonic()
        next_status = time.monotonic() + self._config.status_every_s
        while not self._stopping.wait(_TICK_S):
            now = time.monotonic()
            if now >= next_spans:
                self._remember_spans()
                next_spans = now + SPANS_EVERY_S
            if now >= next_status:
                for thread in self._threads:
                    self._ledger.status(thread.pipeline.status)
                next_status = now + self._config.status_every_s

    def _remember_spans(self) -> None:
        spans = [span for thread in self._threads if (span := thread.pipeline.span) is not None]
        if spans:
            self._ledger.spans(spans)

    def _back_up(self) -> None:
        wait_s = BACKUP_EVERY_S
        while not self._stopping.wait(wait_s):
            wait_s = max(BACKUP_EVERY_S, self._copy_index() / BACKUP_SHARE)

    def _copy_index(self) -> float:
        """Copy the index beside the recordings, when their disk is there; return how long that took in seconds."""
        began = time.monotonic()
        problem: str | None = None
        try:
            self._disk.check()
            back_up(self._config.index_path, self._config.recordings_dir)
        except (OSError, sqlite3.Error) as error:
            problem = str(error)
            # One that cannot be read has no class of its own; the copy that there is stays.
            self._ledger.is_index_damaged |= type(error) is sqlite3.DatabaseError
        if problem is not None and self._backup_problem is None:
            path = self._config.recordings_dir / BACKUP
            event(logger, "index_not_copied", level=logging.WARNING, path=path, text=problem)
        self._backup_problem = problem
        return time.monotonic() - began

    def _mend(self) -> None:
        """Bring rows and files together; recording goes on meanwhile."""
        began = time.monotonic()
        added = removed = unplayable = 0
        for camera in self._cameras_to_mend():
            try:
                done = mend(
                    self._index,
                    self._config.recordings_dir,
                    camera,
                    written_before=self._began,
                    stopping=self._stopping.is_set,
                )
            except (OSError, sqlite3.Error) as error:
                event(logger, "mending_failed", level=logging.ERROR, camera=camera, text=str(error))
                continue
            added += len(done.added)
            removed += len(done.removed)
            unplayable += len(done.unplayable)
        if added or removed or unplayable:
            seconds = round(time.monotonic() - began, 1)
            event(logger, "index_mended", added=added, removed=removed, unplayable=unplayable, seconds=seconds)

    def _cameras_to_mend(self) -> list[str]:
        """Return this shard's cameras; the first shard takes the folders of former cameras, too."""
        mine = [thread.settings.name for thread in self._threads]
        if self._shard != 0:
            return mine
        configured = {camera.name for camera in self._config.cameras}
        try:
            folders = sorted(path.name for path in self._config.recordings_dir.iterdir() if path.is_dir())
        except OSError:
            folders = []
        former = [name for name in folders if name not in configured and not name.startswith((".", "lost+found"))]
        return mine + former
