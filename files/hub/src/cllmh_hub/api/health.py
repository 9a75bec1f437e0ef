"""GET /health: does the hub work?"""

import logging

import requests
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from sqlalchemy.exc import SQLAlchemyError

from cllmh_hub import __version__, log
from cllmh_hub.api.answering import answer
from cllmh_hub.contract.answers import CheckResult, HealthAnswer, HealthChecks
from cllmh_hub.services import services

blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="health")])
_logger = logging.getLogger(__name__)


@blueprint.get("/health", operation_id="health", responses={200: HealthAnswer, 503: HealthAnswer})
def health() -> Response:
    """Say whether the hub, its database and its log store work. Needs no login."""
    checks = HealthChecks(database=_database(), loki=_loki())
    if checks.database != "ok":
        return answer(HealthAnswer(status="failed", version=__version__, checks=checks), 503)
    return answer(HealthAnswer(status="ok" if checks.loki == "ok" else "degraded", version=__version__, checks=checks))


def _database() -> CheckResult:
    try:
        services().database.check()
    except SQLAlchemyError as error:
        log.event(_logger, "database_failed", level=logging.ERROR, error=str(error))
        return "failed"
    return "ok"


def _loki() -> CheckResult:
    try:
        return "ok" if services().loki.is_ready() else "failed"
    except requests.Timeout:
        return "timeout"
    except requests.RequestException:
        return "failed"
