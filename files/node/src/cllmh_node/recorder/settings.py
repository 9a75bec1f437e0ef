"""The recorder's configuration file."""

import math
from collections import Counter
from datetime import tzinfo
from itertools import combinations
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from cllmh_node.config import ServiceConfig, StrictModel
from cllmh_node.recorder.schedule import CameraMode, ScheduleEntry, check_overlaps
from cllmh_node.retention_settings import RetentionConfig
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.rtsp_target import is_host
from cllmh_node.week import zone_of

CameraName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]

_LEAST_WIDTH = 0.001
"""What is narrower is no area in any picture; a part of its width or height (0..1)."""

Share = Annotated[float, Field(ge=0, le=1)]


def _has_an_area(points: tuple[tuple[Share, Share], ...]) -> tuple[tuple[Share, Share], ...]:
    """Refuse points that all are at one place, or on one line."""
    first = points[0]
    far = max(points, key=lambda point: math.dist(first, point))
    length = math.dist(first, far)
    sides = [(far[0] - first[0]) * (y - first[1]) - (far[1] - first[1]) * (x - first[0]) for x, y in points]
    if max(map(abs, sides)) < _LEAST_WIDTH * length or length < _LEAST_WIDTH:
        raise ValueError("its points are at one place or on one line, a polygon must have an area")
    return points


Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=100), AfterValidator(_has_an_area)]


class MotionSettings(StrictModel):
    """What counts as motion."""

    sigmas: Annotated[float, Field(ge=2, le=20)] = 5.0
    """A pixel differs when it is so many times its own measured noise away from the background."""

    min_area: Annotated[float, Field(gt=0, lt=0.5)] = 0.0012
    """The least connected area that counts, as a part of the picture (0..1)."""

    confirm_s: Annotated[float, Field(ge=0.5, le=10)] = 2.0
    """How long a suspicion waits for movement before it is dropped as a ghost, in seconds."""

    still_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long something that came and now stands still keeps the clip going, in seconds."""

    min_duration_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    """What moves for a shorter time is not recorded, in seconds."""

    look_every_s: Annotated[float, Field(ge=0.5, le=30)] = 2.0
    """Where keyframes are further apart, all frames are decoded and looked at twice a second; in seconds."""

    zones: tuple[Polygon, ...] = ()
    """Polygons, points [x, y] as parts (0..1) of the picture from its upper left: only what is in one counts."""

    masks: tuple[Polygon, ...] = ()
    """Polygons in which nothing counts, such as a tree or a street."""


class CameraSettings(StrictModel):
    """One camera."""

    name: CameraName
    """Name of the camera: its folder, and what reports and the dashboard call it."""

    host: str
    """Address or name of the DVR or camera; no port, user or password in it."""

    port: Annotated[int, Field(ge=1, le=65535)] = 554
    """RTSP port."""

    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$")]
    """RTSP path with its query, as the vendor spells it; no user or password in it."""

    sub_path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$")] | None = None
    """RTSP path of the camera's small second stream, in which motion is looked for; what is recorded is `path`."""

    username: Annotated[str, Field(min_length=1)] | None = None
    """User of the DVR; leave out where none is asked for."""

    password_file: Path | None = None
    """File whose first line is the password, mode 0600."""

    channel: Annotated[int, Field(ge=1)] | None = None
    """Channel number at the DVR; only shown."""

    mode: CameraMode = "motion"
    """When to record: motion (when something moves), continuous (always), off (never)."""

    schedule: tuple[ScheduleEntry, ...] = ()
    """Hours of the week, in the time zone of the site, that have another mode; they must not overlap."""

    pre_roll_s: Annotated[float, Field(ge=0, le=60)] = 5.0
    """How much of the time before the motion a clip has, in seconds."""

    post_roll_s: Annotated[float, Field(ge=1, le=300)] = 5.0
    """How much of the time after the motion a clip has, in seconds. New motion in it goes into the same clip."""

    merge_gap_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    """Events that are not further apart become one clip, in seconds; 0 for a clip for each."""

    max_clip_s: Annotated[float, Field(ge=10, le=3600)] = 600.0
    """A longer clip is cut, without a hole, at the next keyframe, in seconds; more than `pre_roll_s`."""

    ring_max_bytes: Annotated[int, Field(ge=1_000_000, le=1_073_741_824)] = 33_554_432
    """Memory for the encoded frames before the motion, in bytes; 1 GiB holds the longest pre-roll and pause (360 s) of
    a stream with 23 Mbit/s."""

    audio: bool = True
    """Whether clips have the camera's sound, where it is AAC; other sound is left out."""

    motion: MotionSettings = MotionSettings()
    """What counts as motion for this camera."""

    @field_validator("schedule")
    @classmethod
    def _entries_do_not_overlap(cls, schedule: tuple[ScheduleEntry, ...]) -> tuple[ScheduleEntry, ...]:
        return check_overlaps(schedule)

    @model_validator(mode="after")  # of the field alone it would show the value, which may be admin:password@host
    def _host_is_a_host(self) -> "CameraSettings":
        if not is_host(self.host):
            shown = "host" if {"@", ":"} & set(self.host) else f"host {self.host!r}"
            raise ValueError(f"{shown} must be a name or an address alone, without blank, port, path, user or password")
        return self

    @model_validator(mode="after")
    def _password_needs_user(self) -> "CameraSettings":
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file is given without username")
        return self

    @model_validator(mode="after")
    def _streams_differ(self) -> "CameraSettings":
        if self.sub_path == self.path:
            raise ValueError("sub_path is the same as path, it must be that of another stream")
        return self

    @model_validator(mode="after")
    def _pre_roll_fits_into_a_clip(self) -> "CameraSettings":
        if self.pre_roll_s >= self.max_clip_s:
            raise ValueError(f"pre_roll_s {self.pre_roll_s:g} must be less than max_clip_s {self.max_clip_s:g}")
        return self

    @property
    def address(self) -> CameraAddress:
        """Where the stream is."""
        return CameraAddress(self.host, self.port, self.path, self.username)

    @property
    def sub_address(self) -> CameraAddress | None:
        """Where the sub-stream is, None when there is none to be used."""
        return None if self.sub_path is None else CameraAddress(self.host, self.port, self.sub_path, self.username)


