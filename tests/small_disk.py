"""A small disk of its own for a test or a benchmark: an image with ext4, mounted, that can be pulled out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

_EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/fs/ext4/ext4.h
_NO_LOG_FLUSH = 2


class SmallDisk:
    """An ext4 image, mounted at `path`."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """Make the image `folder/disk.img`; it is mounted at `folder/disk`."""
        self.image = folder / "disk.img"
        self.path = folder / "disk"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(size_bytes)
        # No blocks kept for root, no journal larger than needed: all of a small disk is for recordings.
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", str(self.image))

    def mount(self) -> None:
        """Mount it."""
        _run("mount", "-o", "loop", str(self.image), str(self.path))

    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount it; not lazily, this fails while a file on it is open."""
        _run("umount", *(["-l"] if lazily else []), str(self.path))

    def break_off(self) -> None:
        """Have all that is read or written fail from now on, as when the disk is pulled out."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)


def clear(folder: Path) -> None:
    """Unmount what a killed run left mounted in `folder`."""
    while os.path.ismount(folder / "disk"):
        _run("umount", "-l", str(folder / "disk"))


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Make and mount a disk; take it away at the end, whatever was done to it."""
    disk = SmallDisk(folder, size_bytes)
    disk.mount()
    try:
        yield disk
    finally:
        clear(folder)


def why_not() -> str | None:
    """Return why this machine cannot mount an image, None when it can."""
    if os.geteuid() != 0:
        return "mounting an image needs root"
    if not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        return "there are no loop devices, or no mkfs.ext4 (apt-get install e2fsprogs)"
    return None


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
