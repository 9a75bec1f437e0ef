"""A camera's small second stream: it is watched, so that nothing of the main stream, which is recorded, is decoded.

A thread of its own reads the sub-stream and watches it. What it sees waits in a queue until the camera's own thread
takes it, with its next frame. While the sub-stream is not to be had, the main stream is watched (see `pipeline`).
"""

import logging
import math
import threading
import time
from collections import deque
from random import SystemRandom

from cllmh_node.log import event
from cllmh_node.recorder.auth_gate import AUTH_RETRY_S
from cllmh_node.recorder.camera_session import read_password, steady_frames, unexpected
from cllmh_node.recorder.decoder import LumaDecoder
from cllmh_node.recorder.retry import HEALTHY_S, retry_delay_s
from cllmh_node.recorder.settings import CameraSettings, MotionSettings
from cllmh_node.recorder.watch import Look, MotionWatch, Sight
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.frame import USUAL_FPS, EncodedFrame, StreamInfo
from cllmh_node.rtsp.session import CameraError, RtspSession

logger = logging.getLogger(__name__)

STALE_S = 2.0
"""When no frame of the sub-stream was watched for so long, the main stream is watched instead, in seconds."""

AFTER_MAIN_S = 2.0
"""So long the main stream must be there first, in seconds: where a DVR has few sessions, main streams come first."""

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0

_RING_MAX_BYTES = 4_000_000  # two GOPs of 4 s at 4 Mbit/s; sub-streams have a tenth of that
_MOST_WAITING = 100  # looks; five in two seconds


class SubStreamWatch:
    """Watches the frames that one thread gives it; another thread takes what was seen."""

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self._ring = PacketRing(_RING_MAX_BYTES)
        self._info: StreamInfo | None = None
        self._watch: MotionWatch | None = None
        self._looks: deque[tuple[Look, float]] = deque(maxlen=_MOST_WAITING)
        self._watched_at: float | None = None
        self.is_recording = False
        """Set by the taking thread: whether a clip of the main stream is being written."""
        self.stride = 1
        """Set by the taking thread: under overload only every so many-th keyframe is looked at."""
        self.most_pixels_s = math.inf
        """Set by the taking thread: a sub-stream of more pixels a second is not watched, it would cost too much."""
        self.frames = 0
        """Frames watched."""
        self.error: CameraError | None = None
        """Why there is no sub-stream now; replaced as a whole."""

    @property
    def is_watching(self) -> bool:
        """Whether the sub-stream comes and its scene is known, so that the main stream need not be looked at."""
        watched_at = self._watched_at
        return watched_at is not None and time.monotonic() - watched_at < STALE_S

    @property
    def watch(self) -> MotionWatch | None:
        """What knows the scene, None before the first frame."""
        return self._watch

    def observe(self, frame: EncodedFrame) -> None:
        """Watch the next frame of the sub-stream; raise CameraError where it is not worth it."""
        if frame.is_keyframe:
            self._refuse_if_large(frame.info)
        if self._watch is None or frame.info is not self._info:
            self._begin(frame.info)
        assert self._watch is not None
        self._ring.append(frame, self._ring.longest_gop_s)
        self._watch.stride = self.stride
        look = self._watch.look(frame, self._ring, is_recording=self.is_recording)
        self.frames += 1
        if look.sight is Sight.LEARNING:
            self._watched_at = None
            return
        if look.sight is not Sight.NOTHING_NEW:
            self._looks.append((look, frame.at))
        if look.sight is not Sight.NOTHING_NEW or self._watched_at is not None:
            self._watched_at = time.monotonic()

    def _refuse_if_large(self, info: StreamInfo) -> None:
        fps = info.fps or USUAL_FPS
        if info.width * info.height * fps > self.most_pixels_s:
            size = f"{info.width}x{info.height} at {fps:g} frames/s"
            raise CameraError(
                "overload", f"{size} costs more to watch than the main stream's keyframes; 640x360 at 10 does not"
            )

    def take(self) -> list[tuple[Look, float]]:
        """Return what was seen since it was last asked for, with its unix time."""
        looks = []
        while self._looks:
            looks.append(self._looks.popleft())
        return looks

    def state(self) -> dict[str, object]:
        """Return how the sub-stream is, as plain values."""
        error = self.error
        text = None if error is None else {"cause": error.cause, "text": error.text}
        looked_at = 0 if self._watch is None else self._watch.looked_at
        return {"is_watched": self.is_watching, "frames": self.frames, "looked_at": looked_at, "error": text}

    def end(self, error: CameraError | None = None) -> None:
        """Say that the session is over, `error` says why; what is known of the scene stays."""
        self._watched_at = None
        self._info = None
        self.error = error

    def _begin(self, info: StreamInfo) -> None:
        self._info = info
        self._watched_at = None
        self._ring.clear()
        if self._watch is None:
            self._watch = MotionWatch(self._settings, LumaDecoder(info), is_sub_stream=True)
        else:
            self._watch.resume(LumaDecoder(info))


