"""A server that answers in bad faith costs a log line and a reconnect: neither memory nor the process."""

import threading
import time
from pathlib import Path

import pytest

from cllmh_node.rtsp import session as rtsp_session
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.memory_limit import MAX_ALLOCATION_BYTES, limit_ffmpeg_memory
from cllmh_node.rtsp.session import CameraError, RtspSession
from fakes.hostile_server import TRICKS, Trick, hostile

WATCHED_S = 4.0


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def watch(address: CameraAddress, until: float) -> CameraError | None:
    try:
        with RtspSession(address, "secret") as session:
            for _ in session.frames(lambda: time.monotonic() > until):
                pass
    except CameraError as error:
        return error
    return None


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_a_hostile_server_is_a_lost_camera_and_takes_little_memory(
    trick: Trick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp_session, "OPEN_TIMEOUT_S", 1.5)
    monkeypatch.setattr(rtsp_session, "STALL_S", 1.5)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, threads = peak_bytes(), threading.active_count()
    until = time.monotonic() + WATCHED_S
    with hostile(trick) as port:
        error = watch(CameraAddress("127.0.0.1", port, "/x", "admin"), until)
        assert time.monotonic() < until + 3
        # Those that play along come to their end only because nobody watches them any more.
        if error is not None:
            assert error.cause == "camera_lost"
            assert f"127.0.0.1:{port}" in error.text
            assert "secret" not in error.text
    assert peak_bytes() - before < 5 * MAX_ALLOCATION_BYTES
    assert threading.active_count() <= threads + 3  # the server's own


def test_the_limit_of_memory_reaches_the_library_that_is_in_use() -> None:
    assert limit_ffmpeg_memory()
