"""A camera's thread against a simulated DVR: whatever the camera does, it costs one gap, one line, and a pause."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.processes import wait_for
from cllmh_node.clips.index import ClipIndex, read_clips, read_gaps
from cllmh_node.recorder.camera_thread import CameraThread
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.rtsp import session as rtsp_session
from cllmh_node.rtsp.frame import EncodedFrame
from fakes import fake_dvr
from fakes.fake_dvr import PCMA, Audio, FakeDvr, Footage, running
from fakes.hostile_server import another_codec, hostile
from fakes.schedules import changing_to, ending, with_a_second_picture
from unit.node.test_rtsp_session import footage

WAIT_S = 8.0


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return footage(tmp_path_factory.mktemp("footage"))


class Watched:
    """A camera at a port of this host, its thread, and what the recorder says of it."""

    def __init__(self, folder: Path, port: int, log: pytest.LogCaptureFixture, **settings: Any) -> None:
        log.set_level(logging.INFO)
        self._log = log
        self.index = folder / "index.db"
        self.settings = CameraSettings(
            name="gate", host="127.0.0.1", port=port, path="/cam/realmonitor?channel=1&subtype=0", **settings
        )
        self.pipeline = CameraPipeline(self.settings, folder, Ledger(ClipIndex(self.index), None))
        self.stopping = threading.Event()
        self.thread = CameraThread(self.settings, self.pipeline, self.stopping)

    def events(self, key: str) -> list[dict[str, Any]]:
        return [vars(record)["cllmh_fields"] for record in self._log.records if record.message == key]

    def event(self, key: str, count: int = 1) -> dict[str, Any]:
        wait_for(lambda: len(self.events(key)) >= count, WAIT_S, f"{key} of {self.settings.name}", 0.02)
        return self.events(key)[count - 1]

    @contextmanager
    def recording(self) -> Iterator[None]:
        self.thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            self.thread.join(5)
        assert not self.thread.is_alive()
        assert self.thread.is_closed


def dvr_of(shown: Footage) -> FakeDvr:
    return FakeDvr({(1, False): shown}, "admin", "secret", auth="none")


def test_a_picture_that_stops_while_sound_goes_on_that_clips_cannot_hold_is_a_lost_camera(
    tmp_path: Path, plain: Footage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp_session, "STALL_S", 1.0)
    dvr = dvr_of(plain)
    dvr.audio, dvr.schedules[1] = PCMA, ending(30)
    with running(dvr) as port:
        camera = Watched(tmp_path, port, caplog, mode="continuous")
        with camera.recording():
            silent = f"127.0.0.1:{port} has sent no picture for 1 s, only other tracks"
            assert camera.event("camera_lost")["text"] == silent
            assert camera.event("audio_dropped")["codec"] == "pcm_alaw"
            dvr.schedules.clear()
            camera.event("camera_returned")
    assert [gap.cause for gap in read_gaps(camera.index)] == ["camera_lost"]
    assert len(list(read_clips(camera.index))) == 2
    assert len(camera.events("audio_dropped")) == 1


def test_a_picture_that_stops_while_a_second_one_goes_on_is_a_lost_camera(
    tmp_path: Path, plain: Footage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp_session, "STALL_S", 1.0)
    one_track = fake_dvr.sdp

    def two_tracks(shown: Footage, audio: Audio | None) -> str:
        text = one_track(shown, audio)
        return text + text[text.index("m=video") :].replace("trackID=0", "trackID=1")

    monkeypatch.setattr(fake_dvr, "sdp", two_tracks)
    dvr = dvr_of(plain)
    dvr.schedules[1] = with_a_second_picture(30)
    with running(dvr) as port:
        camera = Watched(tmp_path, port, caplog)
        with camera.recording():
            silent = f"127.0.0.1:{port} has sent no picture for 1 s, only other tracks"
            assert camera.event("camera_lost")["text"] == silent
    assert camera.pipeline.counters.frames <= 30  # of the first track alone


def test_the_clip_of_a_camera_that_has_fallen_silent_can_be_closed_at_once(
    tmp_path: Path, plain: Footage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp_session, "STALL_S", 3.0)
    dvr = dvr_of(plain)
    dvr.schedules[1] = ending(30)
    with running(dvr) as port:
        camera = Watched(tmp_path, port, caplog, mode="continuous")
        with camera.recording():
            camera.event("clip_opened")
            wait_for(lambda: time.monotonic() - camera.thread.alive_at > 0.5, WAIT_S, "the camera to be silent", 0.02)
            camera.stopping.set()
            camera.thread.close()
            assert camera.thread.is_alive()  # it waits for the camera still
            (clip,) = read_clips(camera.index)
    # What the thread has heard since is no news any more.
    assert camera.events("camera_lost") == []
    assert [clip] == list(read_clips(camera.index))


def test_another_codec_is_one_gap_and_asked_for_ever_more_slowly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hostile(another_codec) as port:
        camera = Watched(tmp_path, port, caplog)
        with camera.recording():
            assert "sends vp8; H.264 and H.265 are recorded" in camera.event("camera_lost")["text"]
            assert camera.event("camera_lost")["cause"] == "camera_lost"
    assert len(list(read_gaps(camera.index))) == 1
    assert camera.events("camera_thread_failed") == []


def test_a_failure_that_nobody_has_thought_of_is_logged_and_costs_a_gap_and_a_pause(
    tmp_path: Path, plain: Footage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([ZeroDivisionError])
    feed = CameraPipeline.feed

    def feed_or_fail(pipeline: CameraPipeline, frame: EncodedFrame) -> None:
        for failure in failures:
            raise failure
        feed(pipeline, frame)

    monkeypatch.setattr(CameraPipeline, "feed", feed_or_fail)
    with running(dvr_of(plain)) as port:
        camera = Watched(tmp_path, port, caplog)
        with camera.recording():
            assert camera.event("camera_lost")["text"] == "ZeroDivisionError"
            camera.event("camera_returned")
    assert len(camera.events("camera_thread_failed")) == 1
    assert [gap.cause for gap in read_gaps(camera.index)] == ["camera_lost"]


def test_another_picture_size_in_mid_session_is_told_and_begins_a_new_clip(
    tmp_path: Path, plain: Footage, caplog: pytest.LogCaptureFixture
) -> None:
    dvr = dvr_of(plain)
    dvr.schedules[1] = changing_to(footage(tmp_path, size=(128, 96)), 40)
    with running(dvr) as port:
        camera = Watched(tmp_path, port, caplog, mode="continuous")
        with camera.recording():
            changed = camera.event("stream_changed")
            camera.event("clip_opened", 2)
    assert (changed["width"], changed["height"]) == (128, 96)
    assert list(read_gaps(camera.index)) == []
