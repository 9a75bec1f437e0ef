"""`/etc/cllmh/hdd_monitor.yml`."""

from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator

from cllmh_node.config import Field, ServiceConfig
from cllmh_node.retention_settings import RetentionConfig


class HddMonitorConfig(ServiceConfig):
    """What the HDD monitor watches and where it answers."""

    recordings_dir: Path = Path("/srv/cctv/recordings")
    """The recordings folder; a file `.cllmh-recordings` in it says that it is one."""

    mount_point: Path | None = None
    """The recordings must be on the disk that is mounted here; null when the marker in the folder is enough."""

    index: Path | None = Path("/var/lib/cllmh/recorder/index.db")
    """The recorder's index of clips (SQLite); null for a folder without one, which is walked when it is pruned."""

    recorder_status: Path | None = Path("/var/lib/cllmh/recorder/status.json")
    """File in which the recorder tells every few seconds how its cameras are; null when no recorder runs here."""

    logs_status: Path | None = Path("/var/lib/cllmh/logs/status.json")
    """File in which `cllmh-node logs-watch` tells how full the log buffers are; it may be missing."""

    recorder_stale_s: float = Field(default=30.0, gt=0)
    """The recorder counts as dead when its status file is older than this, in seconds."""

    spool_dir: Path | None = Path("/var/lib/cllmh/spool")
    """Directory of reports that wait for the hub; null where there is no hub."""

    state_dir: Path | None = Path("/var/lib/cllmh/hdd_monitor")
    """Directory in which is kept how fast the disk fills up; null to forget it at each restart."""

    smart_file: Path | None = Path("/run/cllmh-smart/smart.json")
    """What `cllmh-node smart` writes about the health of the physical disks; null when nothing does."""

    socket: Path = Path("/run/cllmh-hdd-monitor/http.sock")
    """Unix socket of the HTTP API; the gateway stands before it."""

    listen: str | None = Field(default=None, pattern=r"^[^\s/]+:\d{1,5}$")
    """HOST:PORT to listen on instead of the socket. Anybody who reaches it may ask: keep it to 127.0.0.1."""

    interval_s: float = Field(default=10.0, gt=0, le=3600)
    """How often the disk is looked at, in seconds."""

    report_interval_s: float = Field(default=60.0, gt=0, le=86400)
    """How often the whole policy is applied and the disk reported to the hub, in seconds."""

    warn_used_percent: float = Field(default=93.0, gt=0, le=100)
    """From here on the disk's state is `warn`. Above the retention's own limit, or it would always warn."""

    critical_used_percent: float = Field(default=97.0, gt=0, le=100)
    """From here on the disk's state is `critical`."""

    hysteresis_percent: float = Field(default=1.0, ge=0, le=50)
    """A state ends only this far below the threshold that began it, so that it does not flap."""

    backup_min_free_percent: float = Field(default=5.0, ge=0, le=100)
    """A backup has room only while this part of the disk stays free, and what retention keeps free, in percent."""

    retention: RetentionConfig = RetentionConfig()
    """When to delete which recordings."""

    @field_validator("recordings_dir", "mount_point")
    @classmethod
    def _is_absolute(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("must begin with /")
        return path

    @field_validator("listen")
    @classmethod
    def _is_a_port(cls, listen: str | None) -> str | None:
        return None if listen is None else check_listen(listen)

    @model_validator(mode="after")
    def _recordings_are_on_the_mount(self) -> Self:
        """Refuse a mount that the recordings can never be on."""
        if self.mount_point is not None and not self.recordings_dir.is_relative_to(self.mount_point):
            raise ValueError(f"recordings_dir {self.recordings_dir} is not below mount_point {self.mount_point}")
        return self

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Self:
        """Refuse thresholds that can never be told apart."""
        if self.critical_used_percent < self.warn_used_percent:
            raise ValueError("critical_used_percent must not be less than warn_used_percent")
        return self


def check_listen(listen: str) -> str:
    """Return HOST:PORT as it is; raise ValueError for a port that cannot be, of which the system would make another."""
    port = listen.rpartition(":")[2]
    if not (port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")
    return listen
