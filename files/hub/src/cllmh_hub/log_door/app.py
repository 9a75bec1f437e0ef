"""The WSGI program behind the gateway: the paths that nodes post their batches to."""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from flask import Flask, Response, request
from prometheus_client import start_http_server

from cllmh_hub import __version__, log
from cllmh_hub.config_file import load_config
from cllmh_hub.errors import ApiError, register_error_handlers
from cllmh_hub.log_door.batch import Store, StoreBusyError
from cllmh_hub.log_door.config import LogDoorConfig
from cllmh_hub.log_door.counters import Counters
from cllmh_hub.log_door.dead_letters import DeadLetters
from cllmh_hub.log_door.disk import Disk
from cllmh_hub.log_door.elasticsearch import ElasticsearchStore
from cllmh_hub.log_door.entrance import Entrance
from cllmh_hub.log_door.loki import LokiStore
from cllmh_hub.services import utc_now

# Set by the gateway from the sender's certificate, whatever the sender says.
_SITE_HEADER = "X-Cllmh-Site"
_SITE = re.compile(r"[a-z0-9-]{1,64}")
_logger = logging.getLogger(__name__)


def create_app(config: LogDoorConfig, counters: Counters, *, now: Callable[[], datetime] = utc_now) -> Flask:
    """Return the application."""
    app = Flask(__name__)
    register_error_handlers(app)
    dead_letters = DeadLetters(config.dead_letters_dir, max_bytes=config.dead_letters_max_bytes, now=now)

    def open_at(path: str, store: Store) -> None:
        entrance = Entrance(store, dead_letters, counters, batches=config.batches_per_store)
        app.add_url_rule(path, store.name, lambda: _take(entrance), methods=["POST"])

    connections = config.batches_per_store
    disk = Disk(config.loki_dir, config.loki_max_used_percent) if config.loki_dir else None
    open_at("/loki/api/v1/push", LokiStore(str(config.loki_url), connections=connections, disk=disk))
    if config.elasticsearch:
        open_at("/logs/elasticsearch", ElasticsearchStore(config.elasticsearch, connections=connections, now=now))
    return app


def create_app_from(path: str) -> Flask:
    """Return the application for the configuration file `path` and serve its counters; what gunicorn calls, once."""
    config = load_config(Path(path), LogDoorConfig)
    log.setup(language=config.language, level=config.log_level)
    counters = Counters()
    app = create_app(config, counters)
    start_http_server(config.metrics_port, "127.0.0.1", counters.registry)
    log.event(_logger, "log_door_started", version=__version__, metrics_port=config.metrics_port)
    return app


def _take(entrance: Entrance) -> Response:
    site = request.headers.get(_SITE_HEADER, "")
    if not _SITE.fullmatch(site):
        raise ApiError(403, "site_unknown", "Send log lines through the gateway, with the certificate of a site.")
    if request.mimetype != entrance.store.media_type or request.content_encoding is not None:
        wanted = f"Send {entrance.store.media_type}, not compressed."
        raise ApiError(415, "media_type_not_taken", wanted)
    try:
        entrance.take(site, request.get_data(cache=False))
    except StoreBusyError as error:
        text = f"The store {entrance.store.name} does not take this batch now; keep it and send it again."
        raise ApiError(error.status, "store_busy", text, retry_after_s=error.retry_after_s) from error
    return Response(status=204)
