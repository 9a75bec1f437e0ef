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
        context = av.CodecContext.create(info.codec, "r")
        if not isinstance(context, av.VideoCodecContext):
            raise TypeError(f"{info.codec} is not a video codec")
        self._context = context
        self._context.extradata = info.extradata or None
        self._context.thread_count = 1
        self._time_base = info.time_base

    def keyframe(self, frame: EncodedFrame) -> Picture | None:
        """Return one keyframe's picture, None when it is damaged."""
        pictures = [*self.sequence([frame])]
        pictures += [Picture(small_luma(decoded), at) for decoded, at in self._decode(None, frame)]
        self._context.flush_buffers()
        return pictures[0] if pictures else None

    def restart(self) -> None:
        """Forget what was decoded: the next frame is a keyframe that does not follow the last one."""
        self._context.flush_buffers()

    def sequence(
        self, frames: Iterable[EncodedFrame], *, every_s: float = 0.0, after: float = 0.0
    ) -> Iterator[Picture]:
        """Yield the pictures of frames that follow each other.

        All are decoded. Of those within `every_s` seconds after the unix time `after`, or after the last one yielded,
        no picture is made.
        """
        for frame in frames:
            self.frames += 1
            packet: Packet[Stream] = av.Packet(frame.data)
            packet.pts, packet.dts, packet.time_base = frame.pts, frame.dts, self._time_base
            for decoded, at in self._decode(packet, frame):
                if not after <= at < after + every_s - _SLACK_S:
                    after = at
                    yield Picture(small_luma(decoded), at)

    def _decode(self, packet: Packet[Stream] | None, frame: EncodedFrame) -> list[tuple[av.VideoFrame, float]]:
        """Return the decoded frames with their times."""
        try:
            decoded = self._context.decode(packet)
        except av.error.InvalidDataError:
            return []
        base_s = float(self._time_base)
        return [(picture, frame.at + ((picture.pts or frame.pts) - frame.pts) * base_s) for picture in decoded]
