"""The ring holds whole GOPs, bounded by seconds and bytes."""

import tracemalloc
from typing import cast

import pytest

from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo

INFO = cast(StreamInfo, None)  # the ring does not look at it


def fill(ring: PacketRing, seconds: int, *, gop: int = 10, fps: int = 10, size: int = 100, keep_s: float = 5.0) -> None:
    for number in range(seconds * fps):
        ring.append(EncodedFrame(bytes(size), number, number, number % gop == 0, number / fps, INFO), keep_s)


def test_the_pre_roll_begins_with_the_keyframe_before_it() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 20)
    frames = list(ring.since(16.5))
    assert frames[0].is_keyframe
    assert frames[0].at == 16.0
    assert frames[-1].at == 19.9


def test_at_least_the_seconds_asked_for_are_kept_and_not_much_more() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 60, keep_s=5.0)
    oldest = next(iter(ring.since(0)))
    assert 59.9 - 5.0 - 1.0 <= oldest.at <= 59.9 - 5.0


def test_memory_is_bounded_whatever_the_camera_sends() -> None:
    ring = PacketRing(10_000)
    fill(ring, 60, size=1_000, gop=600, keep_s=100.0)
    assert ring.size_bytes <= 10_000


def test_frames_before_the_first_keyframe_are_not_kept() -> None:
    ring = PacketRing(1_000_000)
    ring.append(EncodedFrame(b"x", 0, 0, False, 0.0, INFO), 5.0)
    assert ring.size_bytes == 0


def test_the_last_gops_are_those_that_a_suspicion_needs() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 10, keep_s=30)
    ring.append(EncodedFrame(b"key", 100, 100, True, 10.0, INFO), 30)
    frames = ring.last_gops(2)
    assert [frames[0].at, frames[-1].at] == [9.0, 10.0]
    assert ring.longest_gop_s == 1.0


def test_nothing_from_before_a_break_joins_what_comes_after() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 10)
    ring.clear()
    assert list(ring.since(0)) == []
    assert ring.size_bytes == 0


def test_what_went_for_lack_of_memory_is_known_and_what_went_in_time_is_not_held_against_it() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 60)
    assert ring.lost_until == 0
    small = PacketRing(3_500)
    fill(small, 60)
    assert small.lost_until == pytest.approx(56.9, abs=1.1)
    small.clear()
    assert small.lost_until == 0


def test_sound_is_kept_for_the_clip_and_kept_from_the_detector() -> None:
    ring = PacketRing(1_000_000)
    fill(ring, 3)
    ring.append(EncodedFrame(b"sound", 0, 0, False, 2.95, INFO, is_audio=True), 5.0)
    assert [frame.is_audio for frame in ring.since(2.5)][-1]
    assert not any(frame.is_audio for frame in ring.last_gops(9))


def test_a_frame_in_the_ring_costs_little_beside_its_bytes() -> None:
    tracemalloc.start()
    ring = PacketRing(100_000_000)
    before = tracemalloc.get_traced_memory()[0]
    fill(ring, 100, gop=20, size=10_000, keep_s=1_000)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert ring.size_bytes == 10_000_000
    assert (used - ring.size_bytes) / 1_000 < 300
