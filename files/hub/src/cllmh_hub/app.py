"""The application: endpoints and gate, with or without services behind them."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Response, jsonify
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from cllmh_hub import __version__, log
from cllmh_hub.api import clips, health, logs, report, session, sites
from cllmh_hub.config import HubConfig
from cllmh_hub.config_file import ConfigError, load_config, read_secret
from cllmh_hub.contract.answers import ErrorAnswer
from cllmh_hub.errors import invalid_request, register_error_handlers
from cllmh_hub.gate import register_gate
from cllmh_hub.models import Base
from cllmh_hub.services import Services, utc_now

_MAX_BODY_BYTES = 1024 * 1024
_MIN_SECRET_CHARACTERS = 32
# The prefix makes browsers refuse the cookie unless it is Secure, for this host only and for all its paths.
_COOKIE_NAME = "__Host-cllmh"
_API_VERSION = "1.0.0"
_SECURITY_SCHEMES: dict[str, Any] = {
    "session": {"type": "apiKey", "in": "cookie", "name": _COOKIE_NAME, "description": "Set by logging in."},
    "token": {"type": "http", "scheme": "bearer", "description": "A node's token."},
}
_logger = logging.getLogger(__name__)


def create_api() -> OpenAPI:
    """Return the endpoints without services: enough for the OpenAPI document, not for answering."""
    api = OpenAPI(
        __name__,
        info=Info(title="CLLMH hub", version=_API_VERSION),
        security_schemes=_SECURITY_SCHEMES,
        validation_error_status=400,
        validation_error_model=ErrorAnswer,
        validation_error_callback=invalid_request,
        doc_ui=False,
    )
    register_error_handlers(api)
    for module in (session, sites, clips, logs, report, health):
        api.register_api(module.blueprint)

    @api.route("/api/openapi.json")
    def openapi_document() -> Response:
        return jsonify(api.api_doc)

    return api


def create_app(config: HubConfig, *, now: Callable[[], datetime] = utc_now) -> OpenAPI:
    """Return the application, its database ready; raise ConfigError when a file that `config` names is wrong."""
    app = create_api()
    app.config.update(
        SECRET_KEY=_session_secret(config.session_secret_file),
        SESSION_COOKIE_NAME=_COOKIE_NAME,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=config.session_hours),
        MAX_CONTENT_LENGTH=_MAX_BODY_BYTES,
    )
    hub = Services.from_config(config, now=now)
    with app.app_context():
        hub.install()
    register_gate(app)
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's documented way to add middleware
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=config.trusted_proxies
        )
    hub.database.create_tables(Base.metadata)
    hub.database.dispose()  # gunicorn forks after this
    return app


def create_app_from(path: str) -> OpenAPI:
    """Return the application for the configuration file `path`; what gunicorn calls."""
    config = load_config(Path(path), HubConfig)
    log.setup(language=config.language, level=config.log_level)
    app = create_app(config)
    log.event(_logger, "hub_api_started", version=__version__, sites=len(config.sites))
    return app


def _session_secret(path: Path) -> str:
    secret = read_secret(path)
    if len(secret) < _MIN_SECRET_CHARACTERS:
        raise ConfigError(
            f"{path}: the session secret has {len(secret)} characters, it must have {_MIN_SECRET_CHARACTERS}"
        )
    return secret
