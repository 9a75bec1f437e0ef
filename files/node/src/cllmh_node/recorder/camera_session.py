"""What the threads of a camera's two streams have in common: the password, a clock that is steady, and what fails."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from cllmh_node.config import ConfigError, read_secret
from cllmh_node.log import event
from cllmh_node.recorder.time_line import StepDetector
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError, RtspSession

logger = logging.getLogger(__name__)


def read_password(file: Path | None) -> str | None:
    """Return a camera's password, None where it has none; raise CameraError when it cannot be read."""
    try:
        return None if file is None else read_secret(file)
    except ConfigError as error:
        raise CameraError("auth_failed", str(error)) from error


def steady_frames(session: RtspSession, is_to_end: Callable[[], bool]) -> Iterator[EncodedFrame]:
    """Yield a session's frames; raise CameraError when the node's clock was set: their times cannot be trusted then."""
    steps = StepDetector()
    for frame in session.frames(is_to_end):
        step_s = steps.step_s()
        if step_s and not session.is_silent:  # a camera that has fallen silent before is lost for that
            raise CameraError("clock", f"the clock of this machine was set by {step_s:+.1f} s")
        yield frame


def unexpected(error: Exception, camera: str) -> CameraError:
    """Log what nobody has thought of, and return it as the loss of the camera: it costs this one a pause, no more."""
    event(
        logger,
        "camera_thread_failed",
        level=logging.ERROR,
        exc_info=(type(error), error, error.__traceback__),
        camera=camera,
    )
    return CameraError("camera_lost", type(error).__name__)