class SubStreamThread(threading.Thread):
    """Reads the sub-stream of one camera while `wanted`; owned by the camera's thread, which ends it."""

    def __init__(
        self,
        settings: CameraSettings,
        address: CameraAddress,
        watch: SubStreamWatch,
    ) -> None:
        # A daemon, because FFmpeg's reading cannot be interrupted: nobody must wait for it to end.
        super().__init__(name=f"camera-{settings.name}-sub", daemon=True)
        self._settings = settings
        self._address = address
        self._watch = watch
        self._wanted = threading.Event()
        self._ended = threading.Event()
        self._random = SystemRandom()

    def want(self) -> None:
        """Say that the main stream is there."""
        self._wanted.set()

    def leave(self) -> None:
        """Say that the main stream is gone: it must find a place at the DVR first."""
        self._wanted.clear()

    def end(self) -> None:
        """End the thread: at once while it waits, with the next frame while it reads; it may be connecting."""
        self._ended.set()
        self._wanted.set()

    def run(self) -> None:
        """Watch until told to end."""
        failures = 0
        while True:
            self._wanted.wait()
            if self._ended.wait(AFTER_MAIN_S):
                return
            began = time.monotonic()
            try:
                self._session()
                self._watch.end()
                failures = 0
            except CameraError as error:
                failures = 1 if time.monotonic() - began > HEALTHY_S else failures + 1
                self._lost(error)
            except Exception as error:  # noqa: BLE001  whatever it is, the main stream is recorded on
                failures += 1
                self._lost(unexpected(error, self._settings.name))
            if failures and self._ended.wait(self._retry_s(failures)):
                return

    def _retry_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, in seconds."""
        error = self._watch.error
        # DVRs lock accounts after a few refusals, and this is the main stream's account.
        is_refused = error is not None and error.cause == "auth_failed"
        first_s = AUTH_RETRY_S if is_refused else FIRST_RETRY_S
        return retry_delay_s(failures, self._random.random(), first_s=first_s, longest_s=LONGEST_RETRY_S)

    def _session(self) -> None:
        """Watch one session until it is lost or not wanted any more."""
        with RtspSession(self._address, read_password(self._settings.password_file)) as session:
            for frame in steady_frames(session, self._is_to_end):
                was_watching = self._watch.is_watching
                self._watch.observe(frame)
                if self._watch.is_watching and not was_watching:
                    self._found(frame.info)

    def _is_to_end(self) -> bool:
        return self._ended.is_set() or not self._wanted.is_set()

    def _found(self, info: StreamInfo) -> None:
        """Say that the sub-stream is watched from now on, when it was not."""
        if self._watch.error is not None:
            self._watch.error = None
            event(logger, "sub_stream_returned", camera=self._settings.name, width=info.width, height=info.height)

    def _lost(self, error: CameraError) -> None:
        """Say that it is not to be had, once."""
        is_news = self._watch.error is None
        self._watch.end(error)
        if is_news:
            event(
                logger,
                "sub_stream_lost",
                level=logging.WARNING,
                camera=self._settings.name,
                cause=error.cause,
                text=error.text,
            )
