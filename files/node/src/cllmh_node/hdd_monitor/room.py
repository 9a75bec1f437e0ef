"""Is there room for so many bytes? What backup and recording ask before they write."""

from typing import Any, Literal, get_args

from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.disk import DiskStatus
from cllmh_node.hdd_monitor.growth import reserve_bytes
from cllmh_node.hdd_monitor.usage import by_class
from cllmh_node.retention import IMPORTANCE_ORDER

Purpose = Literal["backup", "recording"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def room(status: DiskStatus, config: HddMonitorConfig, size_bytes: int, purpose: Purpose) -> dict[str, Any]:
    """Answer for `size_bytes`.

    A backup has room when what retention keeps free, and `backup_min_free_percent` of the disk, stay free: it must not
    cost recordings. A recording has room when as much is free or may be deleted for it. `usable_bytes` is the most
    that would have room.
    """
    space = status.space
    if purpose == "backup":
        share_bytes = int(config.backup_min_free_percent / 100.0 * (space.used_bytes + space.free_bytes))
        kept_bytes = max(share_bytes, reserve_bytes(space, config.retention.policy()))
        usable_bytes = space.free_bytes - kept_bytes
        why_not = f"{kept_bytes} bytes are to stay free"
    else:
        classes = by_class(status.usage or {})
        deletable = sum(classes[name].size_bytes for name in IMPORTANCE_ORDER if name in classes)
        usable_bytes = space.free_bytes + deletable
        why_not = f"no more than {deletable} bytes of recordings may be deleted"
    usable_bytes = max(0, usable_bytes)
    reason = status.look.problem
    if reason is not None:
        usable_bytes = 0
    elif size_bytes > usable_bytes:
        reason = f"{space.free_bytes} bytes are free, {size_bytes} were asked for, and {why_not}"
    return {
        "has_room": reason is None,
        "for": purpose,
        "bytes": size_bytes,
        "free_bytes": space.free_bytes,
        "usable_bytes": usable_bytes,
        "reason": reason,
    }
