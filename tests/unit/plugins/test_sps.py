"""Picture sizes out of parameter sets, and nothing but a refusal out of garbage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.sps import Picture, SpsError, read_sps, read_vps
from unit.plugins.rtsp_samples import SPS_SAMPLES


@pytest.mark.parametrize(("codec", "width", "height", "fps", "nal"), SPS_SAMPLES)
def test_the_size_is_what_was_encoded(codec: str, width: int, height: int, fps: float | None, nal: str) -> None:
    assert read_sps(codec, bytes.fromhex(nal)) == Picture(width, height, fps)


@pytest.mark.parametrize(("codec", "nal"), [(sample[0], sample[4]) for sample in SPS_SAMPLES])
def test_a_set_that_is_cut_short_is_refused_or_keeps_its_size(codec: str, nal: str) -> None:
    whole = bytes.fromhex(nal)
    for size in range(len(whole)):
        try:
            cut = read_sps(codec, whole[:size])
        except SpsError:
            continue
        assert (cut.width, cut.height) == (read_sps(codec, whole).width, read_sps(codec, whole).height)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(codec=st.sampled_from(["H264", "H265"]), data=st.binary(max_size=200))
def test_garbage_is_refused(codec: str, data: bytes) -> None:
    head = b"\x67\x64" if codec == "H264" else b"\x42\x01"
    for nal in (data, head + data):
        try:
            picture = read_sps(codec, nal)
        except SpsError:
            continue
        assert 0 < picture.width <= 16_384
        assert 0 < picture.height <= 16_384


def test_a_number_that_never_ends_is_refused() -> None:
    with pytest.raises(SpsError, match="32 bits"):
        read_sps("H264", b"\x67\x42\xc0\x1f" + bytes(100))


def test_an_endless_set_is_refused() -> None:
    with pytest.raises(SpsError, match="more than 4096"):
        read_sps("H264", b"\x67" + bytes(5000))


def bits(*fields: tuple[int, int]) -> bytes:
    """Write (value, number of bits) after each other."""
    text = "".join(f"{value:0{count}b}" for value, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def vps(*end: tuple[int, int]) -> bytes:
    """An H.265 video parameter set of one layer up to its last_layer_id, and what follows."""
    head = [(0, 4), (3, 2), (0, 6), (0, 3), (1, 1), (0xFFFF, 16), (0, 88), (90, 8)]
    return b"\x40\x01" + bits(*head, (1, 1), (1, 1), (1, 1), (1, 1), (0, 6), *end)


def test_the_rate_in_a_video_parameter_set() -> None:
    assert read_vps("H265", vps((1, 1), (1, 1), (1001, 32), (30_000, 32))) == pytest.approx(29.97, abs=0.001)
    assert read_vps("H265", vps((1, 1), (0, 1))) is None
    assert read_vps("H265", vps((1, 1), (1, 1), (0, 32), (30_000, 32))) is None
    with pytest.raises(SpsError):
        read_vps("H265", vps((1, 1), (1, 1), (1, 32)))
    with pytest.raises(SpsError):
        read_vps("H264", vps((1, 1), (0, 1)))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_garbage_in_a_video_parameter_set_is_refused(data: bytes) -> None:
    for nal in (data, b"\x40\x01" + data, vps() + data):
        try:
            rate = read_vps("H265", nal)
        except SpsError:
            continue
        assert rate is None or 0 < rate <= 1000


@pytest.mark.parametrize("nal", [sample[4] for sample in SPS_SAMPLES if sample[0] == "H265"])
def test_a_flipped_bit_never_does_more_than_be_refused(nal: str) -> None:
    whole = bytes.fromhex(nal)
    for at in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[at // 8] ^= 0x80 >> at % 8
        try:
            picture = read_sps("H265", bytes(changed))
        except SpsError:
            continue
        assert picture.fps is None or 0 < picture.fps <= 1000
