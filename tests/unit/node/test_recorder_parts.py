"""States, gaps, back-off, times and addresses of the recorder."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import av
import av.error
import pytest

from cllmh_node.clips.index import ClipIndex, GapRow, read_gaps
from cllmh_node.recorder.auth_gate import AuthGate
from cllmh_node.recorder.camera_thread import CameraThread
from cllmh_node.recorder.gaps import GapBook
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.retry import retry_delay_s
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.states import CameraState, next_state
from cllmh_node.recorder.watch import Sight
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.session import CameraError, RtspSession, explain
from cllmh_node.rtsp.wall_clock import WallClock

PASSWORD = "p@ss:/#%?w0rd"
ADDRESS = CameraAddress("127.0.0.1", 1, "/cam?channel=1", "admin")


@pytest.mark.parametrize(
    ("state", "sight", "may_end", "then"),
    [
        ("starting", Sight.LEARNING, False, "starting"),
        ("starting", Sight.CLEAR, False, "quiet"),
        ("quiet", Sight.NOTHING_NEW, False, "quiet"),
        ("quiet", Sight.SUSPICION, False, "suspicious"),
        ("suspicious", Sight.CLEAR, True, "quiet"),
        ("suspicious", Sight.MOTION, False, "recording"),
        ("recording", Sight.NOTHING_NEW, False, "recording"),
        ("recording", Sight.CLEAR, False, "post_roll"),
        ("post_roll", Sight.MOTION, True, "recording"),
        ("post_roll", Sight.CLEAR, False, "post_roll"),
        ("post_roll", Sight.CLEAR, True, "quiet"),
        ("lost", Sight.NOTHING_NEW, False, "starting"),
        ("lost", Sight.CLEAR, False, "quiet"),
    ],
)
def test_each_state_leads_to_the_next(state: str, sight: Sight, may_end: bool, then: str) -> None:
    assert next_state(CameraState(state), sight, may_end=may_end) == then


def gap_book(folder: Path, left_open: GapRow | None = None) -> GapBook:
    return GapBook("gate", Ledger(ClipIndex(folder / "index.db"), None), left_open)


def test_a_loss_that_goes_on_with_another_error_stays_one_gap(tmp_path: Path) -> None:
    book = gap_book(tmp_path)
    assert book.open("camera_lost", 100.0)
    assert not book.open("network", 100.0, switched_at=130.0)
    assert book.close(160.0) == 60.0
    assert book.close(170.0) is None
    assert [(gap.start, gap.end) for gap in read_gaps(tmp_path / "index.db")] == [(100.0, 160.0)]


def test_a_refused_password_after_a_restart_is_a_gap_of_its_own_that_follows(tmp_path: Path) -> None:
    book = gap_book(tmp_path)
    book.open("restart", 100.0)
    assert book.open("auth_failed", 0.0, switched_at=110.0)
    book.close(200.0)
    gaps = list(read_gaps(tmp_path / "index.db"))
    assert [(gap.start, gap.end, gap.cause) for gap in gaps] == [
        (100.0, 110.0, "restart"),
        (110.0, 200.0, "auth_failed"),
    ]


def test_a_gap_of_an_earlier_run_ends_when_the_camera_is_back(tmp_path: Path) -> None:
    index = ClipIndex(tmp_path / "index.db")
    index.open_gap(GapRow("gate", 100.0, None, "camera_lost"))
    left_open = index.last_open_gap("gate")
    assert left_open is not None
    gap_book(tmp_path, left_open).close(250.0)
    assert [gap.end for gap in read_gaps(tmp_path / "index.db")] == [250.0]


def test_retries_get_slower_up_to_thirty_seconds() -> None:
    assert [retry_delay_s(failures, 1.0) for failures in (1, 2, 3, 6, 60)] == [1, 2, 4, 30, 30]
    assert retry_delay_s(6, 0.0) == 15


def test_sixteen_cameras_with_a_wrong_password_knock_once_for_all() -> None:
    gate = AuthGate()
    assert gate.wait_s(ADDRESS) == 0
    others = [replace(ADDRESS, path=f"/cam?channel={channel}") for channel in range(2, 17)]
    assert all(gate.wait_s(other) > 0 for other in others)  # until the first one has its answer
    gate.failed(ADDRESS, CameraError("auth_failed", ""))
    for other in others:
        with pytest.raises(CameraError, match="refused user admin") as caught:
            gate.wait_s(other)
        assert caught.value.cause == "auth_failed"
    assert 30 <= gate.opens_in_s(others[0]) <= 60


def test_after_a_restart_all_connect_at_once_until_the_password_is_refused() -> None:
    gate = AuthGate()
    gate.trust(ADDRESS)
    assert [gate.wait_s(ADDRESS) for _ in range(16)] == [0] * 16
    gate.failed(ADDRESS, CameraError("auth_failed", ""))
    with pytest.raises(CameraError):
        gate.wait_s(ADDRESS)


def test_a_channel_that_alone_is_forbidden_keeps_no_other_one_out() -> None:
    gate = AuthGate()
    other = replace(ADDRESS, path="/cam?channel=2")
    gate.opened(ADDRESS)
    gate.failed(other, CameraError("auth_failed", ""))
    assert gate.wait_s(ADDRESS) == 0
    gate.ended(ADDRESS)
    assert gate.wait_s(ADDRESS) == 0


def test_time_stamps_become_times_without_the_jitter_of_arrival() -> None:
    clock = WallClock(10.0, 1000.0)
    for number in range(1, 500):
        clock.observe(10.0 + number / 25, 1000.0 + number / 25 + (0.3 if number % 3 else 0.0))
    assert clock.at(30.0) == pytest.approx(1020.0, abs=0.05)


def test_a_clock_that_steps_is_followed_at_once() -> None:
    clock = WallClock(10.0, 1000.0)
    clock.observe(11.0, 5000.0)
    assert clock.at(11.0) == 5000.0


def test_a_password_with_any_character_fits_into_the_url() -> None:
    url = ADDRESS.url(PASSWORD)
    assert url == "rtsp://admin:p%40ss%3A%2F%23%25%3Fw0rd@127.0.0.1:1/cam?channel=1"
    assert CameraAddress("fd00::1", 554, "/").url(None) == "rtsp://[fd00::1]:554/"


def test_no_error_shows_the_password() -> None:
    with pytest.raises(CameraError) as caught:
        RtspSession(ADDRESS, PASSWORD)
    shown = f"{caught.value!r} {caught.value.text} {caught.value.__cause__!r}"
    assert caught.value.cause == "camera_lost"
    assert "127.0.0.1:1" in shown
    assert "ss" not in shown.replace("CameraError", "").replace("address", "")


def test_a_password_that_ffmpeg_would_cut_is_refused_with_the_reason() -> None:
    with pytest.raises(CameraError, match="too long for FFmpeg: 366 characters") as caught:
        RtspSession(ADDRESS, "@" * 120)
    assert caught.value.cause == "auth_failed"


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (-825242872, "auth_failed"),
        (-875574520, "camera_lost"),
        (101, "network"),
        (113, "network"),
        (111, "camera_lost"),
    ],
)
def test_causes_tell_what_a_person_has_to_look_at(number: int, cause: str) -> None:
    with pytest.raises((av.error.FFmpegError, OSError)) as caught:
        av.error.err_check(-abs(number))
    assert explain(caught.value, ADDRESS).cause == cause


def test_a_missing_password_file_is_a_refusal_with_the_file_named(tmp_path: Path) -> None:
    missing = tmp_path / "secret"
    settings = CameraSettings(name="gate", host="127.0.0.1", path="/", username="a", password_file=missing)
    pipeline = LostOnly(settings, tmp_path, Ledger(ClipIndex(tmp_path / "index.db"), None))
    stopping = threading.Event()
    thread = CameraThread(settings, pipeline, stopping)
    thread.start()
    assert pipeline.is_lost.wait(5)
    stopping.set()
    thread.join(5)
    assert str(missing) in pipeline.errors[0].text


class LostOnly(CameraPipeline):
    """Notes why the camera was lost."""

    def __init__(self, settings: CameraSettings, recordings_dir: Path, ledger: Ledger) -> None:
        super().__init__(settings, recordings_dir, ledger)
        self.errors: list[CameraError] = []
        self.is_lost = threading.Event()

    def lost(self, error: CameraError) -> None:
        self.errors.append(error)
        self.is_lost.set()


def test_a_session_that_breaks_is_the_cameras_doing_and_a_name_that_is_not_found_the_networks() -> None:
    broken = OSError(errno.EIO, os.strerror(errno.EIO))
    assert explain(broken, ADDRESS, is_open=True).cause == "camera_lost"
    assert explain(broken, ADDRESS).cause == "network"
