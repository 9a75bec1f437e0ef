"""The recorder as its users run it, against a simulated DVR: a process of its own, RTSP with Digest, real footage."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import av
import pytest
import yaml

from fakes.fake_dvr import FakeDvr, Footage, running
from fakes.footage import FPS, LOOP_S, SOURCE, STILL_S
from fakes.hostile_server import (
    Trick,
    another_codec,
    description_of_garbage,
    endless_headers,
    hostile,
    only_sound,
    says_nothing,
    slow_loris,
)
from fakes.schedules import ending
from unit.node.scenes import Walk, encode, play

PASSWORD = "kata@sandi:/#%41"
PRE_ROLL_S = 5
GOP_S = 2
Found = TypeVar("Found")

pytestmark = pytest.mark.skipif(
    not SOURCE.exists() or shutil.which("ffmpeg") is None,
    reason="the footage needs ffmpeg and opencv-doc: apt-get install ffmpeg opencv-doc",
)


class Site:
    """A recorder's folder and configuration, and the process that runs with it."""

    def __init__(
        self, folder: Path, port: int, names: dict[str, int], password: str = PASSWORD, **settings_of_each: Any
    ) -> None:
        self.folder = folder
        self.recordings = folder / "recordings"
        self.config = folder / "recorder.yml"
        secret = folder / "password"
        secret.write_text(f"{password}\n")
        secret.chmod(0o600)
        cameras = [
            {
                "name": name,
                "host": "127.0.0.1",
                "port": port,
                "path": f"/cam/realmonitor?channel={channel}&subtype=0",
                "username": "admin",
                "password_file": str(secret),
                "pre_roll_s": PRE_ROLL_S,
                **settings_of_each,
            }
            for name, channel in names.items()
        ]
        settings = {
            "recordings_dir": str(self.recordings),
            "state_dir": str(folder / "state"),
            "spool_dir": str(folder / "spool"),
            "cameras": cameras,
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.log = folder / "recorder.log"

    def change(self, settings: Callable[[str], dict[str, Any]]) -> None:
        """Add settings to each camera, which depend on its name."""
        config = yaml.safe_load(self.config.read_text())
        for camera in config["cameras"]:
            camera.update(settings(camera["name"]))
        self.config.write_text(yaml.safe_dump(config))

    @contextlib.contextmanager
    def recording(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "cllmh_node", "record", "--config", str(self.config)]
            process = subprocess.Popen(command, stderr=log, stdout=log, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it, unless the test failed
                os.killpg(process.pid, signal.SIGKILL)

    def rows(self, verb: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "cllmh_node", verb, "--config", str(self.config), "--json"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return [json.loads(line) for line in listed.stdout.splitlines()]

    def events(self, name: str, camera: str) -> list[str]:
        lines = self.log.read_text().splitlines()
        return [line for line in lines if f"event={name} camera={camera} " in line]

    def reports(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text())["data"] for path in sorted((self.folder / "spool").glob(f"*-{kind}-*"))]

    def status(self, camera: str) -> dict[str, Any]:
        try:
            status = json.loads((self.folder / "state/status.json").read_text())
        except FileNotFoundError:
            return {}
        found: dict[str, Any] = status["cameras"][camera]
        return found

    def state(self, camera: str) -> str | None:
        return self.status(camera).get("state")


def wait_for(condition: Callable[[], Found | None], seconds: float) -> Found:
    """Ask again and again: what is waited for happens in other processes."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.2)
    return found


def in_loop(iso: str) -> float:
    """Where in the DVR's loop a time is, in seconds."""
    return datetime.fromisoformat(iso).timestamp() % LOOP_S


def decoded_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0)) / FPS


