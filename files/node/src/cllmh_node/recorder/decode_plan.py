"""How much of a stream is decoded while its camera is quiet."""

import math
from enum import StrEnum

CHEAP_PIXELS_S = 2_500_000.0
"""A sub-stream of no more pixels a second than this, 640x360 at 10 frames/s, is worth watching in any case."""

_KEYFRAME_COST = 2.4  # of a keyframe's pixel, in those of another frame: 12 and 5 ns measured
_WORTH = 2.0  # to see every frame may cost so many times what keyframes do

_GOP_TOLERANCE = 1.25  # cameras' keyframes come a little late now and then


class DecodePlan(StrEnum):
    """What is decoded."""

    KEYFRAMES = "keyframes"
    """Keyframes only."""

    DENSE = "dense"
    """All frames in sequence, since keyframes are too far apart; one every 0.4 s is looked at."""

    EVERY_FRAME = "every_frame"
    """All frames of a sub-stream, which is small; one every 0.4 s is looked at."""

    SUB_STREAM = "sub_stream"
    """Nothing of the stream that is recorded, since the camera's sub-stream is watched."""


def most_sub_stream_pixels_s(main_pixels: int, gop_s: float, *, look_every_s: float) -> float:
    """Return the pixels a second up to which a sub-stream is rather watched than the main stream.

    `main_pixels`: of a picture of the main stream; `gop_s`: the longest time between two of its keyframes, in seconds,
    0 while that is not known.
    """
    if not 0 < gop_s <= _GOP_TOLERANCE * look_every_s:
        return math.inf
    return max(CHEAP_PIXELS_S, _WORTH * _KEYFRAME_COST * main_pixels / gop_s)


def choose_plan(gop_s: float, *, look_every_s: float, is_sub_stream: bool, is_overloaded: bool) -> DecodePlan:
    """Return the cheapest plan that sees the scene at least every `look_every_s` seconds; overload comes first.

    `gop_s`: the longest time between two keyframes so far, in seconds.
    """
    if is_overloaded:
        return DecodePlan.KEYFRAMES
    if is_sub_stream:
        return DecodePlan.EVERY_FRAME
    return DecodePlan.DENSE if gop_s > _GOP_TOLERANCE * look_every_s else DecodePlan.KEYFRAMES
