# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""What is in the RTP packets of a video track (RFC 3550, RFC 6184, RFC 7798): counts, keyframes, parameter sets.

Python's standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CLOCK_HZ = 90_000
_HALF_TURN = 1 << 31


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a stream in `seconds`; the intervals and rates are None where too little came to say."""

    seconds: float
    packets: int
    packets_lost: int
    frames: int
    keyframes: int
    keyframe_interval_s: float | None
    fps: float | None
    bit_rate_bps: int


@dataclass(slots=True)
class RtpCounter:
    """Counts the packets of one track; `codec` is `H264`, `H265` or another, in which no keyframes are known."""

    codec: str
    packets: int = 0
    octets: int = 0
    frames: int = 0
    lost: int = 0
    keyframes: int = 0
    parameter_sets: dict[int, bytes] = field(default_factory=dict)
    _sequence: int | None = None
    _stamp: int | None = None
    _elapsed: int = 0
    _key_at: tuple[int, int] | None = None
    _key_stamp: int | None = None

    def add(self, packet: bytes) -> None:
        """Count a packet; what is no RTP is left out."""
        payload = _payload(packet)
        if payload is None:
            return
        sequence, stamp = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:8], "big")
        if self._sequence is not None and 0 < (gap := (sequence - self._sequence) & 0xFFFF) < 0x8000:
            self.lost += gap - 1
        self._sequence = sequence
        self.packets += 1
        self.octets += len(packet)
        if stamp != self._stamp:
            step = (stamp - self._stamp) & 0xFFFFFFFF if self._stamp is not None else 0
            self._elapsed += step if step < _HALF_TURN else 0
            self._stamp = stamp
            self.frames += 1
        self._look(payload)

    def _look(self, payload: bytes) -> None:
        """Note a keyframe, once for each time stamp, and parameter sets."""
        for kind, nal in nal_units(self.codec, payload):
            if kind in ((5,) if self.codec == "H264" else range(16, 22)) and self._key_stamp != self._stamp:
                self._key_stamp = self._stamp
                self.keyframes += 1
                self._key_at = (self._key_at[0] if self._key_at else self._elapsed, self._elapsed)
            elif kind in ((7, 8) if self.codec == "H264" else (32, 33, 34)):
                self.parameter_sets[kind] = nal

    def result(self, seconds: float) -> Received:
        """Return the figures, for a stream that was watched for so many seconds from its first packet on."""
        span = self._key_at[1] - self._key_at[0] if self._key_at else 0
        interval = span / CLOCK_HZ / (self.keyframes - 1) if self.keyframes > 1 and span else None
        fps = (self.frames - 1) * CLOCK_HZ / self._elapsed if self._elapsed else None
        rate = round(self.octets * 8 / seconds) if seconds > 0 else 0
        return Received(
            round(seconds, 3),
            self.packets,
            self.lost,
            self.frames,
            self.keyframes,
            None if interval is None else round(interval, 3),
            None if fps is None else round(fps, 2),
            rate,
        )


def _payload(packet: bytes) -> bytes | None:
    """Return what an RTP packet carries; None when it is none (RFC 3550, 5.1)."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    begin = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if len(packet) < begin + 4:
            return None
        begin += 4 + 4 * int.from_bytes(packet[begin + 2 : begin + 4], "big")
    end = len(packet) - (packet[-1] if packet[0] & 0x20 else 0)
    return packet[begin:end] if begin < end else None


def nal_units(codec: str, payload: bytes) -> list[tuple[int, bytes]]:
    """Return (type, bytes) of the NAL units that begin in a payload; a fragment gives its type and no bytes."""
    if codec == "H264":
        kind = payload[0] & 0x1F
        if kind == 24:
            return [(nal[0] & 0x1F, nal) for nal in _aggregated(payload[1:])]
        if kind in (28, 29):
            return [(payload[1] & 0x1F, b"")] if len(payload) > 1 and payload[1] & 0x80 else []
        return [(kind, payload)]
    if codec == "H265":
        kind = payload[0] >> 1 & 0x3F
        if kind == 48:
            return [(nal[0] >> 1 & 0x3F, nal) for nal in _aggregated(payload[2:])]
        if kind == 49:
            return [(payload[2] & 0x3F, b"")] if len(payload) > 2 and payload[2] & 0x80 else []
        return [(kind, payload)]
    return []


def _aggregated(data: bytes) -> list[bytes]:
    """Return the units of an aggregation packet, up to the first that is cut off."""
    found = []
    while len(data) > 2:
        size = int.from_bytes(data[:2], "big")
        if not 0 < size <= len(data) - 2:
            break
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found
