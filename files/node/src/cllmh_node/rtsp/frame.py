"""What a camera sends: a description of the stream, then encoded frames."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction

import av


def _holder() -> av.container.OutputContainer:
    """Return a file that is never written. A stream of it stays; one of a session that was closed is freed memory."""
    return av.open(io.BytesIO(), "w", format="mp4")


@dataclass(frozen=True, slots=True, eq=False)
class AudioInfo:
    """A camera's sound, where it has some that clips can hold."""

    codec: str
    """FFmpeg's name of the codec, such as aac."""

    sample_rate: int
    """Samples a second."""

    time_base: Fraction
    """Seconds of one tick of an audio frame's `pts`."""

    template: av.AudioStream
    """What a file's track needs to know; it outlives the session."""

    @classmethod
    def of(cls, stream: av.AudioStream) -> AudioInfo:
        """Describe an opened stream."""
        assert stream.time_base is not None
        template = _holder().add_stream_from_template(stream)
        return cls(stream.codec_context.name, stream.codec_context.sample_rate, stream.time_base, template)


USUAL_FPS = 25
"""Frames a second of a stream that does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamInfo:
    """A camera's stream. Another object means that the stream has changed, even when all in it is the same."""

    codec: str
    """FFmpeg's name of the video codec, such as h264 or hevc."""

    width: int
    """Pixels; 0 when the stream has not said."""

    height: int
    """Pixels; 0 when the stream has not said."""

    fps: float | None
    """Frames a second as the stream says, None when it does not."""

    time_base: Fraction
    """Seconds of one tick of a video frame's `pts`."""

    template: av.VideoStream
    """Codec and time base for a file's track; it outlives the session. Its parameter sets and size may be old."""

    extradata: bytes
    """Parameter sets (SPS, PPS, for H.265 VPS too) as Annex B or avcC/hvcC; empty when they come in-band only."""

    audio: AudioInfo | None = None
    """The sound, None where there is none or none that a clip can hold."""

    @classmethod
    def of(cls, stream: av.VideoStream, audio: AudioInfo | None = None) -> StreamInfo:
        """Describe an opened stream."""
        context = stream.codec_context
        assert stream.time_base is not None  # RTP and files have a clock
        fps = float(stream.average_rate) if stream.average_rate else None
        extradata = context.extradata or b""
        template = _holder().add_stream_from_template(stream)
        return cls(context.name, context.width, context.height, fps, stream.time_base, template, extradata, audio)

    def changed(self, extradata: bytes, width: int, height: int) -> StreamInfo:
        """Return the description of the same stream with other parameter sets."""
        return replace(self, extradata=extradata, width=width, height=height)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame:
    """One encoded picture, or some sound, independent of the session it came from."""

    data: bytes
    pts: int
    """Presentation time in ticks of the stream's time base (`info.time_base`, of sound `info.audio.time_base`)."""

    dts: int
    """Decoding time in ticks of the same time base, increasing."""

    is_keyframe: bool
    """Decoding can start here; never true of sound."""

    at: float
    """When it was taken, as unix seconds (UTC)."""

    info: StreamInfo
    """The stream it belongs to. A frame with another object than the last one's begins a changed stream."""

    is_audio: bool = False
