"""A camera's session against a simulated DVR: what cameras do with their streams, and what comes out of it."""

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from cllmh_node.clips.writer import ClipWriter
from cllmh_node.rtsp import session as rtsp_session
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError, RtspSession
from fakes import fake_dvr
from fakes.fake_dvr import PCMA, Audio, FakeDvr, Footage, running
from fakes.hostile_server import Trick, another_codec, hostile, only_sound
from fakes.pausing_network import pausing
from fakes.schedules import changing_to, jumping, slowing, without_a_clock, without_keyframes

Network = Callable[[int], AbstractContextManager[int]]

FPS, GOP, PICTURES = 25, 10, 30
RATE, AAC_SAMPLES = 16_000, 1024


def footage(folder: Path, *, codec: str = "libx264", b_frames: int = 0, size: tuple[int, int] = (96, 64)) -> Footage:
    path = folder / f"{codec}-{b_frames}-{size[0]}.raw"
    common = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes={b_frames}:b-adapt=0:repeat-headers=1"
    if codec == "libx264":
        options = {"preset": "fast", "x264-params": f"{common}:open-gop=0"}
    else:
        options = {"preset": "ultrafast", "x265-params": f"{common}:open-gop=0:log-level=none"}
    pts: list[int] = []
    with av.open(str(path), "w", format="h264" if codec == "libx264" else "hevc") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        pictures = [np.full((size[1] * 3 // 2, size[0]), 40 + 5 * number, np.uint8) for number in range(PICTURES)]
        frames = [av.VideoFrame.from_ndarray(picture, format="yuv420p") for picture in pictures]
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                pts.append(packet.pts or 0)
                container.mux(packet)
    shown = {value: place for place, value in enumerate(sorted(pts))}
    shifts = tuple(shown[value] - place for place, value in enumerate(pts))
    return replace(Footage.load(path, FPS), shifts=shifts if b_frames else ())


def aac_noise(path: Path) -> Audio:
    """Noise as AAC (RFC 3640, mode AAC-hbr: 13 bits of size before each frame)."""
    frames = []
    with av.open(str(path), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(20):
            samples = np.random.default_rng(number).normal(0, 0.1, (1, AAC_SAMPLES)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, number * AAC_SAMPLES
            frames += [bytes(packet) for packet in stream.encode(frame)]
    payloads = tuple(b"\0\x10" + struct.pack(">H", len(frame) << 3) + frame for frame in frames if frame)
    mode = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408"
    lines = (f"a=rtpmap:97 MPEG4-GENERIC/{RATE}/1", f"a=fmtp:97 streamtype=5;profile-level-id=1;{mode}")
    return Audio(97, RATE, AAC_SAMPLES, payloads, lines)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"))


def dvr_of(shown: Footage) -> FakeDvr:
    return FakeDvr({(1, False): shown}, "admin", "secret")


def watch(
    dvr: FakeDvr, count: int, *, with_audio: bool = False, network: Network = nullcontext
) -> tuple[list[EncodedFrame], RtspSession]:
    with running(dvr) as server_port, network(server_port) as port:
        address = CameraAddress("127.0.0.1", port, "/cam/realmonitor?channel=1&subtype=0", "admin")
        with RtspSession(address, "secret", with_audio=with_audio) as session:
            return list(islice(session.frames(lambda: False), count)), session


def steps(frames: list[EncodedFrame]) -> list[int]:
    return [later.dts - earlier.dts for earlier, later in pairwise(frames)]


def clip_of(frames: list[EncodedFrame], folder: Path) -> Path:
    writer = ClipWriter(folder, "gate", frames[0].info, frames[0].at)
    for frame in frames:
        writer.write(frame)
    return folder / writer.close().path


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_b_frames_are_shown_in_their_order(tmp_path: Path, codec: str) -> None:
    frames, _ = watch(dvr_of(footage(tmp_path, codec=codec, b_frames=2)), 60)
    assert set(steps(frames)) == {3600}
    assert all(frame.dts <= frame.pts for frame in frames)
    shown = list(decoded(clip_of(frames, tmp_path)))
    assert len(shown) >= 58
    times = [frame.pts for frame in shown if frame.pts is not None]
    assert {later - earlier for earlier, later in pairwise(times[:55])} == {3600}


def test_a_clip_plays_as_long_as_it_took_when_the_camera_takes_fewer_pictures_in_the_dark(
    plain: Footage, tmp_path: Path
) -> None:
    dvr = dvr_of(plain)
    dvr.schedules[1] = slowing(30, 4)
    frames, _ = watch(dvr, 50)
    assert set(steps(frames)) == {3600, 4 * 3600}
    times = [frame.pts for frame in decoded(clip_of(frames, tmp_path)) if frame.pts is not None]
    took = frames[-1].pts - frames[0].pts
    assert times[-1] - times[0] == took > 49 * 3600
    assert frames[-1].at - frames[0].at == pytest.approx(took / 90_000, abs=0.2)


def test_a_clip_with_sound_that_was_never_closed_has_both_to_its_last_fragment(plain: Footage, tmp_path: Path) -> None:
    dvr = dvr_of(plain)
    dvr.audio = aac_noise(tmp_path / "noise.aac")
    frames, _ = watch(dvr, 250, with_audio=True)
    begin = next(number for number, frame in enumerate(frames) if frame.is_keyframe)
    writer = ClipWriter(tmp_path, "gate", frames[0].info, frames[begin].at)
    for frame in frames[begin:]:
        writer.write(frame)
    killed = tmp_path / "killed.mp4"
    killed.write_bytes((tmp_path / writer.path).read_bytes())  # what kill -9 leaves
    writer.close()
    lasted_s = frames[-1].at - frames[begin].at
    with av.open(str(killed)) as container:
        for stream in container.streams:
            container.seek(0)
            times = [float(shown.pts * shown.time_base) for shown in container.decode(stream)]
            assert times[-1] >= lasted_s - 1.5


@pytest.mark.parametrize("by_s", [3600.0, -3.0])
def test_a_camera_clock_that_jumps_neither_ends_the_session_nor_shows_in_the_times(plain: Footage, by_s: float) -> None:
    dvr = dvr_of(plain)
    dvr.schedules[1] = jumping(40, by_s)
    frames, _ = watch(dvr, 70)
    assert sum(steps(frames)) == pytest.approx(69 * 3600, abs=45_000)
    assert all(later.at > earlier.at for earlier, later in pairwise(frames))
    assert len({id(frame.info) for frame in frames}) == 1


def test_a_camera_without_any_clock_is_timed_by_arrival(plain: Footage) -> None:
    dvr = dvr_of(plain)
    dvr.schedules[1] = without_a_clock
    dvr.sender_reports = False
    frames, _ = watch(dvr, 200)  # of which FFmpeg holds back those of the first 5 s
    assert (frames[-1].pts - frames[0].pts) / 90_000 > 1.5


def test_another_picture_size_in_mid_session_begins_another_stream(plain: Footage, tmp_path: Path) -> None:
    dvr = dvr_of(plain)
    dvr.schedules[1] = changing_to(footage(tmp_path, size=(128, 96)), 40)
    frames, _ = watch(dvr, 70)
    first, second = dict.fromkeys(frame.info for frame in frames)
    assert [(first.width, first.height), (second.width, second.height)] == [(96, 64), (128, 96)]
    changed = [frame for frame in frames if frame.info is second]
    assert changed[0].is_keyframe
    assert {(frame.width, frame.height) for frame in decoded(clip_of(changed, tmp_path))} == {(128, 96)}


def test_aac_sound_is_copied_into_the_clip_and_in_time(plain: Footage, tmp_path: Path) -> None:
    dvr = dvr_of(plain)
    dvr.audio = aac_noise(tmp_path / "noise.aac")
    frames, session = watch(dvr, 150, with_audio=True)
    assert session.dropped_audio is None
    begin = next(number for number, frame in enumerate(frames) if frame.is_keyframe)
    with av.open(str(clip_of(frames[begin:], tmp_path))) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        ends = {}
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.time_base is not None:
                ends[packet.stream.type] = float(packet.pts * packet.time_base)
    assert ends["audio"] == pytest.approx(ends["video"], abs=0.3)


def test_g711_sound_is_left_out_and_named(plain: Footage) -> None:
    dvr = dvr_of(plain)
    dvr.audio = PCMA
    frames, session = watch(dvr, 20, with_audio=True)
    assert session.dropped_audio == "pcm_alaw"
    assert frames[0].info.audio is None
    assert not any(frame.is_audio for frame in frames)
    with pytest.raises(ValueError, match="does not support"), av.open(str(Path("/dev/null")), "w", format="mp4") as mp4:
        mp4.add_stream("pcm_alaw", rate=8000)  # why: the day FFmpeg writes it, it can be copied


def test_a_session_is_kept_alive_without_relying_on_rtcp(plain: Footage) -> None:
    dvr = dvr_of(plain)
    dvr.session_timeout_s, dvr.rtcp_keeps_alive = 2, False
    frames, _ = watch(dvr, 100)
    assert len(frames) == 100
    assert dvr.requests.count("GET_PARAMETER 200") + dvr.requests.count("OPTIONS 200") >= 3


def test_a_stream_without_keyframes_is_lost_and_not_watched_for_ever(
    plain: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp_session, "NO_KEYFRAME_S", 1.5)
    dvr = dvr_of(plain)
    dvr.schedules[1] = without_keyframes(30)
    with pytest.raises(CameraError, match="no keyframe"):
        watch(dvr, 200)


def test_a_camera_that_asks_for_basic_is_logged_in_to(plain: Footage) -> None:
    dvr = dvr_of(plain)
    dvr.auth = "basic"
    assert len(watch(dvr, 5)[0]) == 5


def test_a_network_that_pauses_in_the_midst_of_a_packet_takes_nothing_and_damages_nothing(plain: Footage) -> None:
    frames, _ = watch(dvr_of(plain), 80, network=partial(pausing, after_bytes=5000, pause_s=2.5))
    assert set(steps(frames)) == {3600}
    sent = {b"".join(b"\0\0\0\1" + nal for nal in unit.payloads) for unit in plain.units}
    assert {frame.data for frame in frames} <= sent
    assert frames[0].info is frames[-1].info


def test_a_network_that_pauses_for_too_long_ends_the_session(plain: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_session, "STALL_S", 1.0)
    with pytest.raises(CameraError, match="no picture for 1 s"):
        watch(dvr_of(plain), 80, network=partial(pausing, after_bytes=5000, pause_s=2.5))


def test_a_frame_rate_that_is_a_lie_does_not_misdate_the_first_frames(
    plain: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = fake_dvr.sdp
    monkeypatch.setattr(fake_dvr, "sdp", lambda *given: re.sub(r"(a=framerate:).*", r"\g<1>0.1\r", truth(*given)))
    frames, session = watch(dvr_of(plain), 10)
    assert session.info.fps == 0.1
    assert all(abs(later.at - earlier.at) < 0.3 for earlier, later in pairwise(frames))


def test_a_password_in_a_path_is_in_no_error(plain: Footage) -> None:
    with running(dvr_of(plain)) as port:
        address = CameraAddress("127.0.0.1", port, "/live?user=admin&pwd=geheim&channel=1", "admin")
        with pytest.raises(CameraError, match=r"has no stream /live\?user=admin&pwd=\*\*\*&channel=1"):
            RtspSession(address, "secret")


@pytest.mark.parametrize(
    ("trick", "said"), [(another_codec, "sends vp8; H.264 and H.265 are recorded"), (only_sound, "offers no video")]
)
def test_a_server_without_video_that_can_be_recorded_is_told_so(trick: Trick, said: str) -> None:
    with hostile(trick) as port, pytest.raises(CameraError, match=f"127.0.0.1:{port} {said}"):
        RtspSession(CameraAddress("127.0.0.1", port, "/x"), None)
