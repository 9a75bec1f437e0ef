"""Storing reports: once by their id, and what they mean in the same transaction."""

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cllmh_hub.contract import reports as contract
from cllmh_hub.models import DeviceStatus, DiskStatus, LogBuffers, NodeContact, StoredClip, StoredGap, StoredReport


def store(session: Session, report: contract.AnyReport, *, now: datetime) -> Literal["stored", "duplicate"]:
    """Store `report` and commit; one whose id is already there changes nothing but the node's last contact."""
    status: Literal["stored", "duplicate"] = "stored"
    # The insert comes first: it takes SQLite's write lock, so what is read below cannot change meanwhile.
    session.add(
        StoredReport(
            id=str(report.id),
            site=report.site,
            node=report.node,
            kind=report.kind,
            at=report.at,
            received_at=now,
            data=report.data.model_dump(mode="json"),
        )
    )
    try:
        session.flush()
    except IntegrityError:
        session.rollback()
        if session.get(StoredReport, str(report.id)) is None:
            raise
        status = "duplicate"
    else:
        _project(session, report)
    session.merge(NodeContact(node=report.node, last_report_at=now))
    session.commit()
    return status


def forget_before(session: Session, moment: datetime) -> None:
    """Delete the raw reports received before `moment` and commit."""
    session.execute(delete(StoredReport).where(StoredReport.received_at < moment))
    session.commit()


def _project(session: Session, report: contract.AnyReport) -> None:
    match report:
        case contract.CameraStatusReport():
            _camera_status(session, report)
        case contract.ClipClosedReport():
            _clip_closed(session, report)
        case contract.ClipsDeletedReport():
            session.execute(
                delete(StoredClip).where(StoredClip.node == report.node, StoredClip.path.in_(report.data.paths))
            )
        case contract.GapReport():
            _gap(session, report)
        case contract.DiskReport():
            _disk(session, report)
        case contract.LogBuffersReport():
            _log_buffers(session, report)


def _camera_status(session: Session, report: contract.CameraStatusReport) -> None:
    data = report.data
    known = session.get(DeviceStatus, (report.node, data.camera))
    if known is not None and known.reported_at > report.at:
        return  # a late report must not hide a newer one
    session.merge(
        DeviceStatus(
            node=report.node,
            camera=data.camera,
            reported_at=report.at,
            channel=data.channel,
            state=data.state,
            since=data.since,
            last_frame_at=data.last_frame_at,
            codec=data.codec,
            width=data.width,
            height=data.height,
            fps=data.fps,
            error_cause=data.error.cause if data.error else None,
            error_text=data.error.text if data.error else None,
        )
    )


def _clip_closed(session: Session, report: contract.ClipClosedReport) -> None:
    data = report.data
    clip = session.scalar(select(StoredClip).where(StoredClip.node == report.node, StoredClip.path == data.path))
    if clip is None:
        clip = StoredClip(node=report.node, path=data.path)
        session.add(clip)
    clip.site = report.site
    clip.camera = data.camera
    clip.start = data.start
    clip.end = data.end
    clip.bytes = data.bytes
    clip.importance = data.importance
    clip.peak_score = data.peak_score
    clip.labels = data.labels


def _gap(session: Session, report: contract.GapReport) -> None:
    data = report.data
    same = (StoredGap.node == report.node, StoredGap.camera == data.camera, StoredGap.start == data.start)
    gap = session.scalar(select(StoredGap).where(*same))
    if gap is None:
        gap = StoredGap(node=report.node, camera=data.camera, start=data.start)
        session.add(gap)
    elif gap.end is not None and data.end is None:
        return  # a late report must not open a gap that has ended
    gap.site = report.site
    gap.end = data.end
    gap.cause = data.cause


def _disk(session: Session, report: contract.DiskReport) -> None:
    known = session.get(DiskStatus, report.node)
    if known is not None and known.reported_at > report.at:
        return  # a late report must not hide a newer one
    data = report.data.model_dump(mode="json", include=set(contract.Disk.model_fields))
    columns = {name: data.pop(name) for name in data.keys() & DiskStatus.__table__.columns.keys()}
    session.merge(DiskStatus(node=report.node, reported_at=report.at, details=data, **columns))


def _log_buffers(session: Session, report: contract.LogBuffersReport) -> None:
    known = session.get(LogBuffers, report.node)
    if known is not None and known.reported_at > report.at:
        return  # a late report must not hide a newer one
    data = report.data.model_dump(mode="json", include={"buffers", "datagrams_dropped"})
    session.merge(LogBuffers(node=report.node, reported_at=report.at, **data))


class Housekeeping:
    """Forgets old raw reports, at most once in `every`."""

    def __init__(self, *, keep: timedelta, every: timedelta = timedelta(hours=1)) -> None:
        self._keep = keep
        self._every = every
        self._last: datetime | None = None

    def run(self, session: Session, now: datetime) -> None:
        """Delete what is older than `keep`, unless that was done within `every`."""
        if self._last is not None and now - self._last < self._every:
            return
        self._last = now
        forget_before(session, now - self._keep)
