"""`/etc/cllmh/archive.yml`: which clips are copied away, where to, and when the link may be used for it."""

from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from cllmh_node.clips.index import Importance
from cllmh_node.config import ServiceConfig, StrictModel
from cllmh_node.week import WeekHours, minute_of_week, zone_of

# rclone.conf has one value a line; nothing that is written into it may begin another.
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]

CLASSES: tuple[Importance, ...] = ("pinned", "object", "motion", "continuous")
"""Classes of clips, the most important first."""


class HubDestination(StrictModel):
    """The clip store of the hub, reached by ssh."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$")]
    """Address or name of the hub."""

    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Port of the hub's ssh."""

    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")] = "cllmh-clips"
    """Account on the hub that takes clips and can do nothing else."""

    key_file: Path
    """This node's private key, mode 0600, without a passphrase."""

    known_hosts_file: Path
    """The hub's host keys as ssh writes them; no others are trusted."""


class BucketDestination(StrictModel):
    """A bucket of an S3 server."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    """Address of the S3 server; Amazon's when left out."""

    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")] = "Other"
    """The server's kind as rclone calls it, such as AWS, Minio, Ceph or Wasabi."""

    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None
    """The bucket's region."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Name of the bucket; it must exist."""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
    """Where in the bucket the clips go, such as the site's name."""

    access_key_id: Line
    """Name of the access key."""

    secret_key_file: Path
    """File whose first line is the secret of the access key, mode 0600."""


class Hours(WeekHours):
    """Hours of the week in which clips may be sent."""

    max_bytes_per_s: Annotated[int, Field(ge=1000)] | None = None
    """The most that is sent in these hours, in bytes a second; `max_bytes_per_s` of the whole when left out."""


class ArchiveConfig(ServiceConfig):
    """What is copied away, where to and when."""

    recordings_dir: Path = Path("/srv/cctv/recordings")
    """The recordings folder."""

    index: Path = Path("/var/lib/cllmh/recorder/index.db")
    """The recorder's index of clips; which of them are safe is noted there."""

    lock_file: Path = Path("/var/lib/cllmh/archive.lock")
    """Held by the run that is at work."""

    send: Literal["important", "all"]
    """Which clips are sent: those of the important classes, or all."""

    important: tuple[Importance, ...] = ("pinned", "object", "motion")
    """The classes of clips that are important."""

    hub: HubDestination | None = None
    """Send to the hub."""

    bucket: BucketDestination | None = None
    """Send to a bucket."""

    timezone: str = "UTC"
    """Time zone of `hours`, such as Asia/Jakarta."""

    hours: tuple[Hours, ...] = ()
    """When clips may be sent; at any time when left out."""

    max_bytes_per_s: Annotated[int, Field(ge=1000)] | None = None
    """The most that is sent, in bytes a second; no limit when left out."""

    batch_clips: Annotated[int, Field(ge=1, le=1000)] = 50
    """So many clips at the most are sent before they are verified."""

    batch_bytes: Annotated[int, Field(ge=1)] = 256_000_000
    """Clips of so many bytes at the most (or a single larger one) are sent before they are verified."""

    idle_timeout_s: Annotated[float, Field(ge=5, le=3600)] = 60.0
    """A link that brings nothing for so long is taken for cut, in seconds."""

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, timezone: str) -> str:
        zone_of(timezone)
        return timezone

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.hub is None) == (self.bucket is None):
            raise ValueError("exactly one of hub and bucket must be given")
        return self

    @property
    def classes(self) -> tuple[Importance, ...]:
        """The classes that are sent, the most important first."""
        return CLASSES if self.send == "all" else tuple(name for name in CLASSES if name in self.important)

    @property
    def zone(self) -> tzinfo:
        """The time zone of the hours."""
        return zone_of(self.timezone)

    def rate_at(self, at: float) -> tuple[bool, int | None]:
        """Return whether clips may be sent at a unix time, and how many bytes a second at the most."""
        if not self.hours:
            return True, self.max_bytes_per_s
        minute = minute_of_week(at, self.zone)
        for hours in self.hours:
            if hours.hold_at(minute):
                return True, hours.max_bytes_per_s or self.max_bytes_per_s
        return False, None
