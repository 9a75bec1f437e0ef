"""Is there room for what is to be recorded? The HDD monitor is asked where it watches the same disk."""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cllmh_node.backup.settings import BackupSettings
from cllmh_node.recordings import Space

_TIMEOUT_S = 3.0
_MAX_ANSWER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """`problem` says why there is none, None when there is; `unasked` why the HDD monitor was not asked."""

    problem: str | None
    unasked: str | None = None


def look_for_room(settings: BackupSettings, channels: int) -> Room:
    """Ask for what so many channels will take, by their expected bit rate, and a part that stays free."""
    needed_bytes = int(channels * settings.video_duration * settings.bytes_per_s)
    unasked = None
    if settings.hdd_monitor is not None:
        try:
            if _watches(settings.hdd_monitor, settings.backup_dir):
                answer = _get(settings.hdd_monitor, f"/room?bytes={needed_bytes}&for=backup")
                if not answer["has_room"]:
                    return Room(f"the HDD monitor says: {answer['reason']}")
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            unasked = f"{settings.hdd_monitor}: {type(error).__name__}"
    try:
        space = Space.of(settings.backup_dir)
    except OSError as error:
        return Room(f"{settings.backup_dir}: {error.strerror}", unasked)
    kept_bytes = int(settings.min_free_percent / 100 * (space.used_bytes + space.free_bytes))
    if needed_bytes > space.free_bytes - kept_bytes:
        return Room(
            f"{settings.backup_dir}: {space.free_bytes} bytes are free, about {needed_bytes} are needed, and "
            f"{kept_bytes} are to stay free (MIN_FREE_PERCENT)",
            unasked,
        )
    return Room(None, unasked)


def _watches(hdd_monitor: str, folder: Path) -> bool:
    """Return whether the monitor's recordings are on the disk of `folder`: of another it knows nothing."""
    return Path(str(_get(hdd_monitor, "/disk")["path"])).stat().st_dev == folder.stat().st_dev


def _get(hdd_monitor: str, path: str) -> dict[str, Any]:
    """Ask the HDD monitor."""
    connection = _connection(hdd_monitor)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read(_MAX_ANSWER_BYTES))
        if answer.status != 200 or not isinstance(body, dict):
            raise ValueError(f"HTTP {answer.status}")
        return body
    finally:
        connection.close()


def _connection(hdd_monitor: str) -> http.client.HTTPConnection:
    if hdd_monitor.startswith("/"):
        return _SocketConnection(hdd_monitor)
    parts = urlsplit(hdd_monitor)
    return http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_S)


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)
