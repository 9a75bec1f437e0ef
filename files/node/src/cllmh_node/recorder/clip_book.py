"""One camera's clips, one after the other: opened, paused, cut and closed; and the gaps in which the disk refuses."""

import logging
from dataclasses import replace
from pathlib import Path

import av.error

from cllmh_node.clips.index import ClipRow, Importance
from cllmh_node.clips.reconcile import playable_seconds
from cllmh_node.clips.writer import ClipWriter, ClosedClip
from cllmh_node.log import event
from cllmh_node.recorder.gaps import GapBook
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.time_line import TimeLine
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame

logger = logging.getLogger(__name__)

DISK_RETRY_S = 5.0
"""How long to wait after the disk refused a clip, in seconds."""


class ClipBook:
    """At most one open clip of one camera. A disk that refuses is a gap, and never an exception."""

    def __init__(self, settings: CameraSettings, recordings_dir: Path, ledger: Ledger, line: TimeLine) -> None:
        self._settings = settings
        self._recordings_dir = recordings_dir
        self._ledger = ledger
        self._line = line
        self._disk_gap = GapBook(settings.name, ledger)
        self._overload_gap = GapBook(settings.name, ledger)
        self._clip: ClipWriter | None = None
        self._importance: Importance = "motion"
        self._peak_score = 0.0
        self._written_at = 0.0
        self._paused_at: float | None = None
        self._event_ended_at = 0.0
        self._retry_disk_at = 0.0
        self.closed = 0
        """How many clips were closed."""

    @property
    def is_open(self) -> bool:
        """Whether a file is being written."""
        return self._clip is not None

    def continues(self, since: float) -> bool:
        """Whether an event that began at the unix time `since` belongs into the open clip."""
        if self._paused_at is None:
            return self._clip is not None
        near = since - self._event_ended_at <= self._settings.merge_gap_s
        return near or since - self._settings.pre_roll_s <= self._paused_at

    def take(self, frame: EncodedFrame, ring: PacketRing, importance: Importance, score: float = 0.0) -> None:
        """Continue the clip with a frame that is in the ring already, or cut it there where it is time to."""
        clip = self._clip
        if clip is None:
            return
        is_less = importance == "continuous" and self._importance != "continuous"
        try:
            if self._paused_at is not None:
                self._resume(clip, ring)
            elif frame.is_keyframe and (clip.seconds >= self._settings.max_clip_s or is_less):
                self.close()
                self.open(frame.at, ring, importance)
            else:
                clip.write(frame)
                self._written_at = frame.at
        except (OSError, av.error.FFmpegError) as error:
            self._disk_failed(error, frame.at)
        if importance == "motion" and self._importance == "continuous" and self._clip is not None:
            self._importance = importance
            self._ledger.clip_matters(self._settings.name, self._clip.path.as_posix(), importance)
        self._peak_score = max(self._peak_score, score)

    def take_audio(self, frame: EncodedFrame) -> None:
        """Continue the clip with sound."""
        if self._clip is not None and self._paused_at is None:
            try:
                self._clip.write(frame)
            except (OSError, av.error.FFmpegError) as error:
                self._disk_failed(error, frame.at)

    def open(self, since: float, ring: PacketRing, importance: Importance, score: float = 0.0) -> None:
        """Begin a clip with the keyframe before the unix time `since`, or where the last clip ended."""
        self.close()
        frames = [frame for frame in ring.since(since) if frame.at > self._written_at]
        while frames and not frames[0].is_keyframe:
            frames.pop(0)
        if not frames or frames[-1].at < self._retry_disk_at:
            return
        start = self._line.at(frames[0].at)
        self._say_what_is_missing(max(since, self._written_at), frames[0].at, ring)
        try:
            self._clip = ClipWriter(self._recordings_dir, self._settings.name, frames[0].info, start)
            self._importance, self._peak_score = importance, score
            self._ledger.clip_opened(self._settings.name, self._clip.path.as_posix(), importance)
            for frame in frames:
                self._clip.write(frame)
                self._written_at = frame.at
        except (OSError, av.error.FFmpegError) as error:
            self._disk_failed(error, frames[-1].at)
        else:
            self._disk_gap.close(start)

    def _say_what_is_missing(self, wanted_at: float, begins_at: float, ring: PacketRing) -> None:
        """Put down as a gap what a clip needed and the ring had no memory for."""
        if wanted_at < min(ring.lost_until, begins_at):
            self._overload_gap.open("overload", self._line.at(wanted_at))
            self._overload_gap.close(self._line.at(begins_at))
            event(
                logger,
                "ring_too_small",
                level=logging.WARNING,
                camera=self._settings.name,
                seconds=round(begins_at - wanted_at, 1),
                ring_max_bytes=self._settings.ring_max_bytes,
            )

    def pause(self, frame: EncodedFrame, event_ended_at: float, longest_gop_s: float) -> None:
        """Leave a frame out, and close the clip once no event can join it any more.

        `event_ended_at`: when motion ended, in unix seconds. The next one shows up with its keyframe, and is known to
        be one up to `confirm_s` later.
        """
        self._disk_gap.close(frame.at)
        if self._clip is None:
            return
        if self._paused_at is None:
            self._paused_at, self._event_ended_at = frame.at, event_ended_at
        merge_gap_s = self._settings.merge_gap_s
        if (
            frame.at - event_ended_at >= merge_gap_s + self._settings.motion.confirm_s + longest_gop_s
            or not merge_gap_s
        ):
            self.close()

    def forget_written(self) -> None:
        """Say that frames of another stream follow, whose times need not be later than those written."""
        self._written_at = 0.0

    def close(self) -> None:
        """Finish the clip, if there is one."""
        clip, self._clip = self._clip, None
        self._paused_at = None
        if clip is None:
            return
        try:
            self._closed(clip.close())
        except (OSError, av.error.FFmpegError) as error:
            self._clip = clip
            self._disk_failed(error, self._written_at)

    def _resume(self, clip: ClipWriter, ring: PacketRing) -> None:
        """Write what came during the pause; where the ring has not all of it any more, a new clip begins."""
        assert self._paused_at is not None
        missed = [
            frame
            for frame in ring.since(self._paused_at)
            if frame.at > self._written_at and (frame.at >= self._paused_at or not frame.is_audio)
        ]
        if not missed or missed[0].at > self._paused_at:
            importance, since = self._importance, self._paused_at
            self.open(since, ring, importance)
            return
        self._paused_at = None
        for frame in missed:
            clip.write(frame)
            self._written_at = frame.at

    def _disk_failed(self, error: Exception, at: float) -> None:
        """Keep what is on the disk and try again later; the camera is watched on."""
        text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        event(logger, "clip_write_failed", level=logging.ERROR, camera=self._settings.name, text=text)
        clip, self._clip = self._clip, None
        self._paused_at = None
        if clip is not None:
            self._closed(self._what_is_left(clip.abandon()))
        self._retry_disk_at = at + DISK_RETRY_S
        self._disk_gap.open("disk", self._line.at(at))

    def _what_is_left(self, clip: ClosedClip) -> ClosedClip:
        """Return the clip as far as it has come onto the disk."""
        try:
            seconds = playable_seconds(self._recordings_dir / clip.path) or 0.0
        except OSError:
            seconds = 0.0
        return replace(clip, end=clip.start + min(seconds, clip.seconds))

    def _closed(self, clip: ClosedClip) -> None:
        self._line.passed(clip.end)
        if clip.seconds <= 0 or clip.size_bytes <= 0:
            self._ledger.clip_dropped(self._settings.name)
            return
        self.closed += 1
        row = ClipRow(
            self._settings.name,
            clip.path.as_posix(),
            clip.start,
            clip.end,
            clip.size_bytes,
            self._importance,
            round(self._peak_score, 4),
        )
        self._ledger.clip_closed(row)
