"""The disk at one moment, as plain values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cllmh_node.clips.naming import iso_time
from cllmh_node.hdd_monitor import growth
from cllmh_node.hdd_monitor.growth import Growth, Outlook
from cllmh_node.hdd_monitor.levels import Levels, State, causes, inodes_used_percent, worst
from cllmh_node.hdd_monitor.mounts import Mount, mount_of
from cllmh_node.hdd_monitor.pruner import Pruning
from cllmh_node.hdd_monitor.smart import Smart
from cllmh_node.hdd_monitor.usage import Usage, by_camera, by_class
from cllmh_node.recordings import RetentionError, Root, Space


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the recordings folder found."""

    space: Space
    mount: Mount | None
    problem: str | None
    """Why recordings cannot be kept there, such as a disk that is not mounted; None when they can."""


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The disk at one moment."""

    path: Path
    at: float
    look: Look
    levels: Levels = field(default_factory=dict)
    usage: Usage | None = None
    pruning: Pruning = field(default_factory=Pruning)
    growth: Growth = field(default_factory=Growth)
    outlook: Outlook = field(default_factory=Outlook)
    smart: Smart = field(default_factory=lambda: Smart())

    @property
    def space(self) -> Space:
        """What the file system says."""
        return self.look.space

    @property
    def state(self) -> State:
        """How it is, by the gravest cause."""
        return worst(self.levels)

    def as_report(self) -> dict[str, Any]:
        """Return the data of a `disk` report, which is also the answer of `/disk`."""
        space, last = self.space, self.pruning.last
        return {
            "path": str(self.path),
            "total_bytes": space.total_bytes,
            "used_bytes": space.used_bytes,
            "free_bytes": space.free_bytes,
            "used_percent": space.used_percent,
            "inodes_total": space.inodes_total,
            "inodes_free": space.inodes_free,
            "inodes_used_percent": inodes_used_percent(space),
            "state": self.state,
            "causes": causes(self.levels),
            "problem": self.look.problem or self.pruning.problem,
            "mount": self.look.mount and self.look.mount.as_report(),
            "cameras": {name: use.as_report() for name, use in by_camera(self.usage or {}).items()},
            "classes": {name: use.as_report() for name, use in by_class(self.usage or {}).items()},
            "growth": growth.as_report(self.growth, self.outlook),
            "last_prune": last and last.as_report(),
            "short_bytes": self.pruning.short_bytes,
            "smart": self.smart.model_dump(mode="json"),
        }


def look_at(path: Path, mount_point: Path | None = None) -> Look:
    """Look at the recordings folder, which must be on the disk of `mount_point` when that is given.

    Without the folder, the space is that of the nearest folder above: the disk that would fill up instead.
    """
    problem = None
    try:
        with Root(path, mount_point) as root:
            space = root.space()
    except (RetentionError, OSError) as error:
        problem = str(error)
        space = Space.of(next(folder for folder in (path, *path.parents) if folder.is_dir()))
    mount = mount_of(path)
    if problem is None and mount is not None and mount.read_only:
        problem = f"{path}: its file system is read-only, as after an error. Look at the kernel's log, mount it anew"
    return Look(space, mount, problem)


def iso(moment: float | None) -> str | None:
    """Return unix seconds as ISO 8601 in UTC with milliseconds."""
    return None if moment is None else iso_time(moment)
