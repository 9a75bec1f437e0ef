"""One RTSP session over TCP by FFmpeg's libraries.

The password is in the URL that FFmpeg gets inside this process and nowhere else: FFmpeg's log is off, and its errors,
which hold the URL, are translated here and never chained.
"""

# PyAV's classes are generic for type checkers only, so annotations must not be evaluated.
from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import Literal

import av
import av.error
from av.packet import Packet

from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo
from cllmh_node.rtsp.wall_clock import JUMP_S, WallClock

OPEN_TIMEOUT_S = 10.0
STALL_S = 5.0
"""A stream that sends nothing for so long is lost."""

_READ_SLICE_S = 1.5  # how often a waiting read looks whether it shall stop
_WAITED_S = 0.010  # a read that took longer waited for the network: its frame is fresh
_MAX_BACKLOG = 1000

Cause = Literal["camera_lost", "auth_failed", "network", "overload", "clock"]


class CameraError(Exception):
    """A camera gives no video: `cause` as in a gap, `text` for people, without any secret."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause: Cause = cause
        self.text = text


class RtspSession:
    """An open session; a context manager. `frames` yields until the camera is lost or the caller wants to stop."""

    def __init__(self, address: CameraAddress, password: str | None) -> None:
        """Connect, or raise CameraError."""
        self._address = address
        options = {
            "rtsp_transport": "tcp",
            # Sound is not recorded; a second track would cost the DVR bandwidth, and bends the time stamps.
            "allowed_media_types": "video",
            # The frame rate is in the session's description; measuring it would cost seconds at each connect.
            "fpsprobesize": "2",
        }
        try:
            url = address.url(password)
        except ValueError as error:
            raise CameraError("auth_failed", str(error)) from error
        try:
            self._container = av.open(url, format="rtsp", options=options, timeout=(OPEN_TIMEOUT_S, _READ_SLICE_S))
        except (av.error.FFmpegError, OSError) as error:
            raise explain(error, address) from None
        if not self._container.streams.video:
            self._container.close()
            raise CameraError("camera_lost", "it offers no video")
        stream = self._container.streams.video[0]
        self.info = StreamInfo.of(stream)

    def __enter__(self) -> RtspSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._container.close()

    def frames(self, stopping: Callable[[], bool]) -> Iterator[EncodedFrame]:
        """Yield frames until `stopping()` is true; raise CameraError when the camera is lost.

        `stopping` is asked at each frame and, while none comes, every 1.5 s.
        """
        base_s = float(self.info.time_base)
        last_pts: int | None = None
        clock: WallClock | None = None
        backlog: list[tuple[Packet[av.VideoStream], int]] = []
        for packet, pts, waited_s in self._stamped(stopping):
            if last_pts is not None and abs(pts - last_pts) * base_s > JUMP_S:
                raise CameraError("camera_lost", f"its time stamps jump by {(pts - last_pts) * base_s:.0f} s")
            last_pts = pts
            arrived_at = time.time()
            if clock is not None:
                clock.observe(pts * base_s, arrived_at)
                yield self._encoded(packet, pts, clock.at(pts * base_s))
                continue
            # What arrived while FFmpeg was probing comes in one burst. The first frame that had to be waited for
            # tells the time, also of those before it.
            backlog.append((packet, pts))
            if waited_s >= _WAITED_S or len(backlog) >= _MAX_BACKLOG:
                clock = WallClock(pts * base_s, arrived_at)
                for earlier, earlier_pts in backlog:
                    yield self._encoded(earlier, earlier_pts, clock.at(earlier_pts * base_s))
                backlog.clear()

    def _encoded(self, packet: Packet[av.VideoStream], pts: int, at: float) -> EncodedFrame:
        dts = pts if packet.dts is None else packet.dts
        return EncodedFrame(bytes(packet), pts, dts, packet.is_keyframe, at, self.info)

    def _stamped(self, stopping: Callable[[], bool]) -> Iterator[tuple[Packet[av.VideoStream], int, float]]:
        """Yield (packet, its time stamp, how long it was waited for).

        FFmpeg's parser gives the session's first frame, a keyframe, without its time stamp: it is counted back.
        """
        unstamped: list[tuple[Packet[av.VideoStream], float]] = []
        last_pts: int | None = None
        for packet, waited_s in self._packets(stopping):
            ticks = packet.duration or round(1 / ((self.info.fps or 25.0) * float(self.info.time_base)))
            if packet.pts is not None:
                for back, (earlier, earlier_waited_s) in zip(range(len(unstamped), 0, -1), unstamped, strict=True):
                    yield earlier, packet.pts - back * ticks, earlier_waited_s
                unstamped.clear()
                last_pts = packet.pts
                yield packet, last_pts, waited_s
            elif last_pts is None:
                unstamped.append((packet, waited_s))
            else:
                last_pts += ticks
                yield packet, last_pts, waited_s

    def _packets(self, stopping: Callable[[], bool]) -> Iterator[tuple[Packet[av.VideoStream], float]]:
        """Yield (packet, how long it was waited for in seconds)."""
        silent_since = time.monotonic()
        while not stopping():
            try:
                for packet in self._container.demux(self.info.template):
                    now = time.monotonic()
                    if packet.size:
                        yield packet, now - silent_since
                    if stopping():
                        return
                    # Not `now`: while the caller worked on the packet nobody waited for the camera.
                    silent_since = time.monotonic()
                raise CameraError("camera_lost", "it ended the session")
            except av.error.ExitError:  # the read slice is over
                if time.monotonic() - silent_since >= STALL_S - 0.1:
                    raise CameraError("camera_lost", f"no picture for {STALL_S:.0f} s") from None
            except (av.error.FFmpegError, OSError) as error:
                raise explain(error, self._address) from None


def explain(error: Exception, address: CameraAddress) -> CameraError:
    """Translate an error of FFmpeg. Its own text is not used: it holds the URL, and so the password."""
    place = f"{address.host}:{address.port}"
    number = error.errno if isinstance(error, OSError) else None
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            user = f"user {address.username}" if address.username else "a session without a user"
            return CameraError("auth_failed", f"{place} refuses {user}")
        case av.error.HTTPNotFoundError():
            return CameraError("camera_lost", f"{place} has no stream {address.path}")
        case av.error.HTTPOtherClientError():
            return CameraError("camera_lost", f"{place} refuses the session (a 4xx answer; 453 means too many viewers)")
        case av.error.HTTPServerError():
            return CameraError("camera_lost", f"{place} answers with an error of its own (5xx)")
        case av.error.ExitError() | av.error.TimeoutError():
            return CameraError("camera_lost", f"{place} does not answer within {OPEN_TIMEOUT_S:.0f} s")
        case av.error.EOFError():
            return CameraError("camera_lost", f"{place} ended the session")
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL):
        return CameraError("network", f"{address.host} cannot be reached: {_strerror(error)}")
    if number == errno.EIO:  # FFmpeg's answer to a name that does not resolve, among others
        return CameraError("network", f"{place} cannot be reached")
    return CameraError("camera_lost", f"{place}: {_strerror(error)}")


def _strerror(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
