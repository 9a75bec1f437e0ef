"""What a camera sends: a description of the stream, then encoded frames."""

from dataclasses import dataclass
from fractions import Fraction

import av


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A camera's video stream."""

    codec: str
    """FFmpeg's name of the codec, such as h264 or hevc."""

    width: int
    """Pixels; 0 when the stream has not said."""

    height: int
    """Pixels; 0 when the stream has not said."""

    fps: float | None
    """Frames a second as the stream says, None when it does not."""

    time_base: Fraction
    """Seconds of one tick of `EncodedFrame.pts`."""

    template: av.VideoStream
    """The opened stream: what a decoder or a file's track needs to know (parameter sets, time base)."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded picture, independent of the session it came from."""

    data: bytes
    pts: int
    """Presentation time in ticks of the stream's time base."""

    dts: int
    """Decoding time in ticks of the stream's time base, increasing."""

    is_keyframe: bool
    at: float
    """When it was taken, as unix seconds (UTC)."""