def test_a_clip_begins_before_the_walking_and_the_still_channel_has_none(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD, vendor="dahua", auth="digest")
    with running(dvr) as port:
        # No merging: the scene is still for too short to be quiet for long after it.
        site = Site(tmp_path, port, {"gate": 1, "yard": 2}, merge_gap_s=0)
        with site.recording() as process:
            # A whole visit: seen from a quiet state on, whenever in the loop the test happens to begin.
            wait_for(lambda: site.state("gate") == "quiet", LOOP_S + 40)
            before = len(site.events("clip_closed", "gate"))
            wait_for(lambda: len(site.events("clip_closed", "gate")) > before, 2 * LOOP_S)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
        clip = [row for row in site.rows("clips") if row["camera"] == "gate"][-1]
        assert STILL_S - PRE_ROLL_S - GOP_S - 0.5 <= in_loop(clip["start"]) <= STILL_S - PRE_ROLL_S + 0.5
        assert decoded_seconds(Path(clip["path"])) > LOOP_S - STILL_S + PRE_ROLL_S
        assert not [row for row in site.rows("clips") if row["camera"] == "yard"]
        assert site.rows("gaps") == []
        assert "kata@sandi" not in site.log.read_text()
        assert "kata%40sandi" not in site.log.read_text()


def test_a_camera_that_goes_away_is_one_gap_one_line_and_one_report_until_it_is_back(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD, drop_after_s={2: 6.0})
    with running(dvr) as port:
        site = Site(tmp_path, port, {"yard": 2})
        with site.recording():
            wait_for(lambda: site.events("camera_returned", "yard"), 60)
            dvr.drop_after_s.clear()
    gap = site.rows("gaps")[0]
    assert gap["cause"] == "camera_lost"
    assert gap["end"] is not None
    assert len(site.events("camera_lost", "yard")) == len(site.rows("gaps"))
    first = [report for report in site.reports("gap") if report["start"] == gap["start"]]
    assert [report["end"] for report in first] == [None, gap["end"]]


def test_a_picture_that_stops_is_noticed_after_five_seconds(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD, stall_after_s={2: 4.0})
    with running(dvr) as port:
        site = Site(tmp_path, port, {"yard": 2})
        with site.recording():
            line = wait_for(lambda: site.events("camera_lost", "yard"), 40)[0]
    assert "no picture for 5 s" in line
    (gap,) = site.rows("gaps")
    silent_s = datetime.fromisoformat(line.split()[0]) - datetime.fromisoformat(gap["start"])
    assert 4 < silent_s.total_seconds() < 8


def test_a_wrong_password_is_said_once_and_never_shown(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"yard": 2}, password="salah@:/9")
        with site.recording():
            line = wait_for(lambda: site.events("camera_lost", "yard"), 20)[0]
    assert "cause=auth_failed" in line
    assert "refuses user admin" in line
    assert "salah" not in site.log.read_text()
    assert [gap["cause"] for gap in site.rows("gaps")] == ["auth_failed"]


def test_a_killed_recorder_leaves_readable_clips_and_names_the_gap_when_it_is_back(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels={(1, False): walking(channels[1, False])}, username="admin", password=PASSWORD)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"gate": 1})
        with site.recording() as process:
            wait_for(lambda: site.events("clip_opened", "gate"), 90)
            (path,) = wait_for(lambda: [p for p in site.recordings.rglob("*.mp4") if p.stat().st_size > 2e6], 60)
            os.killpg(process.pid, signal.SIGKILL)  # as a power cut does: all its processes at once
            process.wait(10)
        assert decoded_seconds(path) > 3
        assert site.rows("clips") == []
        with site.recording():
            wait_for(lambda: site.rows("clips"), 20)
            wait_for(lambda: site.events("camera_returned", "gate"), 30)
    assert site.rows("clips")[0]["path"] == str(path)
    assert [gap["cause"] for gap in site.rows("gaps")] == ["restart"]


def walking(footage: Footage) -> Footage:
    """The part of channel 1 in which people walk, alone."""
    units = footage.units[STILL_S * FPS : LOOP_S * FPS]
    return Footage(footage.codec, footage.fps, units, footage.parameters)


@pytest.mark.parametrize("trick", [says_nothing, slow_loris, endless_headers], ids=lambda trick: trick.__name__)
def test_the_recorder_ends_at_once_though_a_camera_hangs(tmp_path: Path, trick: Trick) -> None:
    with hostile(trick) as port:
        site = Site(tmp_path, port, {"yard": 2})
        with site.recording() as process:
            wait_for(lambda: site.state("yard") == "starting", 20)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5


