"""One camera's clips, one after the other: opened, paused, cut and closed; and the gaps in which the disk refuses."""

import errno
import logging
import math
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import av.error

from cllmh_node.clips.file import FULL
from cllmh_node.clips.index import ClipRow, Importance
from cllmh_node.clips.naming import clip_path
from cllmh_node.clips.reconcile import playable_seconds
from cllmh_node.clips.writer import ClipWriter, ClosedClip
from cllmh_node.log import event
from cllmh_node.recorder.disk import Disk
from cllmh_node.recorder.gaps import GapBook
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.time_line import TimeLine
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame

logger = logging.getLogger(__name__)

DISK_RETRY_S = 5.0
"""How long to wait after the disk refused a clip although it is well otherwise, in seconds."""

ROOM_RETRY_S = 0.2
"""How long to wait when there is no room to begin a clip; the ring has meanwhile what will be in it."""

ROOM_PATIENCE_S = 8.0
"""After so long without room to begin it is a gap; any ring holds as much."""

_NEVER = -math.inf
_JITTER_S = 0.01  # by which a frame's time of arrival may differ from its place in the clip; less than a frame lasts


class ClipBook:
    """At most one open clip of one camera. A disk that refuses is a gap, and never an exception."""

    def __init__(
        self,
        settings: CameraSettings,
        recordings_dir: Path,
        ledger: Ledger,
        line: TimeLine,
        disk: Disk | None = None,
    ) -> None:
        """`disk`: what is known of the disk, shared by all cameras of a process; without it, any folder is right."""
        self._disk = disk or Disk(recordings_dir, needs_marker=False)
        self._settings = settings
        self._recordings_dir = recordings_dir
        self._ledger = ledger
        self._line = line
        self._disk_gap = GapBook(settings.name, ledger)
        self._overload_gap = GapBook(settings.name, ledger)
        self._clip: ClipWriter | None = None
        self._importance: Importance = "motion"
        self._peak_score = 0.0
        self._begun_at = 0.0
        self._written_at = 0.0
        self._cut_off_at: float | None = None
        self._remnant: PurePosixPath | None = None
        self._no_room_since: float | None = None
        self._paused_at: float | None = None
        self._event_ended_at = 0.0
        self._retry_disk_at = _NEVER
        self.refusal: str | None = None
        """Why the disk does not take what is to be recorded; None when it does."""
        self.closed = 0
        """How many clips were closed."""

    @property
    def is_open(self) -> bool:
        """Whether a file is being written."""
        return self._clip is not None

    @property
    def is_cut_off(self) -> bool:
        """Whether disk or memory refused something that is to be recorded still."""
        return self._cut_off_at is not None

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
        if self._disk.is_absent:
            self._leave(frame.at)
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
        if self.refusal is not None and self._disk.problem is not None:
            self._retry_disk_at = _NEVER  # as soon as it is well
            return
        if self._cut_off_at is not None:
            since = min(since, self._cut_off_at)
        frames = [frame for frame in ring.since(since) if frame.at > self._written_at]
        while frames and not frames[0].is_keyframe:
            frames.pop(0)
        if not frames and ring.lost_until > since:
            # Not even one GOP fits into the ring: the clip begins with the next keyframe.
            self._cut_off_at = since
            self._overload_gap.open("overload", self._line.at(max(since, self._written_at)))
        if not frames or frames[-1].at < self._retry_disk_at:
            return
        start = self._line.at(frames[0].at)
        try:
            self._disk.check()
            self._clear_remnant(start)
            self._clip = ClipWriter(
                self._recordings_dir, self._settings.name, frames[0].info, start, self._disk.need_room
            )
        except (OSError, av.error.FFmpegError) as error:
            self._not_begun(error, max(since, self._written_at), frames[-1].at)
            return
        self._begun_at = frames[0].at
        self._say_what_is_missing(max(since, self._written_at), frames[0].at, ring)
        try:
            self._importance, self._peak_score = importance, score
            self._ledger.clip_opened(self._settings.name, self._clip.path.as_posix(), importance)
            for frame in frames:
                self._clip.write(frame)
                self._written_at = frame.at
        except (OSError, av.error.FFmpegError) as error:
            self._disk_failed(error, frames[-1].at)
        else:
            self._disk_gap.close(start)
            self._cut_off_at = self._no_room_since = self.refusal = None

    def _say_what_is_missing(self, wanted_at: float, begins_at: float, ring: PacketRing) -> None:
        """Put down as a gap what a clip needed and the ring had no memory for."""
        if self._disk_gap.opened_at is not None:  # what the ring could not hold so long is in that gap
            return
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
        self._end_cut_off(frame.at)
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

    def end(self, at: float) -> None:
        """Close the clip, and the gap of a disk that refuses: from the unix time `at` on there is nothing to record."""
        self.close()
        self._end_cut_off(at)

    def _end_cut_off(self, at: float) -> None:
        """End the time in which something was to be recorded and could not be."""
        if self._cut_off_at is None:
            return
        if self._overload_gap.close(at) is None:
            self._disk_gap.open("disk", self._line.at(self._cut_off_at))
            self._disk_gap.close(at)
        self._cut_off_at = self._no_room_since = self.refusal = None

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

    def _not_begun(self, error: Exception, since: float, at: float) -> None:
        """Keep in mind what a clip was to begin with; a disk that is merely full is given some time."""
        self._cut_off_at = since
        is_full = isinstance(error, OSError) and error.errno in FULL
        if is_full and self.refusal is None:
            self._no_room_since = at if self._no_room_since is None else self._no_room_since
            if at - self._no_room_since < ROOM_PATIENCE_S:
                self._disk.need_room()
                self._retry_disk_at = at + ROOM_RETRY_S
                return
        self._refused(error, at)

    def _disk_failed(self, error: Exception, at: float) -> None:
        """Keep what is on the disk and try again later; the camera is watched on."""
        clip, self._clip = self._clip, None
        self._paused_at = None
        self._cut_off_at = at
        if clip is not None:
            left = self._what_is_left(clip)
            self._remnant = left.path if left.seconds <= 0 else None
            self._closed(left)
            # What was not written any more may still be in the ring.
            self._cut_off_at = self._written_at = min(self._written_at, self._begun_at + left.seconds - _JITTER_S)
        self._refused(error, at)

    def _clear_remnant(self, start: float) -> None:
        """Delete what is left of a clip of which nothing was kept, when it begins once more, with the same name."""
        if self._remnant == clip_path(self._settings.name, start):
            (self._recordings_dir / self._remnant).unlink(missing_ok=True)
            self._remnant = None

    def _refused(self, error: Exception, at: float) -> None:
        """Begin a gap where the clip ends."""
        assert self._cut_off_at is not None
        text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        self._retry_disk_at = at + DISK_RETRY_S
        self._disk.refused(error)
        self._disk_gap.open("disk", self._line.at(self._cut_off_at))
        if text != self.refusal:
            self.refusal = text
            event(logger, "clip_write_failed", level=logging.ERROR, camera=self._settings.name, text=text)

    def _leave(self, at: float) -> None:
        """Close the clip of a disk that is not mounted any more: the next one would be on another disk."""
        self.close()
        if self._cut_off_at is None:
            self._cut_off_at = at
            self._refused(OSError(errno.ENODEV, self._disk.problem or os.strerror(errno.ENODEV)), at)

    def _what_is_left(self, writer: ClipWriter) -> ClosedClip:
        """Return an abandoned clip as far as it has come onto the disk."""
        clip = writer.abandon()
        try:
            seconds = playable_seconds(self._recordings_dir / clip.path) or 0.0
        except OSError:  # not even that can be asked of the disk
            seconds = writer.synced_s
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
