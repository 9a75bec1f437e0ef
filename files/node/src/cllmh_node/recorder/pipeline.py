"""One camera, from encoded frames to clips: ring, watch, state, and the books of clips, gaps and spans."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from cllmh_node.clips.index import GapRow, Importance, Mode, SpanRow
from cllmh_node.log import event
from cllmh_node.recorder.clip_book import ClipBook
from cllmh_node.recorder.decode_plan import DecodePlan, most_sub_stream_pixels_s
from cllmh_node.recorder.decoder import LumaDecoder
from cllmh_node.recorder.disk import Disk
from cllmh_node.recorder.gaps import GapBook
from cllmh_node.recorder.ledger import CameraStatus, Counters, Ledger
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.spans import SpanBook
from cllmh_node.recorder.states import WRITING, CameraState, next_state
from cllmh_node.recorder.sub_stream import SubStreamWatch
from cllmh_node.recorder.time_line import TimeLine
from cllmh_node.recorder.watch import Look, MotionWatch, Sight
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo
from cllmh_node.rtsp.session import CameraError

logger = logging.getLogger(__name__)

_LEAST_GOP_S = 4.0  # room in the ring before the real length of a GOP is known


class CameraPipeline:
    """Fed by the thread that owns it with frames, in order, and with the news that the camera is lost or off."""

    def __init__(
        self,
        settings: CameraSettings,
        recordings_dir: Path,
        ledger: Ledger,
        *,
        left_open: GapRow | None = None,
        watched_until: float | None = None,
        was_recording: bool = False,
        mode_at: Callable[[float], Mode] | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Go on where an earlier run ended: nobody watched since the unix time `watched_until`.

        `left_open`: the gap that it left open, which lasts. `was_recording`: it was killed while it wrote a clip;
        recording goes on at once, and not when the scene has been learned anew. `mode_at`: the mode at a unix time,
        without it what the settings say. `disk`: what is known of the disk that the recordings are on.
        """
        self._settings = settings
        self._ledger = ledger
        self._line = TimeLine(watched_until)
        self._gap = GapBook(settings.name, ledger, left_open)
        self._span = SpanBook(settings.name, ledger)
        self._book = ClipBook(settings, recordings_dir, ledger, self._line, disk)
        self._mode_at = mode_at
        self._mode: Mode = settings.mode
        self._ring = PacketRing(settings.ring_max_bytes)
        self._info: StreamInfo | None = None
        self._watch: MotionWatch | None = None
        self._is_sub_watched = False
        self._has_keyframe = False
        self.sub = SubStreamWatch(settings.motion) if settings.sub_path is not None else None
        """What watches the sub-stream, fed by another thread; None where there is none."""
        self._state = CameraState.RECORDING if was_recording else CameraState.STARTING
        self._is_cut = was_recording  # what a clip showed goes on in the next one: a changed stream, a killed recorder
        self._motion_at = 0.0
        self._started_at = time.time()
        self.counters = Counters()
        """What this run has seen of the camera."""
        self.lag_s = 0.0
        """How old the latest frame was when it was processed, in seconds."""
        self.on_look: Callable[[Look, float], None] | None = None
        """Told what was said of each frame, and its unix time."""
        self.stride = 1
        """Under overload only every so many-th keyframe is looked at."""
        self.status = CameraStatus(settings.name, settings.channel, CameraState.STARTING, self._started_at)
        """What can be said of the camera now; replaced as a whole, so that other threads may read it."""
        if watched_until is not None and left_open is None:
            self._gap.open("restart", watched_until)
            self.counters.gaps += 1

    @property
    def is_writing(self) -> bool:
        """Whether a clip is open."""
        return self._book.is_open

    @property
    def span(self) -> SpanRow | None:
        """The time up to now in which all was as it should be."""
        return self._span.row

    def state(self) -> dict[str, object]:
        """Return how the camera is, as plain values."""
        counters = {**asdict(self.counters), "clips": self._book.closed, "lag_s": round(self.lag_s, 3)}
        report: dict[str, object] = {**self.status.as_report(), "decode_plan": self.status.decode_plan}
        report["counters"] = {**counters, "look_at_every": self.stride}
        return report if self.sub is None else {**report, "sub_stream": self.sub.state()}

    def announce(self) -> None:
        """Report the first state."""
        self._ledger.status(self.status)

    def connected(self, info: StreamInfo) -> None:
        """A session is open; frames of this stream follow."""
        self.counters.sessions += 1
        if self.sub is not None:
            self.sub.take()  # what was seen while there was nothing to record
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
        self._is_cut = self._is_cut or self._book.is_open
        self._book.close()
        self._book.forget_written()
        self._ring.clear()
        self._info = info
        self._has_keyframe = False
        decoder = LumaDecoder(info)
        if self._watch is None:
            self._watch = MotionWatch(self._settings.motion, decoder)
        else:
            self._watch.resume(decoder)
        self.status = replace(
            self.status, codec=info.codec, width=info.width or None, height=info.height or None, fps=info.fps
        )

    def feed(self, frame: EncodedFrame) -> None:
        """Take the next frame; raise CameraError where the camera is of no use although it sends."""
        if frame.info is not self._info:
            self._begin(frame.info)
            self._changed(frame.info)
        assert self._watch is not None
        self._ring.append(frame, self._keep_s())
        self.counters.bytes += len(frame.data)
        self.lag_s = max(0.0, time.time() - frame.at)
        if frame.is_audio:
            self._book.take_audio(frame)
            return
        self.counters.frames += 1
        looks = self._look(frame, self._watch)
        self._has_keyframe = self._has_keyframe or frame.is_keyframe
        if self._has_keyframe and not self._watch.is_blind:  # else nobody can see anything in it
            self._returned(frame.at)
        self._say_plan()
        for look, at in looks:
            self._see(look, at, frame)
        self.counters.looked_at = self._watch.looked_at
        self.counters.decoded = self._watch.decoded
        self.status = replace(self.status, last_frame_at=frame.at)
        # Of several, the first that says since when it moves: a clip begins before that.
        self._write(frame, next((look for look, _ in looks if look.sight is Sight.MOTION), looks[-1][0]))
        self._tell_refusal()
        self._enter(self._shown_state(), frame.at)

    def _look(self, frame: EncodedFrame, watch: MotionWatch) -> list[tuple[Look, float]]:
        """Return what is seen, and when: in the sub-stream since the last frame, or else in this frame."""
        is_recording = self._state in WRITING
        looks: list[tuple[Look, float]] = []
        is_sub_watched = self.sub is not None and self.sub.is_watching
        if self.sub is not None:
            self.sub.is_recording, self.sub.stride = is_recording, self.stride
            if frame.is_keyframe:
                self.sub.most_pixels_s = most_sub_stream_pixels_s(
                    frame.info.width * frame.info.height,
                    self._ring.longest_gop_s,
                    look_every_s=self._settings.motion.look_every_s,
                )
            if self._is_sub_watched and not is_sub_watched and self.sub.watch is not None:
                watch.resume(LumaDecoder(frame.info))
                watch.take_over_from(self.sub.watch)
            self._is_sub_watched = is_sub_watched
            looks = self.sub.take()
            if is_sub_watched:
                return looks or [(Look(Sight.NOTHING_NEW), frame.at)]
        watch.stride = self.stride
        return [*looks, (watch.look(frame, self._ring, is_recording=is_recording), frame.at)]

    def _see(self, look: Look, at: float, frame: EncodedFrame) -> None:
        """Follow a look of the unix time `at`; `frame` is the latest of the stream that is recorded."""
        if self.on_look is not None:
            self.on_look(look, at)
        if (
            look.sight is Sight.MOTION
            # The first clear keyframe counts too: the motion ended somewhere before it, after the last look.
            or (look.sight is Sight.CLEAR and self._state is CameraState.RECORDING)
            or (look.sight is Sight.LEARNING and self._state in WRITING)
        ):
            self._motion_at = at
        may_end = frame.is_keyframe and frame.at - self._motion_at >= self._settings.post_roll_s
        self._state = next_state(self._state, look.sight, may_end=may_end)

    def decoding(self) -> tuple[str, int]:
        """Return the plan of what is decoded of the stream that is recorded, and how many frames were."""
        if self._watch is None:
            return "", 0
        plan = DecodePlan.SUB_STREAM if self._is_sub_watched else self._watch.plan
        return plan.value, self._watch.decoded

    def _say_plan(self) -> None:
        """Log the plan of what is decoded, when it is another one."""
        plan, _ = self.decoding()
        if plan != self.status.decode_plan:
            self.status = replace(self.status, decode_plan=plan)
            event(logger, "decode_plan", camera=self._settings.name, plan=plan)

    def _shown_state(self) -> CameraState:
        """Return the state as people are told it: where a clip is open although nothing moves, that counts."""
        if self._book.is_open and self._state not in WRITING:
            return CameraState.RECORDING if self._mode == "continuous" else CameraState.POST_ROLL
        return self._state

    def lost(self, error: CameraError) -> None:
        """The camera gives no video (any more)."""
        now = time.time()
        self._end_video()
        since = self._span.end(self._line.at(self._latest_at()))
        if self._gap.open(error.cause, self._started_at if since is None else since, switched_at=now):
            self.counters.gaps += 1
            event(
                logger,
                "camera_lost",
                level=logging.WARNING,
                camera=self._settings.name,
                cause=error.cause,
                text=error.text,
            )
        self.status = replace(self.status, error_cause=error.cause, error_text=error.text)
        self._state = CameraState.LOST
        self._enter(CameraState.LOST, now)

    def off(self) -> None:
        """The schedule says that the camera is not to be recorded now; called again and again as long as it does."""
        now = time.time()
        if self._state is not CameraState.OFF:
            self._end_video()
            self._state = CameraState.OFF
            self._gap.close(self._line.at(now))
            self.status = replace(self.status, error_cause=None, error_text=None)
        self._span.move_on(self._line.at(now), "off")
        self._enter(CameraState.OFF, now)

    def mode(self, at: float) -> Mode:
        """Return the mode at a unix time, and keep to it from now on."""
        self._mode = self._settings.mode if self._mode_at is None else self._mode_at(at)
        return self._mode

    def stop(self) -> None:
        """Close the clip; nothing is fed any more."""
        self._end_video()
        self._span.end()

    def _end_video(self) -> None:
        suspects_since = None if self._watch is None else self._watch.suspects_since
        if suspects_since is not None and self._state is CameraState.SUSPICIOUS:
            # Nobody can tell any more whether it moves, and who comes may cut the cable.
            self._book.open(suspects_since - self._settings.pre_roll_s, self._ring, "motion")
        self._book.end(self._line.at(self._latest_at()))
        self._ring.clear()

    def _latest_at(self) -> float:
        row = self._span.row
        return self._started_at if row is None else row.end

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
        at = self._line.at(at)
        gap_s = self._gap.close(at)
        if gap_s is not None:
            self._line.passed(at)
            event(logger, "camera_returned", camera=self._settings.name, seconds=round(gap_s, 1))
        self._span.move_on(at, self._mode)
        if self.status.error_cause not in (None, "disk"):
            self.status = replace(self.status, error_cause=None, error_text=None)

    def _enter(self, state: CameraState, at: float) -> None:
        if state is not self.status.state:
            self.status = replace(self.status, state=state, since=at)
            self._ledger.status(self.status)

    def _tell_refusal(self) -> None:
        """Say that the disk does not take what is to be recorded, when that changes."""
        refusal = self._book.refusal
        if refusal != (self.status.error_text if self.status.error_cause == "disk" else None):
            self.status = replace(self.status, error_cause=refusal and "disk", error_text=refusal)
            self._ledger.status(self.status)

    def _keep_s(self) -> float:
        """Seconds of frames for pre-roll or pause, the GOP before the suspicion, and the time to confirm it."""
        settings = self._settings
        longest_s = max(settings.pre_roll_s, settings.merge_gap_s - settings.post_roll_s)
        confirm_s = settings.motion.confirm_s + settings.motion.min_duration_s
        return longest_s + confirm_s + 2 * max(self._ring.longest_gop_s, _LEAST_GOP_S)

    def _write(self, frame: EncodedFrame, look: Look) -> None:
        """Open, continue, cut, pause or close the clip."""
        settings, book = self._settings, self._book
        is_always = self._mode == "continuous"
        is_event = self._state in WRITING or (is_always and frame.at - self._motion_at < settings.merge_gap_s)
        if not is_event and not is_always:
            self._is_cut = False
            book.pause(frame, self._motion_at, self._ring.longest_gop_s)
            return
        importance: Importance = "motion" if is_event else "continuous"
        is_motion = look.sight is Sight.MOTION
        if book.is_open and (not is_motion or book.continues(look.since)):
            book.take(frame, self._ring, importance, look.score)
        elif is_motion:
            book.open(look.since - settings.pre_roll_s, self._ring, importance, look.score)
        elif self._is_cut or is_always or book.is_cut_off:
            book.open(frame.at, self._ring, importance)
        self._is_cut = self._is_cut and not book.is_open
