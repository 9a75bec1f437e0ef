"""One camera, from encoded frames to clips: ring, watch, state and the clip that is being written."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import av.error

from cllmh_node.clips.index import ClipRow, GapRow
from cllmh_node.clips.writer import ClipWriter, ClosedClip
from cllmh_node.log import event
from cllmh_node.recorder.decoder import LumaDecoder
from cllmh_node.recorder.gaps import GapBook
from cllmh_node.recorder.ledger import CameraStatus, Ledger
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.states import WRITING, CameraState, next_state
from cllmh_node.recorder.watch import Look, MotionWatch, Sight
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo
from cllmh_node.rtsp.session import CameraError

logger = logging.getLogger(__name__)

DISK_RETRY_S = 5.0
"""How long to wait after the disk refused a clip, in seconds."""

_LEAST_GOP_S = 4.0  # room in the ring before the real length of a GOP is known


class CameraPipeline:
    """Fed by the thread that owns it with frames, in order, and with the news that the camera is lost."""

    def __init__(
        self, settings: CameraSettings, recordings_dir: Path, ledger: Ledger, *, left_open: GapRow | None = None
    ) -> None:
        """`left_open`: the gap of this camera that an earlier run left open."""
        self._settings = settings
        self._recordings_dir = recordings_dir
        self._ledger = ledger
        self._gap = GapBook(settings.name, ledger, left_open)
        self._disk_gap = GapBook(settings.name, ledger)
        self._ring = PacketRing(settings.ring_max_bytes)
        self._info: StreamInfo | None = None
        self._watch: MotionWatch | None = None
        self._clip: ClipWriter | None = None
        self._is_cut = False  # the stream changed in a clip: what it shows goes on in the next one
        self._peak_score = 0.0
        self._motion_at = 0.0
        self._written_at = 0.0
        self._retry_disk_at = 0.0
        self._started_at = time.time()
        self.status = CameraStatus(settings.name, settings.channel, CameraState.STARTING, self._started_at)
        """What can be said of the camera now; replaced as a whole, so that other threads may read it."""

    def announce(self) -> None:
        """Report the first state, and the gap since an earlier run (see `restarted`)."""
        self._ledger.status(self.status)

    def restarted(self, watched_until: float) -> None:
        """Say that nobody watched since the unix time `watched_until`, because the recorder did not run."""
        self._gap.open("restart", watched_until)

    def connected(self, info: StreamInfo) -> None:
        """A session is open; frames of this stream follow."""
        self._begin(info)
        event(
            logger,
            "camera_connected",
            camera=self._settings.name,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=info.fps,
        )

    def _begin(self, info: StreamInfo) -> None:
        """Take what a new session sends, or the same session after it changed: nothing older joins it."""
        self._is_cut = self._clip is not None
        self._close_clip()
        self._ring.clear()
        self._written_at = 0.0
        self._info = info
        decoder = LumaDecoder(info)
        if self._watch is None:
            self._watch = MotionWatch(self._settings.motion, decoder)
        else:
            self._watch.resume(decoder)
        self.status = replace(
            self.status, codec=info.codec, width=info.width or None, height=info.height or None, fps=info.fps
        )

    def feed(self, frame: EncodedFrame) -> None:
        """Take the next frame."""
        if frame.info is not self._info:
            self._begin(frame.info)
            self._changed(frame.info)
        assert self._watch is not None
        self._returned(frame.at)
        self._ring.append(frame, self._keep_s())
        if frame.is_audio:
            self._write_audio(frame)
            return
        look = self._watch.look(frame, self._ring, is_recording=self.status.state in WRITING)
        if look.sight is Sight.MOTION:
            self._peak_score = max(self._peak_score, look.score)
        if look.sight is Sight.MOTION or (look.sight is Sight.CLEAR and self.status.state is CameraState.RECORDING):
            # The first clear keyframe counts too: the motion ended somewhere before it, after the last look.
            self._motion_at = frame.at
        may_end = frame.is_keyframe and frame.at - self._motion_at >= self._settings.post_roll_s
        state = next_state(self.status.state, look.sight, may_end=may_end)
        self.status = replace(self.status, last_frame_at=frame.at)
        self._write(frame, look, state)
        self._enter(state, frame.at)

    def lost(self, error: CameraError) -> None:
        """The camera gives no video (any more)."""
        now = time.time()
        self._close_clip()
        self._ring.clear()
        since = self.status.last_frame_at or self._started_at
        if self._gap.open(error.cause, since, switched_at=now):
            event(
                logger,
                "camera_lost",
                level=logging.WARNING,
                camera=self._settings.name,
                cause=error.cause,
                text=error.text,
            )
        self.status = replace(self.status, error_cause=error.cause, error_text=error.text)
        self._enter(CameraState.LOST, now)

    def stop(self) -> None:
        """Close the clip; nothing is fed any more."""
        self._close_clip()

    def _changed(self, info: StreamInfo) -> None:
        event(
            logger,
            "stream_changed",
            camera=self._settings.name,
            codec=info.codec,
            width=info.width,
            height=info.height,
        )

    def _returned(self, at: float) -> None:
        gap_s = self._gap.close(at)
        if gap_s is not None:
            event(logger, "camera_returned", camera=self._settings.name, seconds=round(gap_s, 1))
        if self.status.error_cause is not None:
            self.status = replace(self.status, error_cause=None, error_text=None)

    def _enter(self, state: CameraState, at: float) -> None:
        if state is not self.status.state:
            self.status = replace(self.status, state=state, since=at)
            self._ledger.status(self.status)

    def _keep_s(self) -> float:
        """Seconds of frames for the pre-roll, the GOP before the suspicion, and the time it takes to confirm it."""
        settings = self._settings
        return settings.pre_roll_s + settings.motion.confirm_s + 2 * max(self._ring.longest_gop_s, _LEAST_GOP_S)

    def _write(self, frame: EncodedFrame, look: Look, state: CameraState) -> None:
        """Open, continue, cut or close the clip."""
        try:
            if state not in WRITING:
                self._is_cut = False
                self._close_clip()
                self._disk_gap.close(frame.at)
            elif self._clip is None:
                if look.sight is Sight.MOTION and frame.at >= self._retry_disk_at:
                    self._open_clip(look.since - self._settings.pre_roll_s)
                elif self._is_cut:
                    self._open_clip(frame.at)
            elif frame.is_keyframe and self._clip.seconds >= self._settings.max_clip_s:
                self._close_clip()
                self._open_clip(frame.at)
            else:
                self._clip.write(frame)
                self._written_at = frame.at
        except (OSError, av.error.FFmpegError) as error:
            self._disk_failed(error, frame.at)

    def _write_audio(self, frame: EncodedFrame) -> None:
        """Continue the clip with sound."""
        if self._clip is not None:
            try:
                self._clip.write(frame)
            except (OSError, av.error.FFmpegError) as error:
                self._disk_failed(error, frame.at)

    def _open_clip(self, wanted_at: float) -> None:
        """Begin a clip with the keyframe before `wanted_at`, or where the last clip ended."""
        assert self._info is not None
        frames = [frame for frame in self._ring.since(wanted_at) if frame.at > self._written_at]
        while frames and not frames[0].is_keyframe:
            frames.pop(0)
        if not frames:
            return
        self._is_cut = False
        self._clip = ClipWriter(self._recordings_dir, self._settings.name, self._info, frames[0].at)
        event(logger, "clip_opened", camera=self._settings.name, path=self._clip.path)
        for frame in frames:
            self._clip.write(frame)
            self._written_at = frame.at
        self._disk_gap.close(frames[0].at)

    def _close_clip(self) -> None:
        """Finish the clip, if there is one."""
        clip, self._clip = self._clip, None
        if clip is None:
            return
        try:
            self._closed(clip.close())
        except (OSError, av.error.FFmpegError) as error:
            self._clip = clip
            self._disk_failed(error, self._written_at)

    def _disk_failed(self, error: Exception, at: float) -> None:
        """Keep what is on the disk and try again later; the camera is watched on."""
        text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        event(logger, "clip_write_failed", level=logging.ERROR, camera=self._settings.name, text=text)
        clip, self._clip = self._clip, None
        if clip is not None:
            self._closed(clip.abandon())
        self._retry_disk_at = at + DISK_RETRY_S
        self._disk_gap.open("disk", at)

    def _closed(self, clip: ClosedClip) -> None:
        score, self._peak_score = self._peak_score, 0.0
        if clip.seconds > 0 and clip.size_bytes > 0:
            self._ledger.clip_closed(
                ClipRow(
                    self._settings.name,
                    clip.path.as_posix(),
                    clip.start,
                    clip.end,
                    clip.size_bytes,
                    "motion",
                    round(score, 4),
                )
            )
