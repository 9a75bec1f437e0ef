"""The simulated DVR against FFmpeg's own RTSP client: what the other tests rely on."""

import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from urllib.parse import quote

import av
import numpy as np
import pytest

from fakes.fake_dvr import FakeDvr, Footage, running

FPS = 10
PICTURES = 40
GOP = 10
LOOP_S = PICTURES / FPS
PASSWORD = "p@s:s/w?r#d%41"


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """A loop of 4 s in which the brightness tells the position: 5 grey levels a picture."""
    path = tmp_path_factory.mktemp("footage") / "ramp.h264"
    settings = {
        "preset": "ultrafast",
        "x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0:repeat-headers=1",
    }
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=FPS, options=settings)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(PICTURES):
            picture = np.full((96, 64), 128, np.uint8)
            picture[:64] = 20 + 5 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return Footage.load(path, FPS)


@pytest.fixture
def dvr(footage: Footage) -> FakeDvr:
    return FakeDvr({(1, False): footage}, "admin", PASSWORD, "dahua")


def open_stream(port: int, channel: int = 1) -> av.container.InputContainer:
    # Long enough for a busy machine, short enough for the test of a picture that stops.
    url = f"rtsp://admin:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/cam/realmonitor?channel={channel}&subtype=0"
    # A small probe: FFmpeg would otherwise hold the first 5 s back to guess the frame rate.
    return av.open(url, options={"rtsp_transport": "tcp", "analyzeduration": "0", "probesize": "32"}, timeout=(5, 2))


def packets(container: av.container.InputContainer, count: int) -> Iterator[av.Packet]:
    for number, packet in enumerate(container.demux(video=0), 1):
        yield packet
        if number == count:
            return


def test_the_file_is_cut_into_pictures(footage: Footage) -> None:
    assert footage.codec == "H264"
    assert [number for number, unit in enumerate(footage.units) if unit.keyframe] == [0, 10, 20, 30]
    assert len(footage.units) == PICTURES


def test_a_stream_begins_with_a_keyframe_and_its_times_are_even(dvr: FakeDvr) -> None:
    with running(dvr) as port, open_stream(port) as container:
        got = list(packets(container, 25))
    assert got[0].is_keyframe
    times = [packet.pts * packet.time_base for packet in got[1:] if packet.pts is not None and packet.time_base]
    steps = {later - earlier for earlier, later in pairwise(times)}
    assert steps == {Fraction(1, FPS)}


def test_the_position_in_the_loop_is_the_unix_time(dvr: FakeDvr) -> None:
    with running(dvr) as port, open_stream(port) as container:
        for packet in packets(container, 12):
            frames = packet.decode()
            if frames:
                now = time.time() % LOOP_S
                shown = (float(frames[-1].to_ndarray()[:64].mean()) - 20) / 5 / FPS
                late = (now - shown) % LOOP_S
    # The last picture was just sent; a second is for a busy machine.
    assert late < 1.0


def test_two_clients_see_the_same_picture_at_the_same_time(dvr: FakeDvr) -> None:
    with running(dvr) as port, open_stream(port) as one, open_stream(port) as other:
        assert len(list(packets(one, 5))) == len(list(packets(other, 5))) == 5
    assert dvr.requests.count("PLAY 200") == 2


def test_more_viewers_than_it_has_room_for(dvr: FakeDvr) -> None:
    dvr.max_sessions = 1
    with running(dvr) as port, open_stream(port) as container:
        assert next(packets(container, 1)).is_keyframe
        with pytest.raises(av.FFmpegError):
            open_stream(port)
    assert "SETUP 453" in dvr.requests


def test_a_channel_that_was_not_given(dvr: FakeDvr) -> None:
    with running(dvr) as port, pytest.raises(av.FFmpegError):
        open_stream(port, channel=2)
    assert dvr.requests[-1] == "DESCRIBE 404"


def test_a_wrong_password(dvr: FakeDvr) -> None:
    dvr.password = "another"
    with running(dvr) as port, pytest.raises(av.FFmpegError):
        open_stream(port)
    assert dvr.requests[-1] == "DESCRIBE 401"


def test_a_connection_that_is_cut(dvr: FakeDvr) -> None:
    dvr.drop_after_s[1] = 0.5
    with running(dvr) as port, open_stream(port) as container:
        try:
            got = len(list(packets(container, 100)))
        except av.FFmpegError:
            got = 0
    assert got < 20


def test_a_picture_that_stops_while_the_connection_stays(dvr: FakeDvr) -> None:
    dvr.stall_after_s[1] = 0.5
    with running(dvr) as port, open_stream(port) as container:
        began = time.monotonic()
        with pytest.raises(av.FFmpegError):
            list(packets(container, 100))
        assert time.monotonic() - began > 2  # the reader's own limit, not a closed connection
