# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""A recordings folder on the disk, opened so that nothing outside it can be reached.

The folder (the root) holds `<camera>/<YYYY-MM-DD>/<YYYYMMDDTHHMMSS.mmmZ>.mp4`, and a file named as `MARKER` says that
it is one. The marker is also what tells a mounted disk from the empty folder below it.

Nothing is deleted outside the root, through a symbolic link, across a mount, or that is not named like a clip.
Python's standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

MARKER = ".cllmh-recordings"
"""File in the root that says: this is a recordings folder (and the disk it should be on is mounted)."""

UNKNOWN = "unknown"
"""Importance of a clip that was found by walking, without an index."""

SYSTEM_FOLDERS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
"""Neither these nor anything below them can be a recordings folder."""

TOP_FOLDERS = ("", "home", "media", "mnt", "opt", "root", "srv", "tmp", "var", "var/lib", "var/log")
"""These, counted from /, cannot be a recordings folder themselves; a folder in them can."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLIP = re.compile(r"\d{8}T\d{6}\.\d{3}Z\.mp4", re.ASCII)
_PATH = re.compile(f"([^/]+)/({_DATE.pattern})/({_CLIP.pattern})", re.ASCII)


_FIRST_NAMES = 2048
_MAX_NAMES = 32768
_MAX_FOLDERS = 256


class RetentionError(Exception):
    """Pruning was refused or is not possible; the text names the folder or file and what would be right."""


class BusyError(RetentionError):
    """Another pruner is at work in this root. Its work is as good as ours: try later or leave it."""


_NOT_OURS = (FileNotFoundError, NotADirectoryError, RetentionError)
"""What opening a folder raises that is gone, a file, a link or a mount: when looking for clips, it has none."""


@dataclass(frozen=True, slots=True)
class Space:
    """What the file system of the root says, as df(1) does: free is what a user other than root can have."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    used_percent: float
    inodes_total: int
    inodes_free: int

    @classmethod
    def of(cls, handle: int | Path) -> Space:
        """Ask the file system of an open directory or a path."""
        found = os.statvfs(handle)
        used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize
        free_bytes = found.f_bavail * found.f_frsize
        usable_bytes = used_bytes + free_bytes
        used_percent = 100.0 * used_bytes / usable_bytes if usable_bytes else 100.0
        total_bytes = found.f_blocks * found.f_frsize
        return cls(total_bytes, used_bytes, free_bytes, round(used_percent, 2), found.f_files, found.f_favail)


class Clip(NamedTuple):
    """One clip: its path below the root, start and end (unix seconds, UTC), size in bytes, and importance."""

    path: str
    start: float
    end: float
    size_bytes: int
    importance: str

    @property
    def camera(self) -> str:
        """The camera's name, the first folder of the path."""
        return self.path.split("/", 1)[0]


