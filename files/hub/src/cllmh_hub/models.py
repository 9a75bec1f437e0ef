"""Everything the hub stores. `reports` holds what came in, the other tables what it means; both change together."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cllmh_hub.database import UtcMilliseconds

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcMilliseconds,
        int: BigInteger,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class StoredReport(Base):
    """A report as it came; its id makes sure that it counts once."""

    __tablename__ = "reports"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    site: Mapped[str]
    node: Mapped[str]
    kind: Mapped[str]
    at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(index=True)
    data: Mapped[dict[str, Any]]


class NodeContact(Base):
    """When a node was last heard of, by the hub's clock."""

    __tablename__ = "node_contacts"

    node: Mapped[str] = mapped_column(primary_key=True)
    last_report_at: Mapped[datetime]


class DeviceStatus(Base):
    """A camera's latest status."""

    __tablename__ = "device_status"

    node: Mapped[str] = mapped_column(primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime]
    channel: Mapped[int | None]
    state: Mapped[str]
    since: Mapped[datetime]
    last_frame_at: Mapped[datetime | None]
    codec: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    fps: Mapped[float | None]
    error_cause: Mapped[str | None]
    error_text: Mapped[str | None]


class StoredClip(Base):
    """A clip on a node's disk."""

    __tablename__ = "clips"
    __table_args__ = (
        UniqueConstraint("node", "path"),
        Index("clips_by_time", "start", "id"),
        Index("clips_by_camera", "node", "camera", "end"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    site: Mapped[str]
    node: Mapped[str]
    camera: Mapped[str]
    path: Mapped[str]
    start: Mapped[datetime]
    end: Mapped[datetime]
    bytes: Mapped[int]
    importance: Mapped[str]
    peak_score: Mapped[float | None]
    labels: Mapped[list[str]]


class StoredGap(Base):
    """Time in which a camera was not watched; `end` is empty while it lasts."""

    __tablename__ = "gaps"
    __table_args__ = (UniqueConstraint("node", "camera", "start"), Index("gaps_by_time", "start", "id"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    site: Mapped[str]
    node: Mapped[str]
    camera: Mapped[str]
    start: Mapped[datetime]
    end: Mapped[datetime | None]
    cause: Mapped[str]


class DiskStatus(Base):
    """The latest status of the disk that holds a node's recordings."""

    __tablename__ = "disks"

    node: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime]
    path: Mapped[str]
    total_bytes: Mapped[int]
    used_bytes: Mapped[int]
    free_bytes: Mapped[int]
    used_percent: Mapped[float]
    inodes_total: Mapped[int]
    inodes_free: Mapped[int]
    state: Mapped[str]
    cameras: Mapped[dict[str, Any]]
    last_prune: Mapped[dict[str, Any] | None]
    details: Mapped[dict[str, Any] | None]  # what is only shown; missing in a database of an earlier release


class LogBuffers(Base):
    """How full a node's log buffers were when it last told."""

    __tablename__ = "log_buffers"

    node: Mapped[str] = mapped_column(primary_key=True)
    reported_at: Mapped[datetime]
    buffers: Mapped[list[dict[str, Any]]]
    datagrams_dropped: Mapped[int]


class LoginFailure(Base):
    """A wrong password; in the database, because all workers must count together."""

    __tablename__ = "login_failures"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str]
    username: Mapped[str]
