"""Errors as the API gives them: `{"error": {"code": ..., "message": ...}}`."""

import logging

from flask import Flask, Response, jsonify
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from cllmh_hub import log

_logger = logging.getLogger(__name__)


class ApiError(Exception):
    """Ends a request with `status`; `code` is for programs, `message` for people."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


def error_response(status: int, code: str, message: str) -> Response:
    """Return the error as a JSON response."""
    response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    return response


def invalid_request(error: ValidationError) -> Response:
    """Return 400 with every fault as `where: what`; the values are not repeated, they may be secrets."""
    return error_response(400, "invalid_request", "; ".join(describe_faults(error)))


def describe_faults(error: ValidationError) -> list[str]:
    """Return each fault of a pydantic error as `where: what`."""
    return [
        f"{'.'.join(str(part) for part in fault['loc']) or 'request'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def register_error_handlers(app: Flask) -> None:
    """Make every error of `app` a JSON answer."""

    def api_error(error: ApiError) -> Response:
        response = error_response(error.status, error.code, error.message)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    def http_error(error: HTTPException) -> Response | HTTPException:
        if error.response is not None:  # made by abort(response), already in our form
            return error
        status = error.code or 500
        code = error.name.lower().replace(" ", "_")
        return error_response(status, code, error.description or error.name)

    def unexpected(error: Exception) -> Response:
        log.event(_logger, "request_failed", level=logging.ERROR, exc_info=True, error=type(error).__name__)
        return error_response(500, "internal_error", "The hub failed to answer; its log says why.")

    app.register_error_handler(ApiError, api_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)
