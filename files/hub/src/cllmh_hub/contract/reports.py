"""What a node reports: one envelope a request, the kind decides the data.

Fields that this hub does not know are kept in the stored report, so that newer nodes can already send them.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints

from cllmh_hub.contract.times import UtcTime

CameraState = Literal["starting", "quiet", "suspicious", "recording", "post_roll", "lost", "off"]
DiskState = Literal["ok", "warn", "critical"]
SmartState = Literal["ok", "failing", "unknown"]
LogBufferState = Literal["ok", "warn", "unknown"]
GapCause = Literal["camera_lost", "auth_failed", "network", "restart", "disk", "overload", "clock"]
BackupOutcome = Literal["recorded", "interrupted", "failed"]
Importance = Literal["pinned", "object", "motion", "continuous"]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
"""A site's, node's, camera's or router's name."""

# Each part begins with a letter, digit or underscore: no "..", no absolute path, no query can be written this way.
ClipPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+\.mp4$", max_length=300)
]
"""A clip's file, relative to the node's recordings: `gate/2026-11-22/20261122T030405.678Z.mp4`."""


Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""As much as a database's number holds."""


class Model(BaseModel):
    """A part of a report; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class CameraError(Model):
    """Why a camera gives no video."""

    cause: str = Field(max_length=64, description="Short and stable, for programs: camera_lost, auth_failed, ...")
    text: str = Field(max_length=2000, description="For people; never holds a password.")


class CameraStatus(Model):
    """One camera as its recorder sees it; sent on each change and every 60 s."""

    camera: Name
    channel: int | None = Field(default=None, ge=1, le=65535, description="Channel of the DVR, from 1.")
    state: CameraState
    since: UtcTime = Field(description="When the camera entered this state.")
    last_frame_at: UtcTime | None = None
    codec: str | None = Field(default=None, max_length=32)
    width: int | None = Field(default=None, ge=1, le=65535, description="Pixels.")
    height: int | None = Field(default=None, ge=1, le=65535, description="Pixels.")
    fps: float | None = Field(default=None, ge=0, description="Frames a second.")
    error: CameraError | None = None


class ClipClosed(Model):
    """A clip that is finished and on the node's disk."""

    camera: Name
    path: ClipPath
    start: UtcTime
    end: UtcTime
    bytes: Count
    importance: Importance
    peak_score: float | None = Field(default=None, description="The detector's highest score in the clip.")
    labels: list[Annotated[str, StringConstraints(max_length=64)]] = Field(default_factory=list, max_length=100)


class ClipsDeleted(Model):
    """Clips that left the node's disk."""

    # Only compared with what is known, so any text will do.
    paths: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(max_length=5000)
    reason: str = Field(max_length=200)


class Gap(Model):
    """Time in which a camera was not watched, and why."""

    camera: Name
    start: UtcTime
    end: UtcTime | None = Field(default=None, description="Missing while the gap lasts.")
    cause: GapCause


class CameraUsage(Model):
    """What one camera's clips take on the node's disk."""

    bytes: Count
    clips: Count
    oldest: UtcTime | None = None


class Taken(Model):
    """What a prune took of one camera or class."""

    clips: Count
    bytes: Count


class LastPrune(Model):
    """The latest time that clips were deleted to make room."""

    at: UtcTime
    deleted: Count = Field(description="Clips.")
    freed_bytes: Count
    cameras: dict[str, Taken] = Field(default_factory=dict)
    classes: dict[str, Taken] = Field(default_factory=dict)


class Growth(Model):
    """How fast recordings come in, and what that means for the disk."""

    recorded_bytes_per_day: Count | None = Field(default=None, description="Missing while too little is known.")
    measured_days: float = Field(default=0.0, ge=0)
    reason: str | None = Field(default=None, max_length=500, description="Why there are no figures.")
    days_held: float | None = Field(default=None, ge=0, description="Days of recordings that fit, by disk and policy.")
    full_at: UtcTime | None = Field(default=None, description="When nothing more fits; missing when pruning holds it.")


class Smart(Model):
    """The health of the physical disks, as they tell it themselves."""

    state: SmartState
    reason: str | None = Field(default=None, max_length=2000, description="Why it is failing or unknown.")


