"""The thread of one camera: connect, feed the pipeline, and when the camera is lost try again, ever more slowly."""

import logging
import threading
import time
from random import SystemRandom

from cllmh_node.config import ConfigError, read_secret
from cllmh_node.log import event
from cllmh_node.recorder.auth_gate import AUTH_RETRY_S, AuthGate
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.retry import HEALTHY_S, retry_delay_s
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.sub_stream import SubStreamThread
from cllmh_node.recorder.time_line import StepDetector
from cllmh_node.rtsp.session import CameraError, RtspSession

logger = logging.getLogger(__name__)

_MODE_EVERY_S = 1.0
_JOIN_S = 2.0  # the sub-stream's thread ends within 1.5 s, unless it is connecting

_OVERLOAD_LAG_S = 5.0
"""A session that ends while its frames are read so late has ended because they were."""


class CameraThread(threading.Thread):
    """Runs one camera until `stopping` is set; owns its session, its pipeline and its sub-stream."""

    def __init__(
        self,
        settings: CameraSettings,
        pipeline: CameraPipeline,
        stopping: threading.Event,
        gate: AuthGate | None = None,
    ) -> None:
        """`gate`: shared with the other cameras of this process."""
        # A daemon, because FFmpeg's connecting cannot be interrupted: the process must not wait for it to end.
        super().__init__(name=f"camera-{settings.name}", daemon=True)
        self.settings = settings
        self.pipeline = pipeline
        self._stopping = stopping
        self._gate = gate or AuthGate()
        self._random = SystemRandom()
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
                    self.pipeline.off()
                    self._wait(1.0)
                    continue
                try:
                    self._session()
                except CameraError as error:
                    if error.cause == "clock":
                        self.pipeline.lost(error)
                        continue
                    failures = 1 if time.monotonic() - began > HEALTHY_S else failures + 1
                    if error.cause == "camera_lost" and self.pipeline.lag_s > _OVERLOAD_LAG_S:
                        error = CameraError("overload", f"frames were not read in time: {error.text}")
                    self.pipeline.lost(error)
                    jitter = self._random.random()
                    wait_s = retry_delay_s(failures, jitter)
                    if error.cause == "auth_failed":
                        # Where only this camera is refused the gate is open; then as long as it would be closed.
                        closed_s = self._gate.opens_in_s(self.settings.address)
                        wait_s = closed_s + jitter if closed_s else AUTH_RETRY_S * (0.5 + 0.5 * jitter)
                    self._wait(wait_s)
        finally:
            self.pipeline.stop()
            if self._sub is not None:
                self._sub.end()
                self._sub.join(_JOIN_S)

    def _session(self) -> None:
        """Feed the pipeline from one session until the camera is lost or the recorder stops."""
        secret_file = self.settings.password_file
        try:
            password = read_secret(secret_file) if secret_file is not None else None
        except ConfigError as error:
            raise CameraError("auth_failed", str(error)) from error
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
        finally:
            if self._sub is not None:
                self._sub.leave()
            self._gate.ended(address)

    def _feed(self, session: RtspSession) -> None:
        steps = StepDetector()
        if session.dropped_audio is not None:
            # Not asked for any more in later sessions: it would cost the DVR bandwidth for nothing.
            self._has_clip_audio = False
            event(logger, "audio_dropped", camera=self.settings.name, codec=session.dropped_audio)
        self.pipeline.connected(session.info)
        if self._sub is not None:
            self._sub.want()
        for frame in session.frames(self._is_to_end):
            step_s = steps.step_s()
            if step_s:
                # The frames' times cannot be trusted any more, nor those of the ring: a new session has new ones.
                raise CameraError("clock", f"the clock of this machine was set by {step_s:+.1f} s")
            self.pipeline.feed(frame)

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
