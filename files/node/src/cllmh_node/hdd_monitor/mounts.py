"""Which disk a folder is on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its device, where it is mounted, its type, and whether it takes no writes."""

    device: str
    mount_point: Path
    fs_type: str
    read_only: bool

    def as_report(self) -> dict[str, Any]:
        """Return it as report and API show it."""
        return {
            "device": self.device,
            "mount_point": str(self.mount_point),
            "type": self.fs_type,
            "read_only": self.read_only,
        }


def mount_of(path: Path) -> Mount | None:
    """Return the mount that a path, or the nearest folder above that exists, is on; None when it is not known."""
    here = folder = next(found for found in (path, *path.parents) if found.is_dir())
    device = folder.stat().st_dev
    # The kernel's list alone would not do: a service's own sandbox shows up there as mounts.
    while folder != folder.parent and folder.parent.stat().st_dev == device:
        folder = folder.parent
    found = [part for part in psutil.disk_partitions(all=True) if part.mountpoint == str(folder)]
    if not found:
        return None
    part = found[-1]  # the latest covers the earlier ones
    read_only = bool(os.statvfs(here).f_flag & os.ST_RDONLY)
    return Mount(part.device, folder, part.fstype, read_only)