class Disk(Model):
    """The disk that holds the recordings; sent every 60 s and when its state changes."""

    path: str = Field(max_length=300)
    total_bytes: Count
    used_bytes: Count
    free_bytes: Count
    used_percent: float = Field(ge=0, le=100)
    inodes_total: Count
    inodes_free: Count
    state: DiskState
    cameras: dict[str, CameraUsage] = Field(default_factory=dict, description="By folder, whatever its name.")
    last_prune: LastPrune | None = None
    # What follows came later: a node of an earlier release does not send it.
    inodes_used_percent: float | None = Field(default=None, ge=0, le=100)
    causes: list[Annotated[str, StringConstraints(max_length=64)]] = Field(
        default_factory=list,
        max_length=20,
        description="Why the state is not ok, the gravest first: space, smart, ...",
    )
    problem: str | None = Field(default=None, max_length=2000, description="For people: why the disk cannot be used.")
    classes: dict[str, CameraUsage] = Field(default_factory=dict, description="By importance.")
    growth: Growth | None = None
    smart: Smart | None = None


class LogBuffer(Model):
    """A disk buffer in which a node's log lines wait for one store of the hub."""

    name: str = Field(pattern=r"^[a-z]{1,32}$", description="The store: loki, elasticsearch.")
    state: LogBufferState
    lines: Count = Field(description="Lines that wait.")
    used_bytes: Count
    size_bytes: int = Field(ge=1, le=2**63 - 1)
    dropped: Count = Field(default=0, description="Lines lost to this store since the node's syslog-ng started.")


class LogBuffers(Model):
    """How full a node's log buffers are; sent on each change and every 5 minutes."""

    buffers: list[LogBuffer] = Field(max_length=8)
    datagrams_dropped: Count = Field(default=0, description="Lines by UDP that the node could not read in time.")


class BackupError(Model):
    """Why a channel was not backed up."""

    cause: str = Field(max_length=64, description="Short and stable: auth_failed, not_found, camera_lost, no_room, ...")
    text: str = Field(max_length=2000, description="For people; never holds a password.")


class BackupChannel(Model):
    """What became of one channel in a run of the Backup Manager."""

    channel: int = Field(ge=1, le=65535, description="Channel of the DVR, from 1.")
    outcome: BackupOutcome
    path: str | None = Field(default=None, max_length=300, description="The recording, in the node's backup folder.")
    start: UtcTime | None = None
    end: UtcTime | None = None
    seconds: float = Field(ge=0)
    bytes: Count
    codec: str | None = Field(default=None, max_length=32)
    attempts: Count
    error: BackupError | None = None


class BackupRun(Model):
    """A run of the Backup Manager that has ended."""

    exit_code: int = Field(ge=0, le=255, description="0 all recorded, 1 some not, 3 the health check failed.")
    start: UtcTime
    end: UtcTime
    channels: Count
    recorded: Count
    interrupted: Count
    failed: Count
    bytes: Count


class Envelope(Model):
    """What every report carries."""

    id: UUID = Field(description="Made by the node; the same report sent twice is stored once.")
    at: UtcTime = Field(description="When the node wrote the report.")
    node: Name
    site: Name


class CameraStatusReport(Envelope):
    """A camera's status."""

    kind: Literal["camera_status"]
    data: CameraStatus


class ClipClosedReport(Envelope):
    """A finished clip."""

    kind: Literal["clip_closed"]
    data: ClipClosed


class ClipsDeletedReport(Envelope):
    """Deleted clips."""

    kind: Literal["clips_deleted"]
    data: ClipsDeleted


class GapReport(Envelope):
    """A gap that began or ended."""

    kind: Literal["gap"]
    data: Gap


class DiskReport(Envelope):
    """A node's disk."""

    kind: Literal["disk"]
    data: Disk


class LogBuffersReport(Envelope):
    """A node's log buffers."""

    kind: Literal["log_buffers"]
    data: LogBuffers


class BackupChannelReport(Envelope):
    """A channel that the Backup Manager is done with."""

    kind: Literal["backup_channel"]
    data: BackupChannel


class BackupRunReport(Envelope):
    """A run of the Backup Manager."""

    kind: Literal["backup_run"]
    data: BackupRun


AnyReport = (
    CameraStatusReport
    | ClipClosedReport
    | ClipsDeletedReport
    | GapReport
    | DiskReport
    | LogBuffersReport
    | BackupChannelReport
    | BackupRunReport
)


class Report(RootModel[Annotated[AnyReport, Field(discriminator="kind")]]):
    """One report of any kind."""


class ReportStored(BaseModel):
    """The hub's receipt; after it the node forgets the report."""

    status: Literal["stored", "duplicate"]