class RecorderConfig(ServiceConfig):
    """All of the recorder's configuration."""

    recordings_dir: Path
    """Directory of the clips."""

    state_dir: Path
    """Directory of the index of clips and gaps."""

    mount_point: Path | None = None
    """The mount that the recordings must be on: while no disk is mounted there, nothing is recorded."""

    retention: RetentionConfig = RetentionConfig()
    """What may be deleted to make room, in which order; the same as the HDD monitor's."""

    reserve_bytes: Annotated[int, Field(ge=0)] | None = None
    """While less than this is free, room is made, in bytes; when left out, what all cameras send in 60 s, at least
    64 MiB, and never more than 5 % of the disk."""

    spool_dir: Path | None = None
    """Directory that reports for the hub are put into; without it nothing is reported."""

    status_every_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """How often each camera's state is reported when it does not change, in seconds."""

    timezone: str = "UTC"
    """Time zone of the site, such as Asia/Jakarta, for the cameras' schedules."""

    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """How many processes share the cameras; as many as there are cores when left out, never more than cameras."""

    cameras: Annotated[tuple[CameraSettings, ...], Field(min_length=1)]
    """The cameras."""

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, timezone: str) -> str:
        zone_of(timezone)
        return timezone

    @field_validator("cameras")
    @classmethod
    def _names_are_unique(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        counts = Counter(camera.name for camera in cameras)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"each name can be used once only, given more often: {', '.join(twice)}")
        return cameras

    @model_validator(mode="after")
    def _directories_differ(self) -> "RecorderConfig":
        named = [(key, getattr(self, key)) for key in ("recordings_dir", "state_dir", "spool_dir")]
        for (one, path), (other, same) in combinations(named, 2):
            if path == same:
                raise ValueError(f"{one} and {other} are both {path}, each must be a directory of its own")
        return self

    @model_validator(mode="after")
    def _recordings_are_on_the_mount(self) -> "RecorderConfig":
        if self.mount_point is not None and not self.recordings_dir.is_relative_to(self.mount_point):
            raise ValueError(f"recordings_dir {self.recordings_dir} is not below mount_point {self.mount_point}")
        return self

    @property
    def zone(self) -> tzinfo:
        """The time zone of the schedules."""
        return zone_of(self.timezone)

    @property
    def index_path(self) -> Path:
        """The SQLite index of clips and gaps."""
        return self.state_dir / "index.db"

    @property
    def status_path(self) -> Path:
        """The file in which the recorder says every few seconds how its cameras are."""
        return self.state_dir / "status.json"
