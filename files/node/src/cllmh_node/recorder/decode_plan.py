"""How much of a stream is decoded while its camera is quiet."""

from enum import StrEnum

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


def choose_plan(gop_s: float, *, look_every_s: float, is_sub_stream: bool, is_overloaded: bool) -> DecodePlan:
    """Return the cheapest plan that sees the scene at least every `look_every_s` seconds; overload comes first.

    `gop_s`: the longest time between two keyframes so far, in seconds.
    """
    if is_overloaded:
        return DecodePlan.KEYFRAMES
    if is_sub_stream:
        return DecodePlan.EVERY_FRAME
    return DecodePlan.DENSE if gop_s > _GOP_TOLERANCE * look_every_s else DecodePlan.KEYFRAMES
