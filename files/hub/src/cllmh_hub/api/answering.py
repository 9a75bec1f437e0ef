"""What all endpoints share."""

from typing import Any

from flask import Response, current_app
from pydantic import BaseModel

from cllmh_hub.contract.answers import ErrorAnswer

SESSION_SECURITY: list[dict[str, list[Any]]] = [{"session": []}]
"""For the OpenAPI document: needs a logged-in person."""

PEOPLE_ERRORS: dict[int | str, Any] = {401: ErrorAnswer, 403: ErrorAnswer}
"""For the OpenAPI document: not logged in; address not allowed."""


def answer(model: BaseModel, status: int = 200) -> Response:
    """Return `model` as a JSON response."""
    return current_app.response_class(model.model_dump_json(), status=status, mimetype="application/json")