def test_the_clip_of_a_camera_that_falls_silent_is_closed_when_the_recorder_ends(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    is_silent = threading.Event()
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD)
    dvr.schedules[2] = ending(3 * FPS, is_silent.set)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"yard": 2}, mode="continuous")
        with site.recording() as process:
            assert is_silent.wait(30)
            wait_for(lambda: site.events("clip_opened", "yard"), 10)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
    (clip,) = site.rows("clips")
    assert decoded_seconds(Path(clip["path"])) > 2.5
    assert "event=recorder_stopped" in site.log.read_text()


def test_a_recorder_that_could_not_close_its_clips_does_not_say_that_they_are_closed(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"yard": 2}, mode="continuous")
        with site.recording() as process:
            wait_for(lambda: site.events("clip_opened", "yard"), 20)
            (shard,) = json.loads((site.folder / "state/status.json").read_text())["shards"]
            os.kill(shard["pid"], signal.SIGSTOP)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert "event=clips_left_open cameras=yard " in site.log.read_text()
    assert "event=recorder_stopped" not in site.log.read_text()


def test_a_server_in_bad_faith_costs_a_line_a_gap_and_a_reconnect_and_disturbs_no_other_camera(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    tricks = {"vp8": another_codec, "sound": only_sound, "garbage": description_of_garbage}
    visits_of = dict.fromkeys(tricks, 0)

    def counted(name: str) -> Trick:
        def trick(client: socket.socket) -> None:
            visits_of[name] += 1
            tricks[name](client)

        return trick

    dvr = FakeDvr(channels=channels, username="admin", password=PASSWORD)
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(hostile(counted(name))) for name in tricks}
        site = Site(tmp_path, stack.enter_context(running(dvr)), {"yard": 2, **dict.fromkeys(tricks, 1)})
        site.change(lambda camera: {"port": ports[camera]} if camera in ports else {})
        with site.recording():
            wait_for(lambda: site.events("camera_connected", "yard"), 20)
            wait_for(lambda: all(visits >= 2 for visits in visits_of.values()), 20)
    for name in tricks:
        assert len(site.events("camera_lost", name)) == 1
    assert site.events("camera_lost", "yard") == []
    assert {gap["camera"]: gap["cause"] for gap in site.rows("gaps")} == dict.fromkeys(tricks, "camera_lost")
    assert "Traceback" not in site.log.read_text()


SUB_PATH = "/cam/realmonitor?channel=1&subtype=1"
VISIT = Walk(12, 17)
VISITS_S = 20


