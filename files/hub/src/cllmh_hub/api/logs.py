"""GET /api/v1/logs: the log lines of all nodes, DVRs and routers."""

from datetime import timedelta

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from cllmh_hub.api.answering import PEOPLE_ERRORS, SESSION_SECURITY, answer
from cllmh_hub.contract.answers import ErrorAnswer, LogsAnswer
from cllmh_hub.contract.queries import LogQuery
from cllmh_hub.errors import ApiError
from cllmh_hub.gate import require_login
from cllmh_hub.loki import Search
from cllmh_hub.services import services

_DEFAULT_SPAN = timedelta(hours=24)

blueprint = APIBlueprint("logs", __name__, abp_tags=[Tag(name="logs")], abp_security=SESSION_SECURITY)
blueprint.before_request(require_login)


@blueprint.get(
    "/api/v1/logs",
    operation_id="searchLogs",
    responses={200: LogsAnswer, 400: ErrorAnswer, 502: ErrorAnswer, 504: ErrorAnswer, **PEOPLE_ERRORS},
)
def search_logs(query: LogQuery) -> Response:
    """Search log lines, newest first; without `from`, the 24 hours before `to` or now."""
    hub = services()
    sites = [site.name for site in hub.config.sites]
    if query.site is not None:
        if query.site not in sites:
            raise ApiError(400, "site_unknown", f"There is no site {query.site!r}; the sites are {', '.join(sites)}.")
        sites = [query.site]
    if not sites:
        return answer(LogsAnswer(items=[], truncated=False))
    until = query.until or hub.now()
    since = query.since or until - _DEFAULT_SPAN
    if since >= until:
        raise ApiError(400, "invalid_request", "`from` must be before `to`, and before now when there is no `to`.")
    # One more than asked for, to know whether there are more.
    lines = hub.loki.search(
        Search(
            sites=sites,
            since=since,
            until=until,
            limit=query.limit + 1,
            kind=query.kind,
            severities=query.severity,
            text=query.text,
        )
    )
    return answer(LogsAnswer(items=lines[: query.limit], truncated=len(lines) > query.limit))
