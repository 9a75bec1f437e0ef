"""The HTTP API of the HDD monitor: `/health`, `/disk`, `/clips`, `/metrics`. It reads only.

Times are ISO 8601 in UTC. Errors are `{"error": {"code", "message"}}`.
"""

import contextlib
import json
import sqlite3
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from cllmh_node import __version__
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.disk import RecorderStatus, iso, mount_of, read_recorder_status
from cllmh_node.hdd_monitor.metrics import render
from cllmh_node.hdd_monitor.monitor import Monitor
from cllmh_node.recordings import RetentionError
from cllmh_node.retention import open_index_read_only

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

_CLIPS = """
SELECT path, camera, start, "end", bytes, importance, peak_score, labels FROM clips
WHERE (:from IS NULL OR "end" > :from) AND (:to IS NULL OR start < :to) AND (:camera IS NULL OR camera = :camera)
ORDER BY start DESC LIMIT :limit
"""

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
        checks = {"disk": _disk_check(monitor)}
        found = recorder()
        if found is not None:
            checks["recorder"] = _recorder_check(found, config.recorder_stale_s)
        ranks = [check["status"] for check in checks.values()]
        status = next(rank for rank in ("failing", "degraded", "ok") if rank in ranks)
        body = {"status": status, "version": __version__, "at": iso(time.time()), "checks": checks}
        return jsonify(body), 503 if status == "failing" else 200

    @app.get("/disk")
    def disk() -> Answer:
        """The disk's capacity and state, and what each camera takes."""
        status = monitor.status
        body = {
            **status.as_report(),
            "at": iso(status.at),
            "mount": mount_of(status.path),
            "problem": status.problem,
            "short_bytes": status.short_bytes,
            "retention": config.retention.model_dump(),
        }
        return jsonify(body), 200

    @app.get("/clips")
    def clips() -> Answer:
        """Clips that touch a span of time, newest first: ?from&to&camera&limit."""
        wanted = {
            "from": _moment("from", request.args.get("from")),
            "to": _moment("to", request.args.get("to")),
            "camera": request.args.get("camera"),
            "limit": _limit(request.args.get("limit")),
        }
        if not config.index.exists():
            return jsonify({"items": []}), 200
        with contextlib.closing(open_index_read_only(config.index)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(_CLIPS, wanted).fetchall()
        return jsonify({"items": [_clip(row) for row in rows]}), 200

    @app.get("/metrics")
    def metrics() -> Response:
        """The same figures for Prometheus."""
        return Response(render(monitor.status, recorder()), content_type="text/plain; version=0.0.4; charset=utf-8")

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


def _disk_check(monitor: Monitor) -> dict[str, Any]:
    """Return how the disk is: `warn` degrades, `critical` fails."""
    status = monitor.status
    return {
        "status": {"ok": "ok", "warn": "degraded", "critical": "failing"}[status.state],
        "state": status.state,
        "free_bytes": status.space.free_bytes,
        "used_percent": status.space.used_percent,
        "short_bytes": status.short_bytes,
        "text": status.problem,
    }


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


def _moment(name: str, value: str | None) -> float | None:
    """Return unix seconds of an ISO 8601 time; without a zone it is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name} is {value!r}, it must be a time such as 2026-11-22T02:51:36Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _limit(value: str | None) -> int:
    """Return how many items are wanted."""
    if value is None:
        return DEFAULT_LIMIT
    if not value.isdecimal() or not 1 <= int(value) <= MAX_LIMIT:
        raise ValueError(f"limit is {value!r}, it must be a number from 1 to {MAX_LIMIT}")
    return int(value)


def _clip(row: sqlite3.Row) -> dict[str, Any]:
    """Return one row of the index as the API shows it."""
    return {
        "path": row["path"],
        "camera": row["camera"],
        "start": iso(row["start"]),
        "end": iso(row["end"]),
        "seconds": round(row["end"] - row["start"], 3),
        "bytes": row["bytes"],
        "importance": row["importance"],
        "peak_score": row["peak_score"],
        "labels": json.loads(row["labels"] or "[]"),
    }


def _error(code: str, message: str) -> Response:
    """Return an error in the form that all our APIs have."""
    return jsonify({"error": {"code": code, "message": message}})
