"""Where the recorder puts down what happened: the index on this node, the log, and reports for the hub."""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, Importance, SpanRow
from cllmh_node.clips.naming import iso_time
from cllmh_node.log import event
from cllmh_node.recorder.states import CameraState
from cllmh_node.reports import Spool

logger = logging.getLogger(__name__)

_MAX_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A camera as the hub shows it; times are unix seconds (UTC)."""

    camera: str
    channel: int | None
    state: CameraState
    since: float
    last_frame_at: float | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    error_cause: str | None = None
    error_text: str | None = None
    decode_plan: str | None = None
    """What is decoded while nothing moves: keyframes, dense, every_frame or sub_stream."""

    def as_report(self) -> dict[str, object]:
        """Return the status as reports carry it, times in ISO 8601."""
        error = None
        if self.error_cause is not None:
            error = {"cause": self.error_cause, "text": self.error_text or ""}
        return {
            "camera": self.camera,
            "channel": self.channel,
            "state": self.state.value,
            "since": iso_time(self.since),
            "last_frame_at": None if self.last_frame_at is None else iso_time(self.last_frame_at),
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "error": error,
        }


@dataclass(slots=True)
class Counters:
    """What a run of the recorder has seen of one camera; written by its thread only."""

    frames: int = 0
    bytes: int = 0
    looked_at: int = 0
    decoded: int = 0
    sessions: int = 0
    gaps: int = 0


class Ledger:
    """Takes what the cameras' threads have to say. A full disk stops none of them: index rows wait in memory."""

    def __init__(self, index: ClipIndex, spool: Spool | None) -> None:
        self._index = index
        self._spool = spool
        self._waiting: deque[Callable[[], object]] = deque(maxlen=_MAX_WAITING)
        self._spans: dict[tuple[str, float], SpanRow] = {}
        self._is_failing = False
        self._lock = threading.Lock()
        self.is_index_damaged = False
        """Whether nothing can be written any more until the index is built anew."""

    def clip_opened(self, camera: str, path: str, importance: Importance) -> None:
        """A file is being written."""
        self._write(lambda: self._index.clip_opened(camera, path, importance))
        event(logger, "clip_opened", camera=camera, path=path)

    def clip_matters(self, camera: str, path: str, importance: Importance) -> None:
        """The file that is being written has become more important."""
        self._write(lambda: self._index.clip_opened(camera, path, importance))

    def clip_dropped(self, camera: str) -> None:
        """Nothing of the file that was being written can be played."""
        self._write(lambda: self._index.clip_ended(camera))

    def clip_closed(self, clip: ClipRow) -> None:
        """A clip is complete."""
        self._write(lambda: self._index.add_clip(clip))
        self._write(lambda: self._index.clip_ended(clip.camera))
        event(
            logger,
            "clip_closed",
            camera=clip.camera,
            path=clip.path,
            seconds=round(clip.end - clip.start, 1),
            bytes=clip.size_bytes,
            peak_score=clip.peak_score,
        )
        self._report(
            "clip_closed",
            {
                "camera": clip.camera,
                "path": clip.path,
                "start": iso_time(clip.start),
                "end": iso_time(clip.end),
                "bytes": clip.size_bytes,
                "importance": clip.importance,
                "peak_score": clip.peak_score,
                "labels": list(clip.labels),
            },
        )

    def gap_opened(self, gap: GapRow) -> None:
        """A camera cannot be recorded from now on."""
        self._write(lambda: self._index.open_gap(gap))
        self._report_gap(gap)

    def gap_closed(self, gap: GapRow) -> None:
        """A gap that was opened has ended."""
        self._write(lambda: self._index.close_gap(gap))
        self._report_gap(gap)

    def status(self, status: CameraStatus) -> None:
        """A camera's state, when it changes and every minute."""
        self._report("camera_status", status.as_report())

    def spans(self, spans: Sequence[SpanRow]) -> None:
        """Cameras were watched, or off as they should be."""
        with self._lock:  # what waits is only moved on, so that it does not grow
            self._spans.update({(span.camera, span.start): span for span in spans})
        self._write()

    def _report_gap(self, gap: GapRow) -> None:
        end = None if gap.end is None else iso_time(gap.end)
        self._report("gap", {"camera": gap.camera, "start": iso_time(gap.start), "end": end, "cause": gap.cause})

    def _report(self, kind: str, data: dict[str, object]) -> None:
        if self._spool is not None:
            self._spool.put(kind, data)

    def _write(self, change: Callable[[], object] | None = None) -> None:
        """Make a change in the index, after those that could not be made yet."""
        with self._lock:
            if change is not None:
                self._waiting.append(change)
            try:
                self._write_waiting()
            except sqlite3.DatabaseError as error:  # disk full or away, or locked for long: with the next change again
                if self.is_index_damaged:
                    return
                # Full, locked and so on have classes of their own; a file that SQLite cannot read has not.
                self.is_index_damaged = type(error) is sqlite3.DatabaseError
                if not self._is_failing or self.is_index_damaged:
                    event(logger, "index_write_failed", level=logging.ERROR, error=str(error))
                self._is_failing = True
                with suppress(sqlite3.Error):  # an open file would keep a broken disk from being mounted anew
                    self._index.close()

    def _write_waiting(self) -> None:
        waiting = len(self._waiting)
        if self._is_failing:
            self._index.reopen()
        while self._waiting:
            self._waiting[0]()
            self._waiting.popleft()
        if self._spans:
            self._index.put_spans(list(self._spans.values()))
            self._spans.clear()
        if self._is_failing:
            self._is_failing = False
            event(logger, "index_written", waiting=waiting)
