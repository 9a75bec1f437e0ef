"""The source of the benchmarks: exact counts, and a stream that never breaks."""

import struct

from bench.source import Track
from fakes.fake_dvr import AccessUnit, Footage

UNITS = [AccessUnit((b"\x65" * 10, b"\x65" * 5), True), AccessUnit((b"\x41" * 7,), False)]


def headers(track: Track, number: int) -> list[tuple[int, int, bool]]:
    """Each packet's (sequence number, time stamp, is the frame's last)."""
    data, found = track.packets(number), []
    while data:
        size = struct.unpack(">xxH", data[:4])[0]
        _, kind, sequence, stamp, _ = struct.unpack(">BBHII", data[4:16])
        found.append((sequence, stamp, bool(kind & 0x80)))
        data = data[4 + size :]
    return found


def test_sequence_numbers_and_time_stamps_go_on_where_the_footage_begins_anew() -> None:
    track = Track(Footage("H264", 10.0, tuple(UNITS), ()), UNITS, 10.0)
    assert headers(track, 0) == [(0, 0, False), (1, 0, True)]
    assert headers(track, 1) == [(2, 9000, True)]
    assert headers(track, 2) == [(3, 18000, False), (4, 18000, True)]
    assert headers(track, 2 * 21_845 + 1)[0][0] == (21_845 * 3 + 2) & 0xFFFF
