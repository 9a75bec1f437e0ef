"""The thread of one camera: connect, feed the pipeline, and when the camera is lost try again, ever more slowly."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from random import SystemRandom

from cllmh_node.log import event
from cllmh_node.recorder.auth_gate import AUTH_RETRY_S, AuthGate
from cllmh_node.recorder.camera_session import read_password, steady_frames, unexpected
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.retry import HEALTHY_S, retry_delay_s
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.sub_stream import SubStreamThread
from cllmh_node.rtsp.session import STALL_S, CameraError, RtspSession

logger = logging.getLogger(__name__)

_MODE_EVERY_S = 1.0
_JOIN_S = 2.0  # the sub-stream's thread ends with its next frame; it may be connecting

_OVERLOAD_LAG_S = STALL_S
"""A session that ends while its frames are read so late has ended because they were."""


class CameraThread(threading.Thread):
    """Runs one camera until `stopping` is set; owns its session, its pipeline and its sub-stream.

    It may wait for the camera's next frame for seconds: so whoever has set `stopping` can `close` the clip.
    """

    def __init__(
        self,
        settings: CameraSettings,
        pipeline: CameraPipeline,
        stopping: threading.Event,
        gate: AuthGate | None = None,
    ) -> None:
        """`gate`: shared with the other cameras of this process."""
        # A daemon, because FFmpeg's reading cannot be interrupted: the process must not wait for it to end.
        super().__init__(name=f"camera-{settings.name}", daemon=True)
        self.settings = settings
        self.pipeline = pipeline
        self._stopping = stopping
        self._gate = gate or AuthGate()
        self._random = SystemRandom()
        self._lock = threading.Lock()
        self.is_closed = False
        """Whether its clip is closed for good."""
        self.alive_at = time.monotonic()
        """Monotonic time of the latest sign of life, in seconds."""
        self._mode_asked_at = 0.0
        self._is_off = False
        self._has_clip_audio = True
        self._sub: SubStreamThread | None = None
        if settings.sub_address is not None and pipeline.sub is not None:
            self._sub = SubStreamThread(settings, settings.sub_address, pipeline.sub)

    def run(self) -> None:
        """Record until told to stop."""
        failures = 0
        if self._sub is not None:
            self._sub.start()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                if self.pipeline.mode(time.time()) == "off":
                    self._tell(self.pipeline.off)
                    self._wait(1.0)
                    continue
                error = self._watched()
                if error is None:
                    continue
                if error.cause == "clock":
                    self._tell(partial(self.pipeline.lost, error))
                    continue
                failures = 1 if time.monotonic() - began > HEALTHY_S else failures + 1
                self._tell(partial(self.pipeline.lost, error))
                jitter = self._random.random()
                wait_s = retry_delay_s(failures, jitter)
                if error.cause == "auth_failed":
                    # Where only this camera is refused the gate is open; then as long as it would be closed.
                    closed_s = self._gate.opens_in_s(self.settings.address)
                    wait_s = closed_s + jitter if closed_s else AUTH_RETRY_S * (0.5 + 0.5 * jitter)
                self._wait(wait_s)
        finally:
            self.close()
            if self._sub is not None:
                self._sub.end()
                self._sub.join(_JOIN_S)

    def close(self) -> None:
        """Close the clip, once the recorder stops; any thread may."""
        with self._lock:
            if not self.is_closed:
                self.pipeline.stop()
                self.is_closed = True

    def _tell(self, news: Callable[[], None]) -> None:
        """Have the pipeline take something, unless the recorder stops: the clip may be closed then."""
        with self._lock:
            if not self._stopping.is_set():
                news()

    def _watched(self) -> CameraError | None:
        """Watch the camera for one session; return why it was lost, None when the session was to end."""
        try:
            self._session()
        except CameraError as error:
            return error
        except Exception as error:  # noqa: BLE001  whatever it is, it must not come again at once
            return unexpected(error, self.settings.name)
        return None

    def _session(self) -> None:
        """Feed the pipeline from one session until the camera is lost or the recorder stops."""
        password = read_password(self.settings.password_file)
        address = self.settings.address
        while wait_s := self._gate.wait_s(address):
            if self._stopping.wait(wait_s):
                return
            self.alive_at = time.monotonic()
        self.alive_at = time.monotonic()
        try:
            session = RtspSession(address, password, with_audio=self.settings.audio and self._has_clip_audio)
        except CameraError as error:
            self._gate.failed(address, error)
            raise
        self._gate.opened(address)
        try:
            with session:
                self._feed(session)
        except CameraError as error:
            # The last frame of a camera that has fallen silent is read late, too.
            if error.cause == "camera_lost" and not session.is_silent and self.pipeline.lag_s > _OVERLOAD_LAG_S:
                raise CameraError("overload", f"frames were not read in time: {error.text}") from error
            raise
        finally:
            if self._sub is not None:
                self._sub.leave()
            self._gate.ended(address)

    def _feed(self, session: RtspSession) -> None:
        if session.dropped_audio is not None:
            # Not asked for any more in later sessions: it would cost the DVR bandwidth for nothing.
            self._has_clip_audio = False
            event(logger, "audio_dropped", camera=self.settings.name, codec=session.dropped_audio)
        self._tell(partial(self.pipeline.connected, session.info))
        if self._sub is not None:
            self._sub.want()
        for frame in steady_frames(session, self._is_to_end):
            self._tell(partial(self.pipeline.feed, frame))

    def _is_to_end(self) -> bool:
        """Whether the session is to end: the recorder stops, or the camera goes off."""
        now = time.monotonic()
        self.alive_at = now
        if now - self._mode_asked_at >= _MODE_EVERY_S:
            self._mode_asked_at = now
            self._is_off = self.pipeline.mode(time.time()) == "off"
        return self._stopping.is_set() or self._is_off

    def _wait(self, seconds: float) -> None:
        """Wait, showing signs of life."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, 5.0)):
            self.alive_at = time.monotonic()
