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
from cllmh_node.rtsp.frame import AudioInfo, EncodedFrame, StreamInfo
from cllmh_node.rtsp.memory_limit import limit_ffmpeg_memory
from cllmh_node.rtsp.parameter_sets import ParameterSets, parameter_sets, picture_of, to_extradata
from cllmh_node.rtsp.rtsp_target import mask_url
from cllmh_node.rtsp.track import Track

OPEN_TIMEOUT_S = 10.0
NO_KEYFRAME_S = 60.0
"""A stream without a keyframe for so long is of no use; a new session begins with one."""

CLIP_VIDEO_CODECS = ("h264", "hevc")

CLIP_AUDIO_CODECS = ("aac",)
"""Sound that FFmpeg writes into an MP4 and browsers play; G.711 fits into none."""

STALL_S = 5.0
"""A stream that sends no picture for so long is lost."""

GATHER_S = 0.2
"""So long what comes is left to the kernel, to be read at once: waking up for each frame costs a fifth of the CPU."""

_WAITED_S = 0.010  # a read that took longer waited for the network: its frame is fresh

Cause = Literal["camera_lost", "auth_failed", "network", "overload", "clock"]


class CameraError(Exception):
    """A camera gives no video: `cause` as in a gap, `text` for people, without any secret."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause: Cause = cause
        self.text = text


class RtspSession:
    """An open session; a context manager. `frames` yields until the camera is lost or the caller wants to stop."""

    def __init__(self, address: CameraAddress, password: str | None, *, with_audio: bool = False) -> None:
        """Connect, or raise CameraError."""
        self._address = address
        self.dropped_audio: str | None = None
        """The codec of sound that clips cannot hold."""
        self.is_silent = False
        """Whether nothing has come for `STALL_S`: a frame that is yielded now has waited in FFmpeg's parser."""
        options = {
            "rtsp_transport": "tcp",
            # Where sound is not wanted its track is not asked for: it would cost the DVR bandwidth.
            "allowed_media_types": "video+audio" if with_audio else "video",
            # The frame rate is in the session's description; measuring it would cost seconds at each connect.
            "fpsprobesize": "2",
            # Where the time stamps stand still FFmpeg probes by bytes only: not by more than a few seconds of them.
            "probesize": "2000000",
        }
        try:
            url = address.url(password)
        except ValueError as error:
            raise CameraError("auth_failed", str(error)) from error
        limit_ffmpeg_memory()
        began = time.monotonic()
        try:
            # A read that is broken off throws away the part of a packet that it has: never for less than a lost stream.
            self._container = av.open(url, format="rtsp", options=options, timeout=(OPEN_TIMEOUT_S, STALL_S))
        except (av.error.FFmpegError, OSError) as error:
            if time.monotonic() - began >= OPEN_TIMEOUT_S:  # FFmpeg calls what it was interrupted in by many names
                raise CameraError("camera_lost", _no_answer(address)) from None
            raise explain(error, address) from None
        try:
            stream, sound = self._wanted_streams()
        except CameraError:
            self.close()
            raise
        self.info = StreamInfo.of(stream, None if sound is None else AudioInfo.of(sound))
        self._picture = stream.index
        self._tracks = {stream.index: Track(stream)}
        if sound is not None:
            self._tracks[sound.index] = Track(sound)

    def _wanted_streams(self) -> tuple[av.VideoStream, av.AudioStream | None]:
        """Return the video, and the sound that clips can hold; raise CameraError where there is no video for them."""
        streams = self._container.streams
        if not streams.video:
            raise CameraError("camera_lost", f"{self._address.place} offers no video")
        stream = streams.video[0]
        codec = _codec(stream)
        if codec not in CLIP_VIDEO_CODECS:
            text = f"{self._address.place} sends {codec or 'an unknown codec'}; H.264 and H.265 are recorded"
            raise CameraError("camera_lost", text)
        sound = next(iter(streams.audio), None)
        if sound is not None and _codec(sound) not in CLIP_AUDIO_CODECS:
            self.dropped_audio = _codec(sound) or "unknown"
            sound = None
        return stream, sound

    def __enter__(self) -> RtspSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._container.close()

    def frames(self, stopping: Callable[[], bool]) -> Iterator[EncodedFrame]:
        """Yield frames until `stopping()` is true; raise CameraError when the camera is lost.

        `stopping` is asked whenever something came; a camera that sends nothing is waited for up to 5 s. Where the
        camera changes its parameter sets, `info` becomes another object and so do the frames'.
        """
        sets = parameter_sets(self.info.codec, self.info.extradata)
        is_live = False
        key_seen_s = time.monotonic()
        for packet, waited_s in self._packets(stopping):
            # What arrived while FFmpeg was probing comes in one burst; the first packet that had to be waited for
            # tells the time, also of those before it.
            is_live = is_live or waited_s >= _WAITED_S
            track = self._tracks.get(packet.stream.index)
            if track is None:
                continue
            for stamped in track.put(packet, is_live=is_live, is_held=self.is_silent):
                data = bytes(stamped.packet)
                is_keyframe = stamped.packet.is_keyframe and not track.is_audio
                if is_keyframe:
                    sets = self._follow(sets, data)
                    key_seen_s = time.monotonic()
                elif time.monotonic() - key_seen_s > NO_KEYFRAME_S:
                    raise CameraError("camera_lost", f"no keyframe for {NO_KEYFRAME_S:.0f} s")
                yield EncodedFrame(
                    data, stamped.pts, stamped.dts, is_keyframe, stamped.at, self.info, is_audio=track.is_audio
                )

    def _follow(self, sets: ParameterSets, keyframe: bytes) -> ParameterSets:
        """Return the parameter sets that hold from a keyframe on; when they are others, the stream has changed."""
        latest = sets | parameter_sets(self.info.codec, keyframe)
        if latest == sets:
            return sets
        picture = picture_of(self.info.codec, latest)
        if picture is None:  # broken ones: what was known still holds
            return sets
        self.info = self.info.changed(to_extradata(latest), picture.width, picture.height)
        return latest

    def _packets(self, stopping: Callable[[], bool]) -> Iterator[tuple[Packet[av.stream.Stream], float]]:
        """Yield (packet, how long it was waited for in seconds)."""
        no_picture = f"{self._address.place} has sent no picture for {STALL_S:.0f} s"
        heard_at = seen_at = time.monotonic()
        try:
            # Of all tracks: those that are not asked for PyAV passes over in a loop that nobody can end.
            for packet in self._container.demux():
                waited_s = time.monotonic() - heard_at
                self.is_silent = waited_s >= STALL_S - _WAITED_S
                if packet.size:
                    yield packet, waited_s
                    if packet.stream.index == self._picture:
                        seen_at = time.monotonic()
                if stopping():
                    return
                if self.is_silent:  # the read was broken off; the next one would wait as long again
                    raise CameraError("camera_lost", no_picture)
                if waited_s >= _WAITED_S:  # there is no more
                    time.sleep(GATHER_S)
                # Only now: while the caller worked on the packet nobody waited for the camera.
                heard_at = time.monotonic()
                if heard_at - seen_at >= STALL_S:
                    raise CameraError("camera_lost", f"{no_picture}, only other tracks")
        except av.error.ExitError:
            raise CameraError("camera_lost", no_picture) from None
        except (av.error.FFmpegError, OSError) as error:
            raise explain(error, self._address, is_open=True) from None
        raise CameraError("camera_lost", f"{self._address.place} ended the session")


