"""GET /health: does the hub work?"""

import logging

import requests
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from sqlalchemy.exc import SQLAlchemyError

from cllmh_hub import __version__, log
from cllmh_hub.api.answering import answer
from cllmh_hub.contract.answers import CheckResult, HealthAnswer, HealthChecks, HealthStatus
from cllmh_hub.services import services

blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="health")])
_logger = logging.getLogger(__name__)


@blueprint.get("/health", operation_id="health", responses={200: HealthAnswer, 503: HealthAnswer})
def health() -> Response:
    """Say whether the hub, its database and its log store work. Needs no login."""
    checks = HealthChecks(database=_database(), loki=_loki())
    works = checks.database == "ok"
    status: HealthStatus = "failed" if not works else "ok" if checks.loki == "ok" else "degraded"
    found = HealthAnswer(status=status, version=__version__, checks=checks, dead_letters=_dead_letters())
    return answer(found, 200 if works else 503)


def _database() -> CheckResult:
    try:
        services().database.check()
    except SQLAlchemyError as error:
        log.event(_logger, "database_failed", level=logging.ERROR, error=str(error))
        return "failed"
    return "ok"


def _dead_letters() -> int | None:
    try:
        return services().dead_letters.count()
    except OSError as error:
        log.event(_logger, "dead_letters_unreadable", level=logging.WARNING, error=str(error))
        return None


def _loki() -> CheckResult:
    try:
        return "ok" if services().loki.is_ready() else "failed"
    except requests.Timeout:
        return "timeout"
    except requests.RequestException:
        return "failed"
