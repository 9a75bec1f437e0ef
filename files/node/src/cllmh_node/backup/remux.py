"""From a raw H.264 or H.265 file, which knows no times, to an MP4 whose times are right."""

import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.bitstream import BitStreamFilterContext

_FPS_AGREES = 0.1
"""The frame rate in the stream's own description is taken when what came differs from it by less than this part."""

_CLOCK_HZ = 90_000


class RemuxError(Exception):
    """A raw file could not be made an MP4."""


def remux(raw: Path, target: Path, span_s: float) -> float:
    """Write `target` from `raw`, whose pictures came in `span_s` seconds; return its length in seconds.

    The first pictures before a keyframe are left out. Raises RemuxError, OSError when the disk refuses.
    """
    codec = "hevc" if "H265" in raw.name.upper() else "h264"
    try:
        fps, count = _frame_rate(raw, codec, span_s)
        _write(raw, codec, target, fps)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno == 28:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from None
        raise RemuxError(f"{raw.name}: cannot be made an MP4: {error.strerror}") from None
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return count / float(fps)


def _frame_rate(raw: Path, codec: str, span_s: float) -> tuple[Fraction, int]:
    """Return the frames a second and how many there are from the first keyframe on."""
    count = 0
    with av.open(str(raw), format=codec) as source:
        stream = source.streams.video[0]
        said = stream.codec_context.framerate or Fraction(0)
        for packet in source.demux(stream):
            if packet.size and (count or packet.is_keyframe):
                count += 1
    if count < 2 or span_s <= 0:
        raise RemuxError(f"{raw.name}: holds {count} pictures that can be used")
    measured = Fraction(count / span_s).limit_denominator(1000)
    return (said if said and abs(said / measured - 1) < _FPS_AGREES else measured), count


def _write(raw: Path, codec: str, target: Path, fps: Fraction) -> None:
    """Copy the pictures one after the other at a frame rate."""
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    number = 0
    time_base = Fraction(1, _CLOCK_HZ)
    ticks = _CLOCK_HZ / fps
    with (
        av.open(str(raw), format=codec) as source,
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as sink,
    ):
        stream = source.streams.video[0]
        track = sink.add_stream_from_template(stream)
        track.time_base = time_base
        # In a raw file nothing says when a B-frame is shown but the picture order count in its header.
        order = BitStreamFilterContext("dts2pts", stream)
        for packet in source.demux(stream):
            is_end = not packet.size
            if not is_end:
                if not number and not packet.is_keyframe:
                    continue
                packet.time_base = time_base
                packet.pts, packet.dts = None, round(number * ticks)
                packet.duration = round(ticks)
                number += 1
            for placed in order.filter(None if is_end else packet):
                # At the end of a stream with B-frames the filter guesses, and sometimes backwards.
                placed.pts = max(placed.pts or 0, placed.dts or 0)
                placed.time_base = time_base
                placed.stream = track
                sink.mux(placed)
