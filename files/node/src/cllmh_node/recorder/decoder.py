"""Decoding as little as needed: single keyframes while quiet, whole GOPs on suspicion."""

# PyAV's classes are generic for type checkers only, so annotations must not be evaluated.
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import av.error
from av.packet import Packet
from av.stream import Stream

from cllmh_node.motion.luma import Luma, small_luma
from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo

_SLACK_S = 0.02  # frames come a little early or late


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame, small and luma only."""

    luma: Luma
    at: float
    """When it was taken, as unix seconds (UTC)."""


class LumaDecoder:
    """One decoder of one stream; damaged frames are left out, as a player would."""

    def __init__(self, info: StreamInfo) -> None:
        """Make a decoder for the stream; one thread, since there is a camera for each core already."""
        self.info = info
        """The stream it decodes."""
        self.frames = 0
        """Frames given to the codec."""
        self.pictures = 0
        """Pictures that it gave back."""
        self._time_base = info.time_base
        # The reduced picture of a keyframe does not show the blocks that the loop filter takes away; through a GOP
        # they would grow.
        self._single = _codec(info, {"skip_loop_filter": "all"})
        self._sequential: av.VideoCodecContext | None = None

    def keyframe(self, frame: EncodedFrame) -> Picture | None:
        """Return one keyframe's picture, None when it is damaged."""
        self.frames += 1
        decoded = self._decode(self._single, self._packet(frame), frame)
        decoded += self._decode(self._single, None, frame)
        self._single.flush_buffers()
        return Picture(small_luma(decoded[0][0]), decoded[0][1]) if decoded else None

    def restart(self) -> None:
        """Forget what was decoded: the next frame is a keyframe that does not follow the last one."""
        self._sequential = None  # and the memory of its pictures

    def sequence(
        self, frames: Iterable[EncodedFrame], *, every_s: float = 0.0, after: float = 0.0
    ) -> Iterator[Picture]:
        """Yield the pictures of frames that follow each other.

        All are decoded. Of those within `every_s` seconds after the unix time `after`, or after the last one yielded,
        no picture is made.
        """
        context = self._sequential = self._sequential or _codec(self.info, {})
        for frame in frames:
            self.frames += 1
            for decoded, at in self._decode(context, self._packet(frame), frame):
                if not after <= at < after + every_s - _SLACK_S:
                    after = at
                    yield Picture(small_luma(decoded), at)

    def _packet(self, frame: EncodedFrame) -> Packet[Stream]:
        packet: Packet[Stream] = av.Packet(frame.data)
        packet.pts, packet.dts, packet.time_base = frame.pts, frame.dts, self._time_base
        return packet

    def _decode(
        self, context: av.VideoCodecContext, packet: Packet[Stream] | None, frame: EncodedFrame
    ) -> list[tuple[av.VideoFrame, float]]:
        """Return the decoded frames with their times."""
        try:
            decoded = context.decode(packet)
        except av.error.InvalidDataError:
            return []
        self.pictures += len(decoded)
        base_s = float(self._time_base)
        return [(picture, frame.at + ((picture.pts or frame.pts) - frame.pts) * base_s) for picture in decoded]


def _codec(info: StreamInfo, options: dict[str, str]) -> av.VideoCodecContext:
    """Return a new decoder of a stream."""
    context = av.CodecContext.create(info.codec, "r")
    if not isinstance(context, av.VideoCodecContext):
        raise TypeError(f"{info.codec} is not a video codec")
    context.extradata = info.extradata or None
    context.thread_count = 1
    context.options = options
    return context
