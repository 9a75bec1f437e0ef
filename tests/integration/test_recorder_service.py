"""The recorder as a service that can be depended on: processes that die, hang or are told to stop, and a lost index."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from fakes.fake_dvr import FakeDvr, Footage, running
from integration.test_recorder import PASSWORD, Site, decoded_seconds, pytestmark, wait_for

__all__ = ["pytestmark"]

CAMERAS = {"gate": 1, "yard": 2}


@pytest.fixture
def site(tmp_path: Path, channels: dict[tuple[int, bool], Footage]) -> Iterator[Site]:
    """Two cameras that are recorded continuously, each in a process of its own."""
    with running(FakeDvr(channels=channels, username="admin", password=PASSWORD)) as port:
        site = Site(tmp_path, port, CAMERAS)
        change(site, processes=2, mode="continuous")
        yield site


def change(site: Site, processes: int, **settings: Any) -> None:
    config = yaml.safe_load(site.config.read_text())
    config["processes"] = processes
    for camera in config["cameras"]:
        camera.update(settings)
    site.config.write_text(yaml.safe_dump(config))


def status(site: Site) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((site.folder / "state/status.json").read_text())
    except FileNotFoundError:
        return {"cameras": {}, "shards": []}
    return found


def shard_of(site: Site, camera: str) -> int:
    """The process that records a camera, once it does."""

    def recording() -> int | None:
        for shard in status(site)["shards"]:
            if camera in shard["cameras"] and site.state(camera) == "recording":
                return int(shard["pid"])
        return None

    return wait_for(recording, 30)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kinds(site: Site, camera: str) -> list[tuple[str, str | None]]:
    return [(row["kind"], row["cause"]) for row in site.rows("coverage") if row["camera"] == camera]


def test_a_killed_process_is_back_and_costs_its_own_camera_one_gap(site: Site) -> None:
    with site.recording():
        gate, yard = shard_of(site, "gate"), shard_of(site, "yard")
        assert gate != yard
        os.kill(gate, signal.SIGKILL)
        wait_for(lambda: site.events("camera_returned", "gate"), 20)
        wait_for(lambda: shard_of(site, "gate") != gate, 10)
        assert shard_of(site, "yard") == yard
    (gap,) = site.rows("gaps")
    assert (gap["camera"], gap["cause"]) == ("gate", "restart")
    assert kinds(site, "gate") == [("clip", None), ("gap", "restart"), ("clip", None)]
    assert kinds(site, "yard") == [("clip", None)]
    for clip in site.rows("clips"):
        length = datetime.fromisoformat(clip["end"]) - datetime.fromisoformat(clip["start"])
        assert decoded_seconds(Path(clip["path"])) == pytest.approx(length.total_seconds(), abs=0.2)


def test_a_process_that_hangs_is_killed_and_replaced(site: Site) -> None:
    with site.recording():
        gate = shard_of(site, "gate")
        os.kill(gate, signal.SIGSTOP)
        wait_for(lambda: site.events("camera_returned", "gate"), 40)
        assert not lives(gate)
    assert "event=shard_stuck" in site.log.read_text()
    assert [(gap["camera"], gap["cause"]) for gap in site.rows("gaps")] == [("gate", "restart")]


def test_the_process_that_makes_the_others_may_die_and_none_of_them_minds(site: Site) -> None:
    with site.recording() as supervisor:
        shards = {shard_of(site, name) for name in CAMERAS}
        (maker,) = {child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)} - shards
        assert psutil.Process(maker).num_threads() == 1  # or what it forks could lack a thread that holds a lock
        os.kill(maker, signal.SIGKILL)
        wait_for(lambda: "event=fork_server_ended" in site.log.read_text(), 10)
        assert {shard_of(site, name) for name in CAMERAS} == shards
        os.kill(shard_of(site, "gate"), signal.SIGKILL)
        wait_for(lambda: site.events("camera_returned", "gate"), 30)
    assert [(gap["camera"], gap["cause"]) for gap in site.rows("gaps")] == [("gate", "restart")]


def test_nothing_goes_on_recording_when_the_supervisor_is_killed(site: Site) -> None:
    with site.recording() as supervisor:
        shards = [shard_of(site, name) for name in CAMERAS]
        supervisor.kill()
        supervisor.wait(10)
        wait_for(lambda: not any(lives(pid) for pid in shards), 10)
    assert {row["camera"] for row in site.rows("clips")} == set(CAMERAS)  # closed, since the kernel told the shards


def test_it_stops_in_time_with_all_clips_closed_though_a_camera_hangs(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # takes connections, says nothing
        config = yaml.safe_load(site.config.read_text())
        hanging = {"name": "hall", "host": "127.0.0.1", "port": silent.getsockname()[1], "path": "/"}
        config["cameras"].append(hanging)
        site.config.write_text(yaml.safe_dump(config))
        process = stack.enter_context(site.recording())
        for name in CAMERAS:
            shard_of(site, name)
        began = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    assert {row["camera"] for row in site.rows("clips")} == set(CAMERAS)
    assert "event=recorder_stopped" in site.log.read_text()


@pytest.mark.parametrize("how", ["damaged", "deleted"])
def test_an_index_that_is_lost_is_made_anew_with_gaps_and_importance_while_recording_goes_on(
    site: Site, how: str
) -> None:
    index = site.folder / "state/index.db"

    def has_opened(clips: int) -> bool:
        return all(len(site.events("clip_opened", name)) == clips for name in CAMERAS)

    for run in range(2):
        with site.recording():
            wait_for(partial(has_opened, run + 1), 30)
        # As a person does who wants to keep a clip for good; the next run's copy has it.
        with contextlib.closing(sqlite3.connect(index)) as connection, connection:
            connection.execute("UPDATE clips SET importance = 'pinned' WHERE camera = 'gate'")
    earlier = [row for row in site.rows("clips") if row["importance"] == "pinned"]
    if how == "damaged":
        index.write_bytes(b"not a database" * 1000)
    else:
        index.unlink()
    with site.recording():
        wait_for(partial(has_opened, 3), 30)
    assert "event=index_restored" in site.log.read_text()
    assert bool(list(index.parent.glob("index.db.damaged-*"))) == (how == "damaged")
    first, *_ = [row for row in site.rows("clips") if row["camera"] == "gate"]
    assert (first["importance"], first["path"]) == ("pinned", earlier[0]["path"])
    assert kinds(site, "gate") == [("clip", None), ("gap", "restart")] * 2 + [("clip", None)]


def test_two_recorders_do_not_write_into_one_index(site: Site) -> None:
    with site.recording():
        shard_of(site, "gate")
        with site.recording() as second:
            assert second.wait(30) == 2
    assert "another recorder is at work here" in site.log.read_text()