class Root:
    """An open recordings folder. Use as a context manager; it holds one directory handle, and the lock once taken."""

    def __init__(self, path: Path, mount_point: Path | None = None) -> None:
        """Open `path`; raise RetentionError when it is not a recordings folder, or not on the disk of `mount_point`."""
        self.path = check_root(path)
        if mount_point is not None:
            check_mounted(self.path, mount_point)
        self._mounts = _mounts_below(self.path)
        self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._lock: int | None = None
        self._folders: dict[tuple[str, str], int] = {}
        self._device = os.fstat(self._handle).st_dev

    def __enter__(self) -> Root:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Give the lock and the handles back."""
        self._close_folders()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        os.close(self._handle)

    @property
    def is_locked(self) -> bool:
        """Whether other pruners are kept out."""
        return self._lock is not None

    def lock(self) -> None:
        """Keep other pruners out until `close`; raise BusyError when one is in."""
        handle = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise BusyError(f"{self.path}: another pruner is at work here") from None
        self._lock = handle

    def space(self) -> Space:
        """Return what the file system says now."""
        return Space.of(self._handle)

    def walk(self, camera: str | None = None) -> Iterator[Clip]:
        """Yield the clips that the dated folders hold, of all cameras or of one, oldest first.

        No file is looked at before its turn. In memory are the names of the dated folders, and the next names in each
        camera's folder of the day.
        """
        folders = sorted((date, name) for name, date in self._dated(camera))
        for date, cameras in groupby(folders, key=itemgetter(0)):
            yield from heapq.merge(
                *(self._clips_in(name, date) for _date, name in cameras), key=attrgetter("start", "path")
            )

    def total_bytes(self, camera: str | None = None) -> int:
        """Return the size of all clips, of all cameras or of one; every file is looked at, none is kept in memory."""
        total = 0
        for name, date in self._dated(camera):
            with contextlib.suppress(*_NOT_OURS), self._open(f"{name}/{date}") as handle, os.scandir(handle) as entries:
                for entry in entries:
                    if _CLIP.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            total += entry.stat(follow_symlinks=False).st_size
        return total

    def unlink(self, path: str) -> bool:
        """Delete the clip at `path` below the root; return False when it was gone already.

        Raises RetentionError when the path is not that of a clip, or leads through a link or a mount; OSError when
        the file system refuses.
        """
        camera, date, name = clip_path_parts(path)
        try:
            folder = self._folder(camera, date)
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise RetentionError(f"{self.path}/{path}: is not a regular file")
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        return True

    def remove_empty(self, camera: str, date: str) -> None:
        """Remove a day's folder, then the camera's, when nothing is left in them."""
        self._close_folders()
        with contextlib.suppress(FileNotFoundError), self._open(camera) as folder:
            if not _removed(date, folder):
                return
        _removed(camera, self._handle)

    def _dated(self, camera: str | None) -> Iterator[tuple[str, str]]:
        """Yield (camera, date) of each dated folder, of all cameras or of one; files, links and mounts are not ours."""
        names = sorted(_names(self._handle)) if camera is None else [camera]
        for name in names:
            if name.startswith(".") or name == "lost+found" or "/" in name:
                continue
            with contextlib.suppress(*_NOT_OURS), self._open(name) as handle:
                yield from ((name, date) for date in _names(handle) if _DATE.fullmatch(date))

    def _clips_in(self, camera: str, date: str) -> Iterator[Clip]:
        """Yield the clips of one day of one camera, oldest first; links and what is not named like a clip are not ours.

        The names are read again for each stretch of them, so that a folder of any size takes no more memory than one
        stretch. Each is twice as long as the one before, up to a limit: few are read when few are asked for.
        """
        folder = f"{camera}/{date}"
        last, count = "", _FIRST_NAMES
        with contextlib.suppress(*_NOT_OURS), self._open(folder) as handle:
            while names := _clip_names(handle, last, count):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            start = _start_of(name)
                            yield Clip(f"{folder}/{name}", start, max(start, found.st_mtime), found.st_size, UNKNOWN)
                last, count = names[-1], min(2 * count, _MAX_NAMES)

    def _folder(self, camera: str, date: str) -> int:
        """Return an open dated folder; some stay open, as clips that follow each other are often in the same."""
        key = (camera, date)
        if key not in self._folders:
            if len(self._folders) >= _MAX_FOLDERS:
                self._close_folders()
            with self._open(f"{camera}/{date}") as handle:
                self._folders[key] = os.dup(handle)
        return self._folders[key]

    def _close_folders(self) -> None:
        while self._folders:
            os.close(self._folders.popitem()[1])

    @contextlib.contextmanager
    def _open(self, folder: str) -> Iterator[int]:
        """Open a folder below the root, one component at a time, so that no link is followed and no mount entered."""
        handle = os.dup(self._handle)
        walked = self.path
        try:
            for name in folder.split("/"):
                walked = walked / name
                try:
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    raise RetentionError(f"{walked}: is a link or no folder, nothing below it is touched") from error
                os.close(handle)
                handle = inner
                if str(walked) in self._mounts or os.fstat(handle).st_dev != self._device:
                    raise RetentionError(f"{walked}: is a mount, nothing below it is touched")
            yield handle
        finally:
            os.close(handle)


def check_root(path: Path) -> Path:
    """Return the normalized path of a recordings folder; raise RetentionError when it must not be pruned."""
    if not path.is_absolute():
        raise RetentionError(f"{path}: the recordings folder must be an absolute path")
    clean = Path(os.path.normpath(path))
    if str(clean)[1:] in TOP_FOLDERS or any(clean.is_relative_to(folder) for folder in SYSTEM_FOLDERS):
        raise RetentionError(f"{clean}: is a system folder and is never pruned")
    real = Path(os.path.realpath(clean))
    if real != clean:
        raise RetentionError(f"{clean}: leads through a symbolic link, name the folder itself: {real}")
    try:
        marker = os.lstat(clean / MARKER)
    except OSError as error:
        reason = error.strerror
        raise RetentionError(
            f"{clean}: has no file {MARKER} ({reason}). Is its disk mounted? Only a folder with this file is pruned"
        ) from error
    if not stat.S_ISREG(marker.st_mode):
        raise RetentionError(f"{clean / MARKER}: must be a regular file")
    return clean


def check_mounted(path: Path, mount_point: Path) -> None:
    """Raise RetentionError unless a disk is mounted at `mount_point` and `path`, a folder that exists, is on it.

    Without its disk a mount point is an empty folder of the file system above, which recordings would fill. What tells
    is the device, not the kernel's list of mounts: there a service's own sandbox shows up as mounts, too.
    """
    try:
        device = mount_point.stat().st_dev
        is_mounted = device != mount_point.parent.stat().st_dev or mount_point == mount_point.parent
        is_on_it = path.stat().st_dev == device and path.is_relative_to(mount_point)
    except OSError as error:
        raise RetentionError(f"{error.filename}: {error.strerror}. Is the disk of {mount_point} mounted?") from error
    if not is_mounted:
        raise RetentionError(f"{mount_point}: no disk is mounted here, and {path} must be on it. Mount it")
    if not is_on_it:
        raise RetentionError(f"{path}: is not on the disk that is mounted at {mount_point}, which mount_point names")


def clip_path_parts(path: str) -> tuple[str, str, str]:
    """Return (camera, date, file name) of a clip's path; raise RetentionError when it is none."""
    found = _PATH.fullmatch(path)
    if found is None or found[1] in (".", ".."):
        raise RetentionError(f"{path!r}: is not the path of a clip, CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ.mp4")
    return found[1], found[2], found[3]


def _removed(name: str, folder: int) -> bool:
    """Remove an empty folder; return False when something is in it."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if error.errno != errno.ENOENT:
            raise
    return True


def _names(handle: int) -> list[str]:
    """Return what an open folder holds."""
    with os.scandir(handle) as entries:
        return [entry.name for entry in entries]


def _mounts_below(path: Path) -> frozenset[str]:
    """Return the mount points below a folder. Device numbers alone would not show a bind mount."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    points = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    return frozenset(point for point in points if point.startswith(f"{path}/"))


def _clip_names(handle: int, after: str, count: int) -> list[str]:
    """Return the first names of clips that come after a name, sorted, at most `count`."""
    with os.scandir(handle) as entries:
        names = (entry.name for entry in entries if entry.name > after and _CLIP.fullmatch(entry.name))
        return heapq.nsmallest(count, names)


def _start_of(name: str) -> float:
    """Return the unix time that a clip is named after, `20261122T025136.123Z.mp4` (UTC); 0 when there is no such."""
    try:
        return datetime.fromisoformat(name.removesuffix(".mp4")).timestamp()
    except ValueError:
        return 0.0
