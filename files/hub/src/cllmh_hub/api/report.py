"""POST /api/report: nodes say what happens."""

import hashlib
import logging
from typing import cast

from flask import Response, g, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from cllmh_hub import log
from cllmh_hub.api.answering import answer, require_json
from cllmh_hub.config import Node, Site
from cllmh_hub.contract.answers import ErrorAnswer
from cllmh_hub.contract.reports import Report, ReportStored
from cllmh_hub.errors import ApiError
from cllmh_hub.reports import store
from cllmh_hub.services import services

blueprint = APIBlueprint("report", __name__, abp_tags=[Tag(name="report")], abp_security=[{"token": []}])
_logger = logging.getLogger(__name__)


@blueprint.before_request
def _find_sender() -> None:
    """Find out by its token which node this is, before anything it sent is read."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    sender = services().node_by_token.get(hashlib.sha256(token.strip().encode()).hexdigest())
    if scheme.lower() != "bearer" or sender is None:
        log.event(_logger, "report_token_refused", level=logging.WARNING, address=request.remote_addr)
        raise ApiError(401, "token_unknown", "Send `Authorization: Bearer TOKEN` with this node's token.")
    g.sender = sender


blueprint.before_request(require_json)


@blueprint.post(
    "/api/report",
    operation_id="postReport",
    responses={
        202: ReportStored,
        200: ReportStored,
        400: ErrorAnswer,
        401: ErrorAnswer,
        403: ErrorAnswer,
        413: ErrorAnswer,
    },
)
def post_report(body: Report) -> Response:
    """Store one report; the same report sent again is a duplicate and changes nothing."""
    site, node = cast(tuple[Site, Node], g.sender)
    report = body.root
    if (report.node, report.site) != (node.name, site.name):
        raise ApiError(
            403,
            "wrong_node",
            f"The token is that of node {node.name}, site {site.name}; "
            f"the report says node {report.node}, site {report.site}.",
        )
    key = request.headers.get("Idempotency-Key")
    if key is not None and key.lower() != str(report.id):
        raise ApiError(400, "wrong_key", f"Idempotency-Key is {key!r} but the report's id is {str(report.id)!r}.")
    hub = services()
    now = hub.now()
    with hub.database.session() as session:
        status = store(session, report, now=now)
        hub.housekeeping.run(session, now)
    return answer(ReportStored(status=status), 202 if status == "stored" else 200)
