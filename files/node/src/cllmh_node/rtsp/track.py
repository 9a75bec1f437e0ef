"""One track of a session: its packets with time stamps that can be relied on, and the time each was taken."""

# PyAV's classes are generic for type checkers only, so annotations must not be evaluated.
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.packet import Packet
from av.stream import Stream

from cllmh_node.rtsp.frame import USUAL_FPS
from cllmh_node.rtsp.stamps import StampLine
from cllmh_node.rtsp.wall_clock import WallClock

_MAX_BACKLOG = 1000
_MAX_BACKLOG_BYTES = 8_000_000  # four times what FFmpeg probes
_LONGEST_FRAME_S = 0.2  # whatever the description says: frames are dated by it before their stamps are known
_MAX_HELD = 20  # more than the frames that a B-frame can be shown before


@dataclass(slots=True)
class Stamped:
    """A packet with its time stamps in ticks of its track; `at` is unix seconds (UTC)."""

    packet: Packet[Stream]
    pts: int
    dts: int
    arrived_at: float
    at: float = 0.0


class Track:
    """Takes the packets of a video or audio stream in the order of their arrival."""

    def __init__(self, stream: av.VideoStream | av.AudioStream) -> None:
        assert stream.time_base is not None  # RTP has a clock
        self.stream = stream
        self.is_audio = stream.type == "audio"
        self._tick_s = float(stream.time_base)
        fps = float(stream.average_rate or USUAL_FPS) if isinstance(stream, av.VideoStream) else 50.0
        self._frame_ticks = max(1, round(min(1 / fps, _LONGEST_FRAME_S) / self._tick_s))
        self._line = StampLine(self._tick_s, self._frame_ticks)
        self._clock: WallClock | None = None
        self._held: list[tuple[Packet[Stream], float, float]] = []
        self._backlog: list[Stamped] = []
        self._backlog_bytes = 0
        self._last: tuple[int, int] | None = None

    def put(self, packet: Packet[Stream], *, is_live: bool, is_held: bool = False) -> Iterator[Stamped]:
        """Yield what is complete with this packet.

        `is_live`: it was just sent, and has not waited in a buffer. `is_held`: it came seconds ago, and nothing after
        it: when it is read says nothing about when it was sent.
        """
        for stamped in self._stamp(packet, time.monotonic(), time.time()):
            # By the decoding time, which runs on where B-frames are shown out of order.
            stream_s = stamped.dts * self._tick_s
            if self._clock is not None:
                if not is_held:
                    self._clock.observe(stream_s, stamped.arrived_at)
                stamped.at = self._clock.at(stream_s)
                yield stamped
                continue
            self._backlog.append(stamped)
            self._backlog_bytes += stamped.packet.size
            if is_live or len(self._backlog) >= _MAX_BACKLOG or self._backlog_bytes >= _MAX_BACKLOG_BYTES:
                self._clock = WallClock(stream_s, stamped.arrived_at)
                for earlier in self._backlog:
                    earlier.at = self._clock.at(earlier.dts * self._tick_s)
                    yield earlier
                self._backlog.clear()

    def _stamp(self, packet: Packet[Stream], now_s: float, arrived_at: float) -> Iterator[Stamped]:
        """Yield packets with both time stamps.

        FFmpeg's parser gives a session's first frame, a keyframe, without stamps, and the first frames of a stream
        with B-frames without a decoding time: they are counted back from the first that has both.
        """
        if self._last is None:
            self._held.append((packet, now_s, arrived_at))
            if (packet.pts is None or packet.dts is None) and len(self._held) < _MAX_HELD:
                return
            known = [held.pts for held, _, _ in self._held if held.pts is not None]
            first_pts = min(known, default=0) - self._frame_ticks
            first_dts = first_pts if packet.dts is None else packet.dts
            for back, (held, held_s, held_at) in zip(range(len(self._held) - 1, -1, -1), self._held, strict=True):
                pts = first_pts if held.pts is None else held.pts
                yield self._placed(held, pts, first_dts - back * self._frame_ticks, held_s, held_at)
            self._held.clear()
            return
        ticks = packet.duration or self._frame_ticks
        last_pts, last_dts = self._last
        pts = last_pts + ticks if packet.pts is None else packet.pts
        dts = last_dts + ticks if packet.dts is None else packet.dts
        yield self._placed(packet, pts, dts, now_s, arrived_at)

    def _placed(self, packet: Packet[Stream], pts: int, dts: int, now_s: float, arrived_at: float) -> Stamped:
        self._last = (pts, dts)
        placed = self._line.place(pts, now_s)
        return Stamped(packet, placed, min(dts + self._line.shift, placed), arrived_at)
