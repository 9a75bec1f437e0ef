"""`/etc/cllmh/logs.yml`: which buffers syslog-ng has, and where what is said about them goes."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from cllmh_node.config import Field, ServiceConfig, StrictModel


class BufferConfig(StrictModel):
    """One disk buffer of syslog-ng."""

    name: str = Field(pattern=r"^[a-z]+$")
    """The store whose lines wait in it, such as `loki`; syslog-ng's destination is `d_<name>`."""

    dir: Path
    """Directory of its queue file (`*.rqf`)."""

    size_bytes: int = Field(ge=1024 * 1024)
    """What it may hold, in bytes."""


class LogsConfig(ServiceConfig):
    """What `cllmh-node logs-watch` looks at."""

    buffers: tuple[BufferConfig, ...] = Field(min_length=1)
    """The buffers, one a destination."""

    ledger_dir: Path
    """Directory into which syslog-ng notes the ids that it took, a file for each ten minutes."""

    state_dir: Path = Path("/var/lib/cllmh/logs")
    """Directory of `status.json`: what was last seen and stated."""

    spool_dir: Path | None = Path("/var/lib/cllmh/spool")
    """Directory of reports that wait for the hub; null where there is no hub."""

    udp_ports: tuple[int, ...] = ()
    """Ports on which devices send by UDP; the kernel counts what syslog-ng did not fetch in time."""

    warn_used: float = Field(default=0.8, gt=0, le=1)
    """Share of a buffer (0 to 1) from which on it is an alarm."""

    normal_used: float = Field(default=0.7, ge=0, le=1)
    """Share below which the alarm ends."""

    report_interval_s: float = Field(default=300, gt=0)
    """How often the hub is told at least, in seconds; a change is told at once."""

    @model_validator(mode="after")
    def _alarm_ends_below_its_beginning(self) -> Self:
        if self.normal_used >= self.warn_used:
            raise ValueError(f"normal_used {self.normal_used} must be below warn_used {self.warn_used}")
        return self
