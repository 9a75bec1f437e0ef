"""The health of the physical disks below the recordings, as smartctl(8) tells it.

`cllmh-node smart` asks the disks, which takes root, and writes a file; the HDD monitor reads that file, and needs no
rights. What cannot tell (a virtual disk, a missing program or right) is `unknown` with a reason, and no error.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cllmh_node.hdd_monitor.mounts import mount_of

SmartState = Literal["ok", "failing", "unknown"]

STALE_S = 2 * 86400
"""An answer that is older says nothing about today, in seconds."""

_TIMEOUT_S = 60
_CANNOT_OPEN = 2
_REALLOCATED, _PENDING = 5, 197
"""Numbers of ATA attributes: sectors that were replaced, and that are about to be."""


class DiskHealth(BaseModel):
    """One physical disk."""

    model_config = ConfigDict(frozen=True)

    device: str
    state: SmartState
    reason: str | None = None
    """Why it is failing or unknown."""
    model: str | None = None
    serial: str | None = None
    temperature_c: int | None = None
    power_on_hours: int | None = None
    reallocated_sectors: int | None = None
    pending_sectors: int | None = None
    wear_percent: int | None = None
    """How much of its rated life a solid-state disk has used up; may exceed 100."""


class Smart(BaseModel):
    """All physical disks below the recordings; the worst of them decides."""

    model_config = ConfigDict(frozen=True)

    state: SmartState = "unknown"
    reason: str | None = None
    checked_at: datetime | None = None
    disks: tuple[DiskHealth, ...] = ()


def look(path: Path) -> Smart:
    """Ask the disks below the folder `path`."""
    now = datetime.fromtimestamp(int(time.time()), UTC)
    try:
        mount = mount_of(path)
    except OSError as error:
        return Smart(state="unknown", reason=f"{error.filename}: {error.strerror}", checked_at=now)
    if mount is None or not mount.device.startswith("/dev/"):
        kind = "unknown" if mount is None else mount.fs_type
        return Smart(state="unknown", reason=f"{path} is on no disk of its own ({kind})", checked_at=now)
    try:
        names = sorted(disks_below(Path(mount.device).stat().st_rdev))
    except OSError as error:
        return Smart(state="unknown", reason=f"{mount.device}: {error.strerror}", checked_at=now)
    return summed(tuple(ask(f"/dev/{name}") for name in names), now)


def summed(disks: tuple[DiskHealth, ...], now: datetime) -> Smart:
    """Return the health of all disks together: one that fails decides, then one that is unknown."""
    for state in ("failing", "unknown"):
        of_it = [f"{disk.device}: {disk.reason}" for disk in disks if disk.state == state]
        if of_it:
            return Smart(state=state, reason="; ".join(of_it), checked_at=now, disks=disks)
    if not disks:
        return Smart(state="unknown", reason="no physical disk was found", checked_at=now)
    return Smart(state="ok", checked_at=now, disks=disks)


def disks_below(device: int, sys_block: Path = Path("/sys/dev/block")) -> Iterator[str]:
    """Yield the names of the whole disks below a block device: of a partition, LVM, RAID or encryption.

    `device` is its number (`st_rdev`). Raises OSError when the kernel does not know it.
    """
    here = (sys_block / f"{os.major(device)}:{os.minor(device)}").resolve(strict=True)
    yield from _disks_below(here)


def _disks_below(folder: Path) -> Iterator[str]:
    below = sorted((folder / "slaves").iterdir()) if (folder / "slaves").is_dir() else []
    if below:
        for slave in below:
            yield from _disks_below(slave.resolve())
    else:
        disk = folder.parent if (folder / "partition").exists() else folder
        yield disk.name.replace("!", "/")  # /dev/cciss/c0d0 is cciss!c0d0 in sysfs


def ask(device: str) -> DiskHealth:
    """Ask one disk by smartctl."""
    command = ["smartctl", "--json=c", "--info", "--health", "--attributes", device]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return DiskHealth(device=device, state="unknown", reason="smartctl is not installed (package smartmontools)")
    except (OSError, subprocess.TimeoutExpired) as error:
        return DiskHealth(device=device, state="unknown", reason=f"smartctl could not be run: {error}")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return DiskHealth(device=device, state="unknown", reason=f"smartctl gave no JSON (exit code {done.returncode})")
    return judge(device, answer)


def judge(device: str, answer: dict[str, Any]) -> DiskHealth:
    """Return what smartctl's JSON says of a disk; what is missing or of another form there is unknown."""
    passed = _at(answer, "smart_status", "passed")
    warning = _number(_at(answer, "nvme_smart_health_information_log", "critical_warning")) or 0
    state: SmartState
    reason: str | None
    if passed is False or warning:
        state, reason = "failing", "the disk says that it is failing: replace it"
    elif passed is True:
        state, reason = "ok", None
    else:
        state, reason = "unknown", _why_unknown(device, answer)
    return DiskHealth(
        device=device,
        state=state,
        reason=reason,
        model=_text(answer.get("model_name")),
        serial=_text(answer.get("serial_number")),
        temperature_c=_number(_at(answer, "temperature", "current")),
        power_on_hours=_number(_at(answer, "power_on_time", "hours")),
        reallocated_sectors=_attribute(answer, _REALLOCATED),
        pending_sectors=_attribute(answer, _PENDING),
        wear_percent=_number(_at(answer, "nvme_smart_health_information_log", "percentage_used")),
    )


def read_smart(path: Path | None, now: float) -> Smart:
    """Return what `cllmh-node smart` last wrote; `now` in unix seconds."""
    if path is None:
        return Smart(state="unknown", reason="smart_file is not set: nobody asks the disks")
    try:
        smart = Smart.model_validate_json(path.read_bytes())
        age_s = now - smart.checked_at.timestamp() if smart.checked_at else 0.0
    except FileNotFoundError:
        return Smart(state="unknown", reason=f"{path}: the disks have not been asked yet")
    except OSError as error:
        return Smart(state="unknown", reason=f"{path}: {error.strerror}")
    except ValidationError:
        return Smart(state="unknown", reason=f"{path}: is not what cllmh-node smart writes")
    if age_s > STALE_S:
        return Smart(state="unknown", reason=f"the disks were last asked {age_s / 86400:.0f} days ago")
    return smart


def write_smart(path: Path, smart: Smart) -> None:
    """Write it for the HDD monitor, at once or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(smart.model_dump_json() + "\n", encoding="utf-8")
    new.replace(path)


def _why_unknown(device: str, answer: dict[str, Any]) -> str:
    """Return why smartctl has no verdict, in its own words where it has some."""
    messages = _at(answer, "smartctl", "messages")
    words = [_text(_at(message, "string")) for message in messages] if isinstance(messages, list) else []
    said = "; ".join(word.removeprefix(f"{device}: ") for word in words if word)
    status = _number(_at(answer, "smartctl", "exit_status")) or 0
    if not said and status & _CANNOT_OPEN:
        return "the device cannot be opened"
    return said or "it has no SMART (a virtual disk, or a bridge that hides it)"


def _attribute(answer: dict[str, Any], number: int) -> int | None:
    """Return the raw value of an ATA attribute."""
    table = _at(answer, "ata_smart_attributes", "table")
    rows = table if isinstance(table, list) else []
    return next((_number(_at(row, "raw", "value")) for row in rows if _at(row, "id") == number), None)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None
