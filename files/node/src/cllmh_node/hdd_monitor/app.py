"""The HTTP API of the HDD monitor: `/health`, `/disk`, `/room`, `/clips`, `/files`, `/metrics`. It reads only.

Answers come from the monitor's latest look and from the index, never from the disk of the recordings itself: a disk
that hangs does not hang the API. Times are ISO 8601 in UTC. Errors are `{"error": {"code", "message"}}`.
"""

import sqlite3
import time
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from cllmh_node import __version__
from cllmh_node.hdd_monitor import listing
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.disk import DiskStatus, iso
from cllmh_node.hdd_monitor.levels import causes
from cllmh_node.hdd_monitor.metrics import render
from cllmh_node.hdd_monitor.monitor import Monitor
from cllmh_node.hdd_monitor.recorder import RecorderStatus, read_recorder_status
from cllmh_node.hdd_monitor.room import PURPOSES, room
from cllmh_node.logs.watch import read_status
from cllmh_node.recordings import RetentionError

STALE_S = 120.0
"""A look at the disk that is older says nothing any more, in seconds; or six times the interval when that is longer."""

LONG_PRUNE_S = 600.0
"""A prune that takes longer is a disk that hangs, in seconds."""

MAX_BYTES = 10**18

Answer = tuple[Response, int]


def create_app(config: HddMonitorConfig, monitor: Monitor) -> Flask:
    """Return the application over a monitor's status and the recorder's index."""
    app = Flask(__name__)

    def recorder() -> RecorderStatus | None:
        path = config.recorder_status
        return read_recorder_status(path, time.time()) if path is not None else None

    @app.get("/health")
    def health() -> Answer:
        """Is all well here? 200 when recordings are being kept, 503 when they are not."""
        checks = {"disk": _disk_check(monitor.status, config)}
        found = recorder()
        if found is not None:
            checks["recorder"] = _recorder_check(found, config.recorder_stale_s)
        ranks = [check["status"] for check in checks.values()]
        status = next(rank for rank in ("failing", "degraded", "ok") if rank in ranks)
        body = {"status": status, "version": __version__, "at": iso(time.time()), "checks": checks}
        return jsonify(body), 503 if status == "failing" else 200

    @app.get("/disk")
    def disk() -> Answer:
        """The disk's capacity and state, what cameras and classes take, how it fills up, what was pruned."""
        status = monitor.status
        body = {
            **status.as_report(),
            "at": iso(status.at),
            "prune_running_since": iso(monitor.pruner.state.running_since),
            "retention": config.retention.model_dump(),
        }
        return jsonify(body), 200

    @app.get("/room")
    def has_room() -> Answer:
        """Is there room for so many bytes: ?bytes&for=backup or recording."""
        size_bytes = listing.whole_number("bytes", request.args.get("bytes"), 0, MAX_BYTES)
        purpose = next((known for known in PURPOSES if known == request.args.get("for", "backup")), None)
        if purpose is None:
            raise ValueError(f"for is {request.args['for']!r}, it must be one of {', '.join(PURPOSES)}")
        status = monitor.status
        answer = room(status, config, size_bytes, purpose)
        stale = _staleness(status, config)
        return jsonify({**answer, "has_room": False, "reason": stale} if stale else answer), 200

    @app.get("/clips")
    def clips() -> Answer:
        """Clips that touch a span of time, newest first: ?from&to&camera&limit."""
        return jsonify(listing.clips(config.index, request.args)), 200

    @app.get("/files")
    def files() -> Answer:
        """All files, oldest first, page by page: ?camera&importance&limit&after."""
        return jsonify(listing.files(config.index, request.args)), 200

    @app.get("/metrics")
    def metrics() -> Response:
        """The same figures for Prometheus."""
        logs = None if config.logs_status is None else read_status(config.logs_status)
        return Response(
            render(monitor.status, recorder(), logs), content_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Answer:
        return _error(error.name.lower().replace(" ", "_"), error.description or error.name), error.code or 500

    @app.errorhandler(ValueError)
    def bad_value(error: ValueError) -> Answer:
        return _error("bad_value", str(error)), 400

    @app.errorhandler(RetentionError)
    @app.errorhandler(sqlite3.Error)
    def no_index(error: Exception) -> Answer:
        return _error("index_unavailable", str(error)), 503

    return app


def _disk_check(status: DiskStatus, config: HddMonitorConfig) -> dict[str, Any]:
    """Return how the disk is: `warn` degrades, `critical` fails, and so does a disk that nobody could look at."""
    health = {"ok": "ok", "warn": "degraded", "critical": "failing"}[status.state]
    text = status.look.problem or status.pruning.problem
    if text is None and status.smart.state == "failing":
        text = status.smart.reason
    running_s = time.time() - (status.pruning.running_since or time.time())
    if running_s > LONG_PRUNE_S:
        health = "degraded" if health == "ok" else health
        text = text or f"a prune has been at work for {running_s / 60:.0f} minutes"
    stale = _staleness(status, config)
    return {
        "status": "failing" if stale else health,
        "state": status.state,
        "causes": causes(status.levels),
        "free_bytes": status.space.free_bytes,
        "used_percent": status.space.used_percent,
        "short_bytes": status.pruning.short_bytes,
        "text": stale or text,
    }


def _staleness(status: DiskStatus, config: HddMonitorConfig) -> str | None:
    """Return what is to be said of a look that is too old, None when it is not."""
    age_s = time.time() - status.at
    return f"the disk was last looked at {age_s:.0f} s ago" if age_s > max(STALE_S, 6 * config.interval_s) else None


def _recorder_check(found: RecorderStatus, stale_s: float) -> dict[str, Any]:
    """Return how the recorder is: a lost camera degrades, silence fails."""
    if found.age_s is None:
        status, text = "failing", "the recorder has not said anything yet"
    elif found.age_s > stale_s:
        status, text = "failing", f"the recorder has said nothing for {found.age_s:.0f} s"
    elif found.lost:
        status, text = "degraded", f"lost cameras: {', '.join(found.lost)}"
    else:
        status, text = "ok", None
    age_s = round(found.age_s, 1) if found.age_s is not None else None
    return {"status": status, "age_s": age_s, "cameras": found.cameras, "text": text}


def _error(code: str, message: str) -> Response:
    """Return an error in the form that all our APIs have."""
    return jsonify({"error": {"code": code, "message": message}})
