"""GET /api/v1/sites: every site with its nodes, cameras, disks and routers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cllmh_hub.api.answering import PEOPLE_ERRORS, SESSION_SECURITY, answer
from cllmh_hub.config import Node, Site
from cllmh_hub.contract.answers import (
    CameraAnswer,
    CameraErrorAnswer,
    DiskAnswer,
    NodeAnswer,
    NodeLogsAnswer,
    RouterAnswer,
    SiteAnswer,
    SitesAnswer,
)
from cllmh_hub.gate import require_login
from cllmh_hub.models import DeviceStatus, DiskStatus, LogBuffers, NodeContact, StoredClip
from cllmh_hub.routers import RouterFile, read_routers
from cllmh_hub.services import services

ONLINE_WITHIN = timedelta(seconds=180)
"""Nodes report every 60 s; three missed reports make a node offline."""

_NOT_REPORTED: dict[str, Any] = {
    "inodes_used_percent": None,
    "causes": [],
    "problem": None,
    "classes": {},
    "growth": None,
    "smart": None,
}
"""Of a disk, as a node of an earlier release reports it."""

blueprint = APIBlueprint("sites", __name__, abp_tags=[Tag(name="sites")], abp_security=SESSION_SECURITY)
blueprint.before_request(require_login)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database knows, by node or by (node, camera)."""

    contacts: Mapping[str, datetime]
    disks: Mapping[str, DiskStatus]
    logs: Mapping[str, LogBuffers]
    cameras: Mapping[tuple[str, str], DeviceStatus]
    last_clips: Mapping[tuple[str, str], datetime]


@blueprint.get("/api/v1/sites", operation_id="listSites", responses={200: SitesAnswer, **PEOPLE_ERRORS})
def list_sites() -> Response:
    """List every configured site, with what its nodes last reported."""
    hub = services()
    with hub.database.session() as session:
        known = _read(session)
    routers = read_routers(hub.config.routers_dir)
    now = hub.now()
    return answer(SitesAnswer(items=[_site(site, known, routers, now) for site in hub.config.sites]))


def _read(session: Session) -> _Known:
    last_clips = select(StoredClip.node, StoredClip.camera, func.max(StoredClip.end))
    return _Known(
        contacts={contact.node: contact.last_report_at for contact in session.scalars(select(NodeContact))},
        disks={disk.node: disk for disk in session.scalars(select(DiskStatus))},
        logs={logs.node: logs for logs in session.scalars(select(LogBuffers))},
        cameras={(status.node, status.camera): status for status in session.scalars(select(DeviceStatus))},
        last_clips={
            (node, camera): end
            for node, camera, end in session.execute(last_clips.group_by(StoredClip.node, StoredClip.camera))
        },
    )


def _site(site: Site, known: _Known, routers: list[RouterFile], now: datetime) -> SiteAnswer:
    return SiteAnswer(
        name=site.name,
        title=site.title,
        timezone=site.timezone,
        nodes=[_node(node, known, now) for node in site.nodes],
        routers=[
            RouterAnswer(name=router.name, ddns_name=router.ddns_name, status=router.status)
            for router in routers
            if router.site == site.name
        ],
    )


def _node(node: Node, known: _Known, now: datetime) -> NodeAnswer:
    contact = known.contacts.get(node.name)
    disk = known.disks.get(node.name)
    logs = known.logs.get(node.name)
    return NodeAnswer(
        name=node.name,
        online=contact is not None and now - contact <= ONLINE_WITHIN,
        last_report_at=contact,
        disk=_disk(disk) if disk else None,
        logs=NodeLogsAnswer.model_validate(logs, from_attributes=True) if logs else None,
        cameras=[
            _camera(camera, known.cameras.get((node.name, camera)), known.last_clips.get((node.name, camera)))
            for camera in node.cameras
        ],
    )


def _disk(disk: DiskStatus) -> DiskAnswer:
    columns = {column.name: getattr(disk, column.name) for column in disk.__table__.columns}
    return DiskAnswer.model_validate({**_NOT_REPORTED, **columns, **(disk.details or {})})


def _camera(name: str, status: DeviceStatus | None, last_clip_at: datetime | None) -> CameraAnswer:
    if status is None:
        return CameraAnswer(
            name=name, state="unknown", since=None, last_frame_at=None, last_clip_at=last_clip_at, error=None
        )
    error = None
    if status.error_cause is not None:
        error = CameraErrorAnswer(cause=status.error_cause, text=status.error_text or "")
    return CameraAnswer.model_validate(
        {
            "name": name,
            "state": status.state,
            "since": status.since,
            "last_frame_at": status.last_frame_at,
            "last_clip_at": last_clip_at,
            "error": error,
        }
    )