def explain(error: Exception, address: CameraAddress, *, is_open: bool = False) -> CameraError:
    """Translate an error of FFmpeg; `is_open`: of a session that was accepted.

    Its own text is not used: it holds the URL, and so the password.
    """
    place = address.place
    number = error.errno if isinstance(error, OSError) else None
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            user = f"user {address.username}" if address.username else "a session without a user"
            return CameraError("auth_failed", f"{place} refuses {user}")
        case av.error.HTTPNotFoundError():
            return CameraError("camera_lost", f"{place} has no stream {mask_url(address.path)}")
        case av.error.HTTPOtherClientError():
            return CameraError("camera_lost", f"{place} refuses the session (a 4xx answer; 453 means too many viewers)")
        case av.error.HTTPServerError():
            return CameraError("camera_lost", f"{place} answers with an error of its own (5xx)")
        case av.error.ExitError() | av.error.TimeoutError():
            return CameraError("camera_lost", _no_answer(address))
        case av.error.InvalidDataError():
            return CameraError("camera_lost", f"{place} answers in a way that is not understood")
        case av.error.EOFError():
            return CameraError("camera_lost", f"{place} ended the session")
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL):
        return CameraError("network", f"{address.host} cannot be reached: {_strerror(error)}")
    if number == errno.EIO and not is_open:  # FFmpeg's answer to a name that does not resolve, among others
        return CameraError("network", f"{place} cannot be reached")
    return CameraError("camera_lost", f"{place}: {_strerror(error)}")


def _no_answer(address: CameraAddress) -> str:
    return f"{address.place} does not answer within {OPEN_TIMEOUT_S:.0f} s"


def _codec(stream: av.VideoStream | av.AudioStream) -> str | None:
    """Return FFmpeg's name of a stream's codec, None where it has no decoder for it."""
    context: av.CodecContext | None = stream.codec_context  # PyAV declares that there always is one
    return None if context is None else context.name


def _strerror(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
