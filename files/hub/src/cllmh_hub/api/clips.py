"""/api/v1/clips and /api/v1/gaps: what was recorded, what was not, and the video."""

from typing import TypeVar

from flask import Response, request, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from cllmh_hub.api.answering import PEOPLE_ERRORS, SESSION_SECURITY, answer
from cllmh_hub.contract.answers import ClipAnswer, ClipsAnswer, ErrorAnswer, GapAnswer, GapsAnswer
from cllmh_hub.contract.queries import ClipPathParameters, ClipQuery
from cllmh_hub.database import from_milliseconds, to_milliseconds
from cllmh_hub.errors import ApiError
from cllmh_hub.gate import require_login
from cllmh_hub.models import StoredClip, StoredGap
from cllmh_hub.services import services

# A clip's file never changes, so the browser may keep what it has played; nobody between may.
_VIDEO_CACHE = "private, max-age=3600"
_VIDEO_CONTENT = {
    "description": "The video.",
    "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
}

Row = TypeVar("Row", StoredClip, StoredGap)

blueprint = APIBlueprint("clips", __name__, abp_tags=[Tag(name="clips")], abp_security=SESSION_SECURITY)
blueprint.before_request(require_login)


@blueprint.get(
    "/api/v1/clips", operation_id="listClips", responses={200: ClipsAnswer, 400: ErrorAnswer, **PEOPLE_ERRORS}
)
def list_clips(query: ClipQuery) -> Response:
    """List clips that overlap the asked time, newest first."""
    with services().database.session() as session:
        rows, following = _page(session, StoredClip, query)
    return answer(ClipsAnswer(items=[_clip(row) for row in rows], next=following))


@blueprint.get("/api/v1/gaps", operation_id="listGaps", responses={200: GapsAnswer, 400: ErrorAnswer, **PEOPLE_ERRORS})
def list_gaps(query: ClipQuery) -> Response:
    """List gaps that overlap the asked time, newest first."""
    with services().database.session() as session:
        rows, following = _page(session, StoredGap, query)
    return answer(GapsAnswer(items=[_gap(row) for row in rows], next=following))


@blueprint.get(
    "/api/v1/clips/<int:clip_id>/video",
    operation_id="getClipVideo",
    responses={
        200: _VIDEO_CONTENT,
        206: _VIDEO_CONTENT,
        404: ErrorAnswer,
        416: {"description": "The asked range is not in the file."},
        502: ErrorAnswer,
        504: ErrorAnswer,
        **PEOPLE_ERRORS,
    },
)
def get_clip_video(path: ClipPathParameters) -> Response:
    """Stream a clip from its node; takes Range, so that a player can seek."""
    hub = services()
    with hub.database.session() as session:
        clip = session.get(StoredClip, path.clip_id)
    if clip is None:
        raise ApiError(404, "clip_unknown", f"There is no clip {path.clip_id}; it may have been deleted.")
    node = next((node for _, node in hub.config.nodes() if node.name == clip.node), None)
    if node is None:
        raise ApiError(404, "node_unknown", f"Node {clip.node}, which has this clip, is no longer configured.")
    video = hub.videos.open(
        node=node.name, node_url=str(node.url), path=clip.path, method=request.method, asked=dict(request.headers)
    )
    response = Response(video.chunks(), status=video.status, mimetype="video/mp4")
    response.call_on_close(video.close)
    response.headers.update(video.headers)
    response.headers["Cache-Control"] = _VIDEO_CACHE
    return response


def _page(session: Session, table: type[Row], query: ClipQuery) -> tuple[list[Row], str | None]:
    """Return one page, newest first, and the cursor of the next; it goes on where it ended, whatever came in since."""
    statement = select(table).order_by(table.start.desc(), table.id.desc()).limit(query.limit + 1)
    if query.site is not None:
        statement = statement.where(table.site == query.site)
    if query.camera is not None:
        statement = statement.where(table.camera == query.camera)
    if query.since is not None:
        statement = statement.where(or_(table.end.is_(None), table.end >= query.since))
    if query.until is not None:
        statement = statement.where(table.start < query.until)
    if query.before is not None:
        milliseconds, _, row_id = query.before.partition(".")
        start = from_milliseconds(int(milliseconds))
        statement = statement.where(or_(table.start < start, and_(table.start == start, table.id < int(row_id))))
    rows = list(session.scalars(statement))
    if len(rows) <= query.limit:
        return rows, None
    last = rows[query.limit - 1]
    return rows[: query.limit], f"{to_milliseconds(last.start)}.{last.id}"


def _clip(row: StoredClip) -> ClipAnswer:
    return ClipAnswer.model_validate(
        {
            **{name: getattr(row, name) for name in ClipAnswer.model_fields if name not in ("seconds", "video_url")},
            "seconds": round((row.end - row.start).total_seconds(), 3),
            "video_url": url_for("clips.get_clip_video", clip_id=row.id),
        }
    )


def _gap(row: StoredGap) -> GapAnswer:
    return GapAnswer.model_validate(row, from_attributes=True)