def visits(folder: Path) -> Footage:
    """A loop of 20 s in a small picture: somebody crosses it between 12 s and 17 s."""
    raw = folder / "visits.h264"
    with (
        av.open(str(encode(folder / "visits.mp4", play(VISITS_S, VISIT)))) as source,
        av.open(str(raw), "w", format="h264") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return Footage.load(raw, FPS)


def test_motion_in_the_sub_stream_records_the_main_stream_of_which_nothing_is_decoded(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    # Nothing ever moves in the main stream: only the sub-stream can be the reason to record it.
    streams = {(1, False): channels[2, False], (1, True): visits(tmp_path)}
    dvr = FakeDvr(channels=streams, username="admin", password=PASSWORD, vendor="dahua")
    with running(dvr) as port:
        site = Site(tmp_path, port, {"gate": 1}, sub_path=SUB_PATH, post_roll_s=1, merge_gap_s=0)
        # The scene is learned between two visits: one that is half over when the recorder starts has no beginning.
        wait_for(lambda: time.time() % VISITS_S > VISIT.ends_s, VISITS_S)
        with site.recording():
            watched = wait_for(lambda: _with_plan(site, "sub_stream"), 30)
            wait_for(lambda: site.state("gate") == "quiet", 30)
            before = len(site.events("clip_closed", "gate"))
            wait_for(lambda: len(site.events("clip_closed", "gate")) > before, 3 * VISITS_S)
            seen = wait_for(lambda: _with_more_frames(site, watched), VISITS_S + 10)
    # The one that was waited for; the last one may have been cut when the recorder ended.
    clip = site.rows("clips")[before]
    starts_at = datetime.fromisoformat(clip["start"]).timestamp() % VISITS_S
    assert VISIT.begins_s - PRE_ROLL_S - GOP_S - 0.5 <= starts_at <= VISIT.begins_s - PRE_ROLL_S + 0.5
    assert decoded_seconds(Path(clip["path"])) > PRE_ROLL_S + VISIT.ends_s - VISIT.begins_s
    assert seen["counters"]["decoded"] == watched["counters"]["decoded"] < 10
    assert site.rows("gaps") == []


def _with_plan(site: Site, plan: str) -> dict[str, Any] | None:
    status = site.status("gate")
    return status if status.get("decode_plan") == plan else None


def _with_more_frames(site: Site, than: dict[str, Any]) -> dict[str, Any] | None:
    status = site.status("gate")
    return status if status["counters"]["frames"] >= than["counters"]["frames"] + VISITS_S * FPS else None


def test_a_dvr_with_one_session_is_watched_by_its_main_stream_until_there_is_a_second(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    streams = {(1, False): walking(channels[1, False]), (1, True): visits(tmp_path)}
    dvr = FakeDvr(channels=streams, username="admin", password=PASSWORD, max_sessions=1)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"gate": 1}, sub_path=SUB_PATH)
        with site.recording():
            (line,) = wait_for(lambda: site.events("sub_stream_lost", "gate"), 20)
            assert "cause=camera_lost" in line
            assert "453" in line
            wait_for(lambda: site.events("clip_opened", "gate"), 90)
            assert site.status("gate")["decode_plan"] == "keyframes"
            dvr.max_sessions = 2
            wait_for(lambda: site.events("sub_stream_returned", "gate"), 60)
            wait_for(lambda: _with_plan(site, "sub_stream"), 10)
    assert len(site.events("sub_stream_lost", "gate")) == 1
    assert site.rows("gaps") == []


REFUSALS = {"a": (401, "auth_failed"), "b": (404, "camera_lost"), "c": (453, "camera_lost"), "d": (500, "camera_lost")}


def test_a_refused_sub_stream_is_said_once_and_the_main_stream_goes_on_as_if_there_were_none(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    numbers = {name: number for number, name in enumerate(REFUSALS, 1)}
    dvr = FakeDvr(
        channels={(number, False): channels[2, False] for number in numbers.values()},
        username="admin",
        password=PASSWORD,
        refuse_sub={numbers[name]: status for name, (status, _) in REFUSALS.items()},
    )
    with running(dvr) as port:
        site = Site(tmp_path, port, numbers)
        site.change(lambda camera: {"sub_path": f"/cam/realmonitor?channel={numbers[camera]}&subtype=1"})
        with site.recording():
            for name, (_, cause) in REFUSALS.items():
                (line,) = wait_for(partial(site.events, "sub_stream_lost", name), 30)
                assert f"cause={cause}" in line
            # All but the password are asked for once more, after 2.5 to 5 s.
            wait_for(lambda: all(dvr.requests.count(f"DESCRIBE {status}") >= 2 for status in (404, 453, 500)), 30)
            before = {name: site.status(name)["counters"]["frames"] for name in REFUSALS}
            wait_for(lambda: all(site.status(n)["counters"]["frames"] > before[n] + 5 * FPS for n in REFUSALS), 30)
            statuses = {name: site.status(name) for name in REFUSALS}
    for name, (_, cause) in REFUSALS.items():
        assert len(site.events("sub_stream_lost", name)) == 1
        assert site.events("camera_lost", name) == []
        assert statuses[name]["counters"]["sessions"] == 1
        assert statuses[name]["decode_plan"] == "keyframes"
        assert statuses[name]["error"] is None
        assert statuses[name]["sub_stream"]["error"]["cause"] == cause
    for status in (404, 453, 500):
        assert dvr.requests.count(f"DESCRIBE {status}") <= 4
    assert site.rows("gaps") == []
    assert 1 <= dvr.logins_refused <= 2  # of one attempt: DVRs lock accounts


def test_the_recorder_ends_at_once_though_a_sub_stream_hangs(
    tmp_path: Path, channels: dict[tuple[int, bool], Footage]
) -> None:
    dvr = FakeDvr(channels={(1, False): channels[2, False]}, username="admin", password=PASSWORD)
    with running(dvr) as port:
        site = Site(tmp_path, port, {"gate": 1}, sub_path=SUB_PATH)
        with site.recording() as process:
            wait_for(lambda: site.events("camera_connected", "gate"), 20)
            dvr.silent = True  # what plays goes on
            wait_for(lambda: len(dvr.connections) == 2, 10)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
