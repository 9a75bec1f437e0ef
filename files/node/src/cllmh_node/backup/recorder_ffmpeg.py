"""The recorder `ffmpeg`: FFmpeg's libraries in this process, so that the password is in no command line."""

import time

import av.error

from cllmh_node.backup.recorded import Cause, Recorded, RecordingError, Request
from cllmh_node.clips.writer import ClipWriter, ClosedClip
from cllmh_node.rtsp.session import CameraError, RtspSession

_TELL_EVERY_S = 0.5


def record(request: Request) -> Recorded:
    """Record by stream copy until the file is long enough; raise RecordingError when there is none."""
    deadline = time.monotonic() + request.patience_s
    job = _Job(request)
    cause: Cause | None = None
    text: str | None = None
    try:
        with RtspSession(request.address, request.password, with_audio=request.with_audio) as session:
            job.take(session, deadline)
    except CameraError as error:
        cause, text = _cause(error), error.text
    except (OSError, av.error.FFmpegError) as error:
        return job.abandon(error)
    return job.close(cause, text)


def _cause(error: CameraError) -> Cause:
    """Return our word for what a session says; that a stream does not exist is told by its text alone there."""
    if error.cause == "auth_failed":
        return "auth_failed"
    if "has no stream" in error.text:
        return "not_found"
    return "network" if error.cause == "network" else "camera_lost"


class _Job:
    """One file that grows."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._writer: ClipWriter | None = None
        self._told_at = 0.0

    def take(self, session: RtspSession, deadline: float) -> None:
        """Write what comes, from the first keyframe on, until it is enough."""
        request = self._request
        for frame in session.frames(lambda: request.stopping() or time.monotonic() > deadline):
            if self._writer is None:
                if not frame.is_keyframe:
                    continue
                self._writer = ClipWriter(request.folder, str(request.channel), frame.info, frame.at)
                info = frame.info
            elif frame.info is not info:
                raise CameraError("camera_lost", "the stream changed its picture")
            self._writer.write(frame)
            if time.monotonic() - self._told_at >= _TELL_EVERY_S:
                self._told_at = time.monotonic()
                request.tell(self._writer.seconds, self._writer.size_bytes)
            if not frame.is_audio and self._writer.seconds >= request.seconds:
                return

    def close(self, cause: Cause | None, text: str | None) -> Recorded:
        """Finish the file; raise RecordingError when there is none."""
        if self._writer is None or not self._writer.frames:
            raise RecordingError(cause or "camera_lost", text or "no keyframe came")
        try:
            clip = self._writer.close()
        except (OSError, av.error.FFmpegError) as error:
            return self.abandon(error)
        return self._recorded(clip, cause, text)

    def abandon(self, error: Exception) -> Recorded:
        """Leave the file as it is, readable to its last fragment, after the disk refused to take more."""
        text = f"the disk refuses: {getattr(error, 'strerror', None) or type(error).__name__}"
        if self._writer is None:
            raise RecordingError("disk", text)
        return self._recorded(self._writer.abandon(), "disk", text)

    def _recorded(self, clip: ClosedClip, cause: Cause | None, text: str | None) -> Recorded:
        self._request.tell(clip.seconds, clip.size_bytes)
        return Recorded(self._request.folder / clip.path, clip.start, clip.seconds, cause, text)
