"""Power cuts: machines that record to ext4 are ended at random instants; what can still be played, what is lost.

Two machines, each with two small cameras recorded continuously; the cameras (`source.py`) run on the host. Each life
ends 15 to 40 s after recording began. Then a copy of the data disk is mounted on the host, its files are played, and a
recorder is started on it. The machine itself boots again with its disk as the power cut left it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import yaml

from bench import machine
from bench.footage import small
from bench.frames import FrameIndex
from bench.harness import Progress, Result, Row, at_most, plain
from bench.machine import BootImage, Machine
from bench.processes import Recorder, SourceProcess, camera, stopping, wait_for
from bench.source import load

MACHINES = 2
CAMERAS = 2
FRAMES = 600  # of the footage: longer than a machine lives, so that a frame's number says when it was sent
FPS = 10.0
SHORTEST_LIFE_S, LONGEST_LIFE_S = 15.0, 40.0
FRAGMENT_S = 1.0
BOOT_WITHIN_S = 240.0
BACK_WITHIN_S = 30.0


@dataclass
class Tally:
    """What was found after all cuts; threads share it."""

    wanted: int
    begun: int = 0
    files: int = 0
    unplayable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    lost_s: list[float] = field(default_factory=list)
    holes: int = 0
    index_damaged: int = 0
    rows_wrong: int = 0
    not_back: int = 0
    rows: list[Row] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(short: bool) -> Result:
    """Cut the power 20 times (some ten minutes; KILLS=n for another number), the short form twice."""
    if os.geteuid() != 0:
        raise RuntimeError("run this as root: it makes a machine's disk and mounts it")
    machine.clear()
    tally = Tally(2 if short else int(os.environ.get("KILLS", "20")))
    progress = Progress("recorder_power_cut")
    progress("boot image")
    image = BootImage.made()
    names = [[f"cam{number}{letter}" for letter in "ab"[:CAMERAS]] for number in range(MACHINES)]
    plan = {"plan": [[str(small(True, round(FRAMES / FPS))), 1]], "fps": FPS}
    plans = {name: plan for group in names for name in group}
    index = FrameIndex(load({"cameras": plans})[names[0][0]].track, FRAMES)
    try:
        source = SourceProcess(machine.BUILD / "run-source", plans)
        with stopping(source):
            lives = [Life(image, number, group, source, index, tally) for number, group in enumerate(names)]
            threads = [threading.Thread(target=life.run, name=life.name) for life in lives]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                progress(f"{len(tally.rows)} of {tally.wanted} power cuts, {len(tally.unplayable)} unplayable files")
                time.sleep(1)
    finally:
        machine.clear()
    if tally.errors:
        raise RuntimeError(f"after {len(tally.rows)} power cuts: {tally.errors[0]}") from tally.errors[0]
    return result(tally)


def result(tally: Tally) -> Result:
    """Return the figures."""
    found = Result("recorder_power_cut", rows=tally.rows)
    found.metrics = [
        plain("power_cuts", len(tally.rows), "cuts"),
        plain("files_looked_at", tally.files, "files"),
        plain("files_without_a_fragment_when_cut", len(tally.empty), "files"),
        at_most("unplayable_files", len(tally.unplayable), "files", 0),
        at_most("frames_missing_before_the_last_one_kept", tally.holes, "frames", 0),
        at_most("seconds_lost_max", max(tally.lost_s, default=None), "s", 1.0 + FRAGMENT_S),
        plain("seconds_lost_mean", sum(tally.lost_s) / len(tally.lost_s) if tally.lost_s else None, "s"),
        at_most("index_damaged", tally.index_damaged, "times", 0),
        at_most("index_rows_wrong", tally.rows_wrong, "rows", 0),
        at_most("not_recording_again", tally.not_back, "times", 0),
    ]
    found.notes = [
        "seconds lost: from the last frame that can be decoded to the last one that the camera had sent, per camera",
        "qemu is killed: what the machine had not written is lost, what it had written is kept, flushed or not: a disk "
        "that loses its own cache is not simulated",
        "recording again: a recorder on the host, on a copy of the disk; the machine's own next boot shows the same",
        f"files without a fragment: {', '.join(tally.empty) or 'none'}",
    ]
    return found


class Life:
    """A machine, from boot to power cut, again and again."""

    def __init__(
        self, image: BootImage, number: int, cameras: list[str], source: SourceProcess, index: FrameIndex, tally: Tally
    ) -> None:
        """`cameras` are the names of its cameras at `source`."""
        self.name = f"machine{number}"
        self._chance = random.Random(number)
        self._cameras, self._source, self._index, self._tally = cameras, source, index, tally
        self._kept: set[str] = set()
        document = {
            "recordings_dir": f"{machine.DISK}/recordings",
            "state_dir": f"{machine.DISK}/state",
            "processes": 1,
            "cameras": [self._camera(name, "machine", machine.HOST) for name in cameras],
        }
        self._machine = Machine(image, str(number), yaml.safe_dump(document))

    def run(self) -> None:
        """Live until there were enough power cuts."""
        try:
            while self._take_one():
                self._live()
        except (OSError, RuntimeError, TimeoutError, sqlite3.Error) as error:
            with self._tally.lock:
                self._tally.errors.append(error)
                self._tally.wanted = 0
        finally:
            self._machine.cut_power()

    def _take_one(self) -> bool:
        with self._tally.lock:
            self._tally.begun += 1
            return self._tally.begun <= self._tally.wanted

    def _camera(self, name: str, client: str, host: str) -> dict[str, object]:
        return camera(name, self._source.port, client, host=host, mode="continuous", max_clip_s=10)

    def _live(self) -> None:
        """Boot, record, lose the power, be looked at."""
        began = time.monotonic()
        self._machine.power_on()
        wait_for(self._records, BOOT_WITHIN_S, f"{self.name} to record; see {self._machine.console}")
        boot_s, life_s = time.monotonic() - began, self._chance.uniform(SHORTEST_LIFE_S, LONGEST_LIFE_S)
        time.sleep(life_s)
        cut_at = time.time()
        self._machine.cut_power()
        connections = len(self._machine.lines("camera_connected"))
        row: Row = {"machine": self.name, "booted_s": round(boot_s, 1), "recorded_s": round(life_s, 1)}
        with self._machine.disk_copy() as folder, self._tally.lock:  # one at a time: the cores are busy enough
            row |= self._look(folder, cut_at) | self._begin_again(folder)
            row["connections"] = connections
            self._tally.rows.append(row)

    def _records(self) -> bool:
        return len({line.partition("camera=")[2].split()[0] for line in self._machine.lines("clip_opened")}) == CAMERAS

    def _look(self, folder: Path, cut_at: float) -> Row:
        """Play what is new on the disk, and ask SQLite whether the index is whole."""
        lost: list[float] = []
        empty: list[str] = []
        files = holes = 0
        for name in self._cameras:
            numbers: set[int] = set()
            for path in sorted((folder / "recordings" / name).glob("*/*.mp4")):
                if path.name in self._kept:
                    continue
                self._kept.add(path.name)
                files += 1
                found = self._index.decodable(path)
                numbers.update(found)
                if not found and not has_fragment(path):
                    empty.append(f"{name}/{path.name} ({path.stat().st_size} bytes)")
                elif not found:
                    self._tally.unplayable.append(f"{name}/{path.name}")
            at_cut = int((cut_at - self._source.t0) * FPS)
            ages = {(at_cut - number) % FRAMES for number in numbers}
            lost.append(min(ages) / FPS if ages else LONGEST_LIFE_S)
            holes += max(ages) - min(ages) + 1 - len(ages) if ages else 0
        damaged = not index_is_whole(folder)
        self._tally.files += files
        self._tally.empty += empty
        self._tally.holes += holes
        self._tally.lost_s += lost
        self._tally.index_damaged += damaged
        return {
            "files": files,
            "without_a_fragment": len(empty),
            "lost_s": " ".join(f"{seconds:.1f}" for seconds in lost),
            "index_whole": not damaged,
        }

    def _begin_again(self, folder: Path) -> Row:
        """Start a recorder on the disk; look whether it records, and whether its index has each file and no other."""
        recorder = Recorder(folder, [self._camera(name, "host", "127.0.0.1") for name in self._cameras], processes=1)
        before = set(recorder.files())
        with stopping(recorder):
            began = time.monotonic()
            recorder.start()

            def back() -> bool:
                new = [path for path in recorder.files() if path not in before and path.stat().st_size]
                return len({path.parent.parent for path in new}) == len(self._cameras)

            try:
                wait_for(back, BACK_WITHIN_S, "a clip of each camera")
                back_s: float | None = round(time.monotonic() - began, 1)
            except TimeoutError:
                back_s = None
            with contextlib.suppress(TimeoutError):  # then the count below is not 0
                wait_for(lambda: not before.intersection(wrong_rows(recorder)), BACK_WITHIN_S, "mending", 1.0)
        wrong = len(wrong_rows(recorder))
        self._tally.not_back += back_s is None
        self._tally.rows_wrong += wrong
        return {"recording_again_s": back_s, "rows_wrong": wrong}


def wrong_rows(recorder: Recorder) -> set[Path]:
    """Return files without a row and rows without a file."""
    return set(recorder.files()) ^ {Path(str(row["path"])) for row in recorder.rows("clips")}


def has_fragment(path: Path) -> bool:
    """Whether a file has any packet of video; one that has none was not synced once."""
    try:
        with av.open(str(path)) as container:
            return any(packet.size for packet in container.demux(video=0))
    except (av.error.FFmpegError, IndexError):
        return path.stat().st_size > 0 and b"moof" in path.read_bytes()


def index_is_whole(folder: Path) -> bool:
    """Ask SQLite about a copy of the index, so that the recorder finds its own as the power cut left it."""
    copy = folder / "looked-at"
    shutil.copytree(folder / "state", copy)
    try:
        with closing(sqlite3.connect(copy / "index.db")) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False
    finally:
        shutil.rmtree(copy)
