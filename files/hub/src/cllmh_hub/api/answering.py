"""What all endpoints share."""

from typing import Any

from flask import Response, current_app, request
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest

from cllmh_hub.contract.answers import ErrorAnswer
from cllmh_hub.errors import ApiError

SESSION_SECURITY: list[dict[str, list[Any]]] = [{"session": []}]
"""For the OpenAPI document: needs a logged-in person."""

PEOPLE_ERRORS: dict[int | str, Any] = {401: ErrorAnswer, 403: ErrorAnswer}
"""For the OpenAPI document: not logged in; address not allowed."""


def answer(model: BaseModel, status: int = 200) -> Response:
    """Return `model` as a JSON response."""
    return current_app.response_class(model.model_dump_json(), status=status, mimetype="application/json")


def require_json() -> None:
    """Raise ApiError 400 when there is a body and it is not JSON; the models' own errors would not say so."""
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    try:
        request.get_json()
    except (BadRequest, RecursionError) as error:
        raise ApiError(400, "not_json", "The body is not valid JSON.") from error
