"""Counting RTP packets: keyframes and loss as they were sent, and nothing but counts out of garbage."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.rtp import CLOCK_HZ, RtpCounter, nal_units
from cllmh_node.rtsp.rtsp_play import track_url
from fakes.fake_dvr import packetise

KEYFRAME = {"H264": b"\x65\x88" + bytes(5000), "H265": b"\x26\x01\x80" + bytes(5000)}
OTHER = {"H264": b"\x41\x9a" + bytes(100), "H265": b"\x02\x01\x80" + bytes(100)}


def packet(sequence: int, stamp: int, payload: bytes, head: int = 0x80) -> bytes:
    return struct.pack(">BBHII", head, 96, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 7) + payload


@pytest.mark.parametrize("codec", ["H264", "H265"])
def test_keyframes_in_fragments_are_counted_once_and_over_the_turn_of_the_clock(codec: str) -> None:
    counter, sequence, stamp = RtpCounter(codec), 65_530, 2**32 - CLOCK_HZ
    for picture in range(40):
        for payload in packetise(codec, KEYFRAME[codec] if picture % 10 == 0 else OTHER[codec]):
            counter.add(packet(sequence, stamp + picture * CLOCK_HZ // 10, payload))
            sequence += 1
    got = counter.result(4.0)
    assert (got.frames, got.keyframes, got.packets_lost) == (40, 4, 0)
    assert (got.keyframe_interval_s, got.fps) == (1.0, 10.0)
    assert got.bit_rate_bps == counter.octets * 2


def test_a_keyframe_of_several_slices_is_one() -> None:
    counter = RtpCounter("H264")
    for sequence, stamp in enumerate((0, 0, 0, 9000, 9000)):
        counter.add(packet(sequence, stamp, b"\x65\x88" + bytes(9)))
    assert (counter.result(1.0).keyframes, counter.result(1.0).frames) == (2, 2)


def test_packets_that_are_missing_are_counted_and_late_ones_are_not() -> None:
    counter = RtpCounter("H264")
    for sequence in (1, 2, 5, 4, 6):
        counter.add(packet(sequence, 0, OTHER["H264"]))
    assert counter.result(1.0).packets_lost == 3  # 3 and 4, and 5 again after the late 4


def test_parameter_sets_in_an_aggregation_packet_are_found() -> None:
    sps, pps = b"\x67abc", b"\x68d"
    both = b"\x78" + b"".join(len(nal).to_bytes(2, "big") + nal for nal in (sps, pps))
    assert nal_units("H264", both) == [(7, sps), (8, pps)]
    assert nal_units("H264", both + b"\xff\xff1") == [(7, sps), (8, pps)]


def test_extensions_and_padding_are_no_payload() -> None:
    counter = RtpCounter("H264")
    counter.add(packet(1, 0, b"\xbe\xde\0\x01abcd" + KEYFRAME["H264"] + b"\0\0\x03", head=0xB0))
    assert counter.result(1.0).keyframes == 1


def test_too_little_to_say_is_not_said() -> None:
    counter = RtpCounter("JPEG")
    counter.add(packet(1, 0, b"x"))
    got = counter.result(0.0)
    assert (got.keyframe_interval_s, got.fps, got.bit_rate_bps) == (None, None, 0)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.sampled_from(["H264", "H265"]), st.lists(st.binary(max_size=60), max_size=10), st.booleans())
def test_garbage_is_counted_or_left_out(codec: str, packets: list[bytes], headed: bool) -> None:
    counter = RtpCounter(codec)
    for number, data in enumerate(packets):
        counter.add(packet(number, number, data) if headed else data)
    got = counter.result(1.0)
    assert got.keyframes <= got.frames <= got.packets <= len(packets)


@pytest.mark.parametrize(
    ("base", "control", "url"),
    [
        ("rtsp://h/a/", "trackID=0", "rtsp://h/a/trackID=0"),
        ("rtsp://h/a?channel=1", "trackID=0", "rtsp://h/a?channel=1/trackID=0"),
        ("rtsp://h/a", "rtsp://10.0.0.1:554/b/trackID=1", "rtsp://10.0.0.1:554/b/trackID=1"),
        ("rtsp://h/a/", None, "rtsp://h/a/"),
        ("rtsp://h/a/", "*", "rtsp://h/a/"),
    ],
)
def test_addresses_of_tracks(base: str, control: str | None, url: str) -> None:
    assert track_url(base, control) == url
