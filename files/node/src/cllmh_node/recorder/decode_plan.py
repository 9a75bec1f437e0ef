"""How much of a stream is decoded while its camera is quiet."""

from enum import StrEnum

from cllmh_node.rtsp.frame import StreamInfo

SMALL_PIXELS_PER_S = 3_500_000
"""Up to here decoding every frame costs less than the keyframes of a 1080p stream: 640x360 at 15 frames/s, 768x432
at 10."""

_GOP_TOLERANCE = 1.25  # cameras' keyframes come a little late now and then


class DecodePlan(StrEnum):
    """What is decoded."""

    KEYFRAMES = "keyframes"
    """Keyframes only."""

    DENSE = "dense"
    """All frames in sequence, since keyframes are too far apart; two a second are looked at."""

    EVERY_FRAME = "every_frame"
    """All frames of a small stream, where that is cheap; two a second are looked at."""


def choose_plan(info: StreamInfo, gop_s: float, *, look_every_s: float, is_overloaded: bool) -> DecodePlan:
    """Return the cheapest plan that sees the scene at least every `look_every_s` seconds; overload comes first.

    `gop_s`: the longest time between two keyframes so far, in seconds.
    """
    if is_overloaded:
        return DecodePlan.KEYFRAMES
    if 0 < info.width * info.height * (info.fps or 25.0) <= SMALL_PIXELS_PER_S:
        return DecodePlan.EVERY_FRAME
    return DecodePlan.DENSE if gop_s > _GOP_TOLERANCE * look_every_s else DecodePlan.KEYFRAMES
