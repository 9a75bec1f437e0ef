"""What a DVR's description says, and what is made of a bad one."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllmh_node.rtsp.sdp import MAX_LINES, Media, SdpError, parse_sdp
from unit.plugins.rtsp_samples import DAHUA_SDP, HIKVISION_SDP
from unit.plugins.test_sps import vps


def test_a_dahua_answer() -> None:
    video, audio = parse_sdp(DAHUA_SDP)
    assert (video.codec, video.width, video.height, video.fps) == ("H264", 1920, 1080, 25.0)
    assert video.control == "trackID=0"
    assert [len(nal) for nal in video.parameter_sets] == [25, 4]
    assert (audio.kind, audio.codec) == ("audio", "PCMA")


def test_a_hikvision_answer() -> None:
    (video,) = parse_sdp(HIKVISION_SDP)
    assert (video.codec, video.width, video.height) == ("H265", 2592, 1944)
    assert video.control == "rtsp://192.0.2.10:554/Streaming/Channels/101/trackID=1"


def test_size_from_attributes_where_there_is_no_parameter_set() -> None:
    text = b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=framesize:96 704-576\na=framerate:12.5\n"
    (video,) = parse_sdp(text)
    assert (video.width, video.height, video.fps) == (704, 576, 12.5)


def test_the_rate_of_a_video_parameter_set_where_nothing_else_says_it() -> None:
    sets = f"sprop-vps={b64encode(vps((1, 1), (1, 1), (1, 32), (15, 32))).decode()}"
    text = f"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 {sets}\n"
    (video,) = parse_sdp(text.encode())
    assert video.fps == 15.0


def test_codecs_by_their_other_names_and_by_payload_type() -> None:
    text = b"v=0\nm=video 0 RTP/AVP 97\na=rtpmap:97 hevc/90000\nm=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 26\n"
    assert [media.codec for media in parse_sdp(text)] == ["H265", "PCMU", "JPEG"]


def test_a_broken_parameter_set_costs_the_size_only() -> None:
    text = b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=!!!,Z0\n"
    assert parse_sdp(text) == (Media("video", "H264"),)


@pytest.mark.parametrize("rate", ["0", "-5", "1e99", "99999999", "nan", "", "25/0x"])
def test_an_impossible_rate_is_left_out(rate: str) -> None:
    (video,) = parse_sdp(f"v=0\nm=video 0 RTP/AVP 26\na=framerate:{rate}\n".encode())
    assert video.fps in (None, 25.0, 1.0)


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"v=0\nm=video\n", b"v=0\n" + b"a=x\n" * MAX_LINES, b"v=0\n" + b"m=a 0 b 1\n" * 17]
)
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(SdpError):
        parse_sdp(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(DAHUA_SDP.split(b"\r\n") + HIKVISION_SDP.split(b"\n")) | st.binary(max_size=80)))
def test_shuffled_and_foreign_lines_never_do_more_than_be_refused(lines: list[bytes]) -> None:
    try:
        tracks = parse_sdp(b"v=0\n" + b"\n".join(lines))
    except SdpError:
        return
    assert all(len(track.codec) <= 32 for track in tracks)
