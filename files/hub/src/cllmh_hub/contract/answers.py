"""What people get. Models are closed: each field is listed, each is always there."""

from typing import Literal

from pydantic import BaseModel, Field

from cllmh_hub.contract.reports import DiskState, GapCause, Importance, LogBufferState, SmartState
from cllmh_hub.contract.times import UtcTime

Role = Literal["viewer", "admin"]
ShownCameraState = Literal["unknown", "starting", "quiet", "suspicious", "recording", "post_roll", "lost", "off"]
CheckResult = Literal["ok", "failed", "timeout"]
HealthStatus = Literal["ok", "degraded", "failed"]


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="Short and stable, for programs.")
    message: str = Field(description="For people: what, which value, what would be right.")


class ErrorAnswer(BaseModel):
    """Every answer from 400 on."""

    error: ErrorDetail


class SessionAnswer(BaseModel):
    """Who is logged in."""

    name: str
    role: Role


class CameraErrorAnswer(BaseModel):
    """Why a camera gives no video."""

    cause: str
    text: str


class CameraAnswer(BaseModel):
    """One camera's latest known state; as old as the node's last report."""

    name: str
    state: ShownCameraState = Field(description="`unknown` until the node has reported the camera.")
    since: UtcTime | None
    last_frame_at: UtcTime | None
    last_clip_at: UtcTime | None = Field(description="End of the newest clip.")
    error: CameraErrorAnswer | None


class CameraUsageAnswer(BaseModel):
    """What one camera's clips take on the node's disk."""

    bytes: int
    clips: int
    oldest: UtcTime | None


class TakenAnswer(BaseModel):
    """What a prune took of one camera or class."""

    clips: int
    bytes: int


class LastPruneAnswer(BaseModel):
    """The latest time that clips were deleted to make room."""

    at: UtcTime
    deleted: int = Field(description="Clips.")
    freed_bytes: int
    cameras: dict[str, TakenAnswer] = Field(default_factory=dict)
    classes: dict[str, TakenAnswer] = Field(default_factory=dict, description="By importance.")


class GrowthAnswer(BaseModel):
    """How fast recordings come in, and what that means for the disk."""

    recorded_bytes_per_day: int | None = Field(description="null while too little is known.")
    measured_days: float
    reason: str | None = Field(description="Why there are no figures.")
    days_held: float | None = Field(description="Days of recordings that fit, by disk and policy.")
    full_at: UtcTime | None = Field(description="When nothing more fits; null when pruning holds it, or not known.")


class SmartAnswer(BaseModel):
    """The health of the physical disks, as they tell it themselves."""

    state: SmartState
    reason: str | None = Field(description="Why it is failing or unknown.")


class DiskAnswer(BaseModel):
    """The disk that holds a node's recordings."""

    path: str
    total_bytes: int
    used_bytes: int
    free_bytes: int
    used_percent: float
    inodes_total: int
    inodes_free: int
    state: DiskState
    cameras: dict[str, CameraUsageAnswer]
    last_prune: LastPruneAnswer | None
    inodes_used_percent: float | None = Field(description="null when the node is of an earlier release.")
    causes: list[str] = Field(description="Why the state is not ok, the gravest first: space, inodes, unusable, ...")
    problem: str | None = Field(description="For people: why the disk cannot be used.")
    classes: dict[str, CameraUsageAnswer] = Field(description="By importance.")
    growth: GrowthAnswer | None = Field(description="null when the node is of an earlier release.")
    smart: SmartAnswer | None = Field(description="null when the node is of an earlier release.")
    reported_at: UtcTime


class LogBufferAnswer(BaseModel):
    """A disk buffer in which a node's log lines wait for one store of the hub."""

    name: str = Field(description="The store: loki, elasticsearch.")
    state: LogBufferState = Field(description="warn from 80 % on.")
    lines: int = Field(description="Lines that wait.")
    used_bytes: int
    size_bytes: int
    dropped: int = Field(description="Lines lost to this store since the node's syslog-ng started.")


class NodeLogsAnswer(BaseModel):
    """What a node last told of its log lines."""

    buffers: list[LogBufferAnswer]
    datagrams_dropped: int = Field(description="Lines by UDP that the node could not read in time.")
    reported_at: UtcTime


class NodeAnswer(BaseModel):
    """One node and its cameras."""

    name: str
    online: bool = Field(description="A report came within the last 180 s.")
    last_report_at: UtcTime | None
    disk: DiskAnswer | None
    logs: NodeLogsAnswer | None = Field(description="null when the node has not told.")
    cameras: list[CameraAnswer]


class RouterAnswer(BaseModel):
    """A site's router and the name under which the site is reached."""

    name: str
    ddns_name: str | None
    status: str | None


class SiteAnswer(BaseModel):
    """One site."""

    name: str
    title: str
    timezone: str = Field(description="IANA name, for showing local time.")
    nodes: list[NodeAnswer]
    routers: list[RouterAnswer]


class SitesAnswer(BaseModel):
    """All sites."""

    items: list[SiteAnswer]


class ClipAnswer(BaseModel):
    """One clip."""

    id: int
    site: str
    node: str
    camera: str
    start: UtcTime
    end: UtcTime
    seconds: float
    bytes: int
    importance: Importance
    peak_score: float | None
    labels: list[str]
    video_url: str


class ClipsAnswer(BaseModel):
    """A page of clips, newest first."""

    items: list[ClipAnswer]
    next: str | None = Field(description="Ask again with `before` set to this; null on the last page.")


class GapAnswer(BaseModel):
    """Time in which a camera was not watched."""

    site: str
    node: str
    camera: str
    start: UtcTime
    end: UtcTime | None = Field(description="null while the gap lasts.")
    cause: GapCause


class GapsAnswer(BaseModel):
    """A page of gaps, newest first."""

    items: list[GapAnswer]
    next: str | None = Field(description="Ask again with `before` set to this; null on the last page.")


class LogLineAnswer(BaseModel):
    """One log line of a node, DVR or router."""

    at: UtcTime
    site: str
    host: str
    kind: str = Field(description="node, dvr or router.")
    severity: str = Field(description="emerg, alert, crit, err, warning, notice, info or debug.")
    app: str
    message: str
    id: str


class LogsAnswer(BaseModel):
    """Log lines, newest first."""

    items: list[LogLineAnswer]
    truncated: bool = Field(description="More lines match than `limit` let through.")


class HealthChecks(BaseModel):
    """What the API depends on."""

    database: CheckResult
    loki: CheckResult


class HealthAnswer(BaseModel):
    """The hub's health; 200 while the database works, else 503."""

    status: HealthStatus
    version: str
    checks: HealthChecks
    dead_letters: int | None = Field(
        description="Archived lines that a store will never take; null where the hub has no archive or cannot read it."
    )
