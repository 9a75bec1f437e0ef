"""Which frames of the source are in a recorded file: frames are known again by their encoded bytes."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import av
import av.error

from bench.source import Track

Digest = bytes


class FrameIndex:
    """Numbers of a track's frames by their content."""

    def __init__(self, track: Track, frames: int) -> None:
        """Index the first `frames` frames."""
        self._numbers: dict[Digest, list[int]] = defaultdict(list)
        for number in range(frames):
            self._numbers[_digest(pictures_of_packets(track, number))].append(number)

    def decodable(self, path: Path) -> list[int]:
        """Return the numbers of the frames that a player shows of a file; of equal frames those that follow best."""
        found: list[int] = []
        shown = 0
        with contextlib.suppress(av.error.FFmpegError, IndexError), av.open(str(path)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                shown += len(packet.decode())
                numbers = self._numbers.get(_digest(pictures(bytes(packet)))) if packet.size else None
                if numbers:
                    expected = found[-1] + 1 if found else numbers[-1]
                    found.append(min(numbers, key=lambda number: abs(number - expected)))
        return found[:shown]


def pictures_of_packets(track: Track, number: int) -> list[bytes]:
    """Return the NAL units of a frame of the source that hold picture, put together from its RTP payloads."""
    units: list[bytes] = []
    for payload in track.payloads(number):
        if payload[0] & 0x1F != 28:
            units.append(payload)
        elif payload[1] & 0x80:  # first fragment, RFC 6184
            units.append(bytes([payload[0] & 0xE0 | payload[1] & 0x1F]) + payload[2:])
        else:
            units[-1] += payload[2:]
    return [unit for unit in units if unit[0] & 0x1F in (1, 5)]


def pictures(packet: bytes) -> list[bytes]:
    """Return the NAL units of a file's packet (each after its length in four bytes) that hold picture."""
    return [unit for unit in _units(packet) if unit and unit[0] & 0x1F in (1, 5)]


def _units(packet: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 < len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        yield packet[at + 4 : at + 4 + size]
        at += 4 + size


def _digest(units: list[bytes]) -> Digest:
    return blake2b(b"".join(unit.rstrip(b"\0") for unit in units), digest_size=12).digest()
