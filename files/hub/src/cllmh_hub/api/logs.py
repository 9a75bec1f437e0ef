"""GET /api/v1/logs: the log lines of all nodes, DVRs and routers, and the proof that none is missing."""

from datetime import timedelta

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from cllmh_hub.api.answering import PEOPLE_ERRORS, SESSION_SECURITY, answer
from cllmh_hub.completeness.proof import prove
from cllmh_hub.completeness.statements import Span
from cllmh_hub.completeness.stores import pages_of
from cllmh_hub.contract.answers import ErrorAnswer, LogsAnswer
from cllmh_hub.contract.completeness import CompletenessAnswer
from cllmh_hub.contract.queries import CompletenessQuery, LogQuery
from cllmh_hub.errors import ApiError
from cllmh_hub.gate import require_login
from cllmh_hub.loki import Search
from cllmh_hub.services import services

_DEFAULT_SPAN = timedelta(hours=24)
_LONGEST_PROOF = timedelta(days=31)
_PROOF_BUDGET_S = 20

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
    sites = list(dict.fromkeys([*(site.name for site in hub.config.sites), *hub.config.log_sites]))
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


@blueprint.get(
    "/api/v1/logs/completeness",
    operation_id="proveLogs",
    responses={200: CompletenessAnswer, **dict.fromkeys((400, 429, 502, 504), ErrorAnswer), **PEOPLE_ERRORS},
)
def prove_logs(query: CompletenessQuery) -> Response:
    """Prove by the store, hour by hour, that no line of a site is missing; without `from`, the last 24 hours.

    Where there are many lines the answer ends early: ask again with `from` set to its `next`.
    """
    hub = services()
    site = next((site for site in hub.config.sites if site.name == query.site), None)
    if site is None:
        known = ", ".join(site.name for site in hub.config.sites)
        raise ApiError(400, "site_unknown", f"There is no site {query.site!r}; the sites are {known}.")
    nodes = [node.name for node in site.nodes]
    if query.node is not None and query.node not in nodes:
        raise ApiError(400, "node_unknown", f"Site {site.name} has no node {query.node!r}, but {', '.join(nodes)}.")
    now = hub.now()
    until = min(query.until or now, now)
    since = query.since or until - _DEFAULT_SPAN
    if not timedelta(0) < until - since <= _LONGEST_PROOF:
        raise ApiError(400, "invalid_request", "`from` must be before `to` and before now, and at most 31 days before.")
    if not hub.proving.acquire(blocking=False):
        raise ApiError(429, "busy", "Another proof is being made; try again in a minute.", retry_after_s=60)
    try:
        with pages_of(query.store, site, hub.config, hub.loki) as pages:
            found = prove(pages, nodes, Span.around(since, until), now=now, budget_s=_PROOF_BUDGET_S)
    finally:
        hub.proving.release()
    return answer(found if query.node is None else found.of_node(query.node))
