"""An ext4 disk of many clips, and what it costs to delete the oldest of them; `prune.py` runs it by itself.

    unshare --mount python -m bench.prune_disk FOLDER CLIPS ROUNDS

mounts an image that has no name any more in a namespace that nobody else sees: the kernel frees both when this process
ends, however it ends. Prints one JSON object. Imports little: what a process takes at its start is counted as memory of
those that it starts.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cllmh_node.clips.index import ClipIndex
from cllmh_node.clips.naming import clip_path
from cllmh_node.clips.schema import make_first_tables
from cllmh_node.recordings import MARKER

CAMERAS = 10
CLIPS_PER_DAY = 10_000
"""Of all cameras together."""

SHARE = 0.01
"""Of all clips, how many go."""

WAYS = ("with_index", "command_line", "without_index", "find")
"""Ours is the code that services and modules have in them; as `cllmh-node prune` it has more to load before it begins.
Those with the index come first: it does not hear of what the others delete."""

CACHES = ("empty", "warm")
"""What the kernel knows of the disk's files when a way begins: nothing, or all that the same way has just looked at."""

OURS = """
import sys
from pathlib import Path
from cllmh_node.retention import Policy, prune
root, used_percent, *index = sys.argv[1:]
prune(Path(root), Policy(max_used_percent=float(used_percent)), Path(index[0]) if index else None)
"""


class Image:
    """A new file system with room for this many clips, mounted at FOLDER/disk."""

    def __init__(self, folder: Path, clips: int) -> None:
        """Make it. Journal, folders and index take a fixed part, and each clip about a kilobyte."""
        self.mount_point = folder / "disk"
        self.mount_point.mkdir()
        image = folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(2**26 + clips * 2048)
        inodes = clips + CAMERAS * (clips // CLIPS_PER_DAY + 3) + 100
        run("mkfs.ext4", "-q", "-m", "0", "-N", str(inodes), "-E", "lazy_itable_init=0", str(image))
        run("mount", "-o", "loop", str(image), str(self.mount_point))
        image.unlink()
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        (self._device,) = [line.split()[0] for line in mounts if line.split()[1] == str(self.mount_point)]
        self._held = os.open(self._device, os.O_RDONLY)  # so that the device stays while nothing is mounted

    def mount_anew(self) -> None:
        """Forget all that the kernel knows of its files, as it does when memory is needed for video."""
        run("umount", str(self.mount_point))
        run("mount", self._device, str(self.mount_point))


class Disk:
    """The clips, numbered from the oldest; all were closed an hour ago or earlier."""

    def __init__(self, folder: Path, clips: int) -> None:
        """Make them all: empty files, as only their number matters, and the index."""
        self.root = folder / "recordings"
        self.index = folder / "index.db"
        self.clips = clips
        self.gone = 0
        self._spacing_s = 86400 / CLIPS_PER_DAY
        self._base = time.time() - 3600 - clips * self._spacing_s
        self.root.mkdir()
        (self.root / MARKER).touch()
        folders: set[str] = set()
        for number in range(clips):
            path = f"{self.root}/{self.path(number)}"
            if (folder_of_day := path.rpartition("/")[0]) not in folders:
                Path(folder_of_day).mkdir(parents=True)
                folders.add(folder_of_day)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            end = self._start(number) + self._spacing_s
            os.utime(path, (end, end))
        with closing(sqlite3.connect(self.index)) as connection, connection:
            make_first_tables(connection)
            columns = '(camera, path, start, "end", bytes, importance) VALUES (?, ?, ?, ?, ?, ?)'
            connection.executemany(f"INSERT INTO clips {columns}", self._rows())
        began = time.monotonic()
        ClipIndex(self.index).close()
        self.migration_s = time.monotonic() - began

    def path(self, number: int) -> str:
        """Return where a clip is, below the root."""
        return str(clip_path(f"camera{number % CAMERAS}", self._start(number)))

    def count_wrong(self, count: int) -> int:
        """Return how many clips are there that should have gone, or gone that should be there."""
        first = self.gone
        self.gone += count
        wrong = sum((self.root / self.path(number)).exists() for number in range(first, self.gone))
        left = sum(len(files) for _, _, files in os.walk(self.root)) - 1
        return wrong + abs(self.clips - self.gone - left)

    def rows(self) -> int:
        """Return how many clips the index has."""
        with closing(sqlite3.connect(self.index)) as connection:
            return int(connection.execute("SELECT count(*) FROM clips").fetchone()[0])

    def _start(self, number: int) -> float:
        return self._base + number * self._spacing_s

    def _rows(self) -> Iterator[tuple[str, str, float, float, int, str]]:
        for number in range(self.clips):
            start = self._start(number)
            yield f"camera{number % CAMERAS}", self.path(number), start, start + self._spacing_s, 1, "motion"


def command(way: str, disk: Disk, count: int) -> list[str]:
    """Return what deletes the `count` oldest clips; the policy is a floor of free inodes that asks for just these."""
    if way == "find":
        # By the time in the name it need not ask the file system for the time of each file, but that is what is done.
        listed = f"find {disk.root} -type f -name '*.mp4' -printf '%T@ %p\\n'"
        return ["sh", "-c", f"{listed} | sort -n | head -n {count} | cut -d ' ' -f 2- | xargs rm"]
    found = os.statvfs(disk.root)
    used_percent = 100 * (found.f_files - found.f_favail - count + 0.5) / found.f_files
    if way == "command_line":
        prune = [sys.executable, "-m", "cllmh_node", "prune", "--root", str(disk.root), "--index", str(disk.index)]
        return [*prune, "--max-used-percent", repr(used_percent)]
    index = [str(disk.index)] if way == "with_index" else []
    return [sys.executable, "-c", OURS, str(disk.root), repr(used_percent), *index]


def measured(arguments: list[str]) -> dict[str, float]:
    """Run a command; return its wall time and CPU time in seconds, all its processes together, and its largest one."""
    began = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: ended with {process.returncode}")
    return {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "memory_mb": usage.ru_maxrss / 1024}


def run(*arguments: str) -> None:
    """Run a tool of the system; raise CalledProcessError when it fails."""
    subprocess.run(arguments, check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})


def main(folder: Path, clips: int, rounds: int) -> None:
    """Measure each way several times; each time the oldest of those that are left go."""
    image = Image(folder, clips)
    disk = Disk(image.mount_point, clips)
    count = round(clips * SHARE)
    runs, wrong = [], 0
    for way in WAYS:
        for caches in CACHES:
            for _ in range(rounds):
                arguments = command(way, disk, count)
                if caches == "empty":
                    image.mount_anew()
                runs.append({"way": way, "caches": caches, **measured(arguments)})
        wrong += disk.count_wrong(len(CACHES) * rounds * count)
    wrong += abs(disk.rows() - (clips - 2 * len(CACHES) * rounds * count))
    answer = {"clips": clips, "deleted": count, "wrong": wrong, "migration_s": disk.migration_s, "runs": runs}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
