"""What the disk and the recorder are like, as plain values."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from cllmh_node.clips.naming import iso_time
from cllmh_node.recordings import RetentionError, Root, Space
from cllmh_node.retention import open_index_read_only

State = Literal["ok", "warn", "critical"]

_RANK: tuple[State, ...] = ("ok", "warn", "critical")


@dataclass(frozen=True, slots=True)
class LastPrune:
    """What the last prune that deleted something took."""

    at: float
    """When it ended, unix seconds."""
    deleted: int
    """Number of clips."""
    freed_bytes: int
    """As the file system said."""


@dataclass(frozen=True, slots=True)
class CameraUse:
    """What one camera's clips take: bytes, their number, and the start of the oldest (unix seconds)."""

    size_bytes: int
    clips: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The disk at one moment."""

    path: Path
    at: float
    space: Space
    state: State
    problem: str | None = None
    """Why the recordings folder cannot be used, such as a disk that is not mounted; None when it can."""
    cameras: dict[str, CameraUse] | None = None
    last_prune: LastPrune | None = None
    short_bytes: int = 0
    """Bytes that the policy asks for beyond all that may be deleted."""

    def as_report(self) -> dict[str, Any]:
        """Return the data of a `disk` report, which is also the answer of `/disk`."""
        last = self.last_prune
        return {
            "path": str(self.path),
            "total_bytes": self.space.total_bytes,
            "used_bytes": self.space.used_bytes,
            "free_bytes": self.space.free_bytes,
            "used_percent": self.space.used_percent,
            "inodes_total": self.space.inodes_total,
            "inodes_free": self.space.inodes_free,
            "state": self.state,
            "cameras": {
                name: {"bytes": use.size_bytes, "clips": use.clips, "oldest": iso(use.oldest)}
                for name, use in (self.cameras or {}).items()
            },
            "last_prune": last and {"at": iso(last.at), "deleted": last.deleted, "freed_bytes": last.freed_bytes},
        }


def next_state(previous: State, used_percent: float, warn: float, critical: float, hysteresis: float) -> State:
    """Return the state for a used share, all in percent. It rises at once and falls only below the hysteresis."""

    def reached(threshold: float, state: State) -> bool:
        held = _RANK.index(previous) >= _RANK.index(state)
        return used_percent >= (threshold - hysteresis if held else threshold)

    if reached(critical, "critical"):
        return "critical"
    return "warn" if reached(warn, "warn") else "ok"


def look_at(path: Path) -> tuple[Space, str | None]:
    """Return the space and, when recordings cannot be kept there, the reason.

    Without the folder, the space is that of the nearest folder above: the disk that would fill up instead.
    """
    try:
        with Root(path) as root:
            return root.space(), None
    except (RetentionError, OSError) as error:
        there = next(folder for folder in (path, *path.parents) if folder.is_dir())
        return Space.of(there), str(error)


def cameras_in(index: Path) -> dict[str, CameraUse]:
    """Return what each camera's clips take, by the recorder's index; nothing when there is no index yet."""
    if not index.exists():
        return {}
    query = "SELECT camera, sum(bytes), count(*), min(start) FROM clips GROUP BY camera ORDER BY camera"
    try:
        with contextlib.closing(open_index_read_only(index)) as connection:
            return {camera: CameraUse(*values) for camera, *values in connection.execute(query)}
    except sqlite3.Error as error:
        raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error


def mount_of(path: Path) -> dict[str, str] | None:
    """Return device, mount point and file system type of the disk a path is on; None when it is not known."""
    mounts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    for folder in (path, *path.parents):
        found = mounts.get(str(folder))
        if found is not None:
            return {"device": found.device, "mount_point": found.mountpoint, "type": found.fstype}
    return None


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """What the recorder last said of itself."""

    age_s: float | None
    """Seconds since it did; None when it never did."""
    cameras: dict[str, dict[str, Any]]
    """Camera name -> state, since, last_frame_at and more, as the recorder writes them."""

    @property
    def lost(self) -> list[str]:
        """Cameras that send nothing at present."""
        return sorted(name for name, camera in self.cameras.items() if camera.get("state") == "lost")


def read_recorder_status(path: Path, now: float) -> RecorderStatus:
    """Read the recorder's status file; a missing or broken one is a recorder that never spoke."""
    try:
        data = json.loads(path.read_bytes())
        at = datetime.fromisoformat(data["at"])
        cameras = {str(name): dict(camera) for name, camera in data["cameras"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RecorderStatus(None, {})
    return RecorderStatus(max(0.0, now - at.timestamp()), cameras)


def iso(moment: float | None) -> str | None:
    """Return unix seconds as ISO 8601 in UTC with milliseconds."""
    return None if moment is None else iso_time(moment)
