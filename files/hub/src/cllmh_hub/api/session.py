"""/api/v1/session: logging in and out."""

import logging

from flask import Response, session
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from cllmh_hub import log
from cllmh_hub.api.answering import PEOPLE_ERRORS, answer, require_json
from cllmh_hub.contract.answers import ErrorAnswer, SessionAnswer
from cllmh_hub.contract.queries import Login
from cllmh_hub.errors import ApiError
from cllmh_hub.gate import client_address, current_person
from cllmh_hub.people import Person
from cllmh_hub.services import services

blueprint = APIBlueprint("session", __name__, abp_tags=[Tag(name="session")])
blueprint.before_request(require_json)
_logger = logging.getLogger(__name__)


@blueprint.post(
    "/api/v1/session",
    operation_id="logIn",
    responses={200: SessionAnswer, 400: ErrorAnswer, **PEOPLE_ERRORS, 429: ErrorAnswer},
)
def log_in(body: Login) -> Response:
    """Log in; the answer sets the session cookie."""
    person = _verify(body.username, body.password)
    session.clear()
    session.permanent = True
    session["user"] = person.name
    session["key"] = person.key
    return answer(SessionAnswer(name=person.name, role=person.role))


@blueprint.get("/api/v1/session", operation_id="whoAmI", responses={200: SessionAnswer, **PEOPLE_ERRORS})
def who_am_i() -> Response:
    """Say who is logged in."""
    person = current_person()
    return answer(SessionAnswer(name=person.name, role=person.role))


@blueprint.delete("/api/v1/session", operation_id="logOut", responses={204: None, 403: ErrorAnswer})
def log_out() -> Response:
    """Log out; the answer clears the session cookie."""
    session.clear()
    return Response(status=204)


def _verify(username: str, password: str) -> Person:
    """Return the person, or raise ApiError 401 or 429; unknown names and wrong passwords look the same."""
    hub = services()
    now = hub.now()
    address = client_address()
    with hub.database.session() as database:
        wait_s = hub.login_guard.wait_s(database, address=address, username=username, now=now)
        if wait_s:
            log.event(_logger, "login_limited", level=logging.WARNING, address=address, seconds=wait_s)
            raise ApiError(
                429, "too_many_logins", f"Too many wrong passwords; try again in {wait_s} s.", retry_after_s=wait_s
            )
        person = hub.people.verify(username, password)
        if person is None:
            hub.login_guard.failed(database, address=address, username=username, now=now)
            # Not the name as typed: people type passwords there.
            known = username if hub.people.find(username) else None
            log.event(_logger, "login_refused", level=logging.WARNING, address=address, user=known)
            raise ApiError(401, "login_failed", "The user name or the password is wrong.")
        hub.login_guard.succeeded(database, address=address, username=username)
    log.event(_logger, "login_accepted", address=address, user=person.name)
    return person
