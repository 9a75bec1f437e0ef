"""Picture sizes out of parameter sets, and nothing but a refusal out of garbage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.sps import Picture, SpsError, read_sps
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


@settings(max_examples=500, deadline=None)
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
