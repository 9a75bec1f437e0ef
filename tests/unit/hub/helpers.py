"""People, nodes and what they send."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cllmh_hub.contract.times import iso_ms

NOW = datetime(2026, 11, 22, 3, 4, 5, 678000, UTC)
HOME = "192.168.1.5"
ELSEWHERE = "203.0.113.9"
TOKENS = {"node-a": "token-of-node-a", "node-b": "token-of-node-b"}
PASSWORDS = {"nadia": "kata sandi: @/#%", "budi": "budi-secret"}


class Clock:
    """The hub's clock, set by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Browser:
    """A person's browser behind nginx: https, one address, and what the dashboard sends."""

    def __init__(self, client: FlaskClient, address: str = HOME) -> None:
        self.client = client
        self.address = address

    def ask(self, method: str, url: str, *, ours: bool = True, **arguments: Any) -> TestResponse:
        headers = {"X-Forwarded-For": self.address, "X-Forwarded-Proto": "https", **arguments.pop("headers", {})}
        if ours:
            headers["X-Requested-With"] = "cllmh"
        return self.client.open(url, method=method, headers=headers, base_url="https://hub", **arguments)

    def get(self, url: str, **arguments: Any) -> TestResponse:
        return self.ask("GET", url, **arguments)

    def log_in(self, username: str = "nadia", password: str | None = None) -> TestResponse:
        given = PASSWORDS.get(username, "") if password is None else password
        return self.ask("POST", "/api/v1/session", json={"username": username, "password": given})


class Reporter:
    """A node that reports, from an address that is not on the list."""

    def __init__(self, client: FlaskClient, node: str, site: str, clock: Clock) -> None:
        self.client, self.node, self.site, self.clock = client, node, site, clock

    def envelope(self, kind: str, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
        at = iso_ms(self.clock.now)
        return {
            "id": str(uuid4()),
            "kind": kind,
            "at": at,
            "node": self.node,
            "site": self.site,
            "data": data,
            **changes,
        }

    def post(self, body: Any, *, token: str | None = None, **headers: str) -> TestResponse:
        given = {
            "Authorization": f"Bearer {token or TOKENS[self.node]}",
            "X-Forwarded-For": ELSEWHERE,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if isinstance(body, bytes):
            return self.client.post("/api/report", data=body, headers=given, content_type="application/json")
        return self.client.post("/api/report", json=body, headers=given)

    def report(self, kind: str, data: dict[str, Any], **changes: Any) -> TestResponse:
        return self.post(self.envelope(kind, data, **changes))


def clip(camera: str = "gate", minute: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the data of a clip of 12.5 s that begins at 03:`minute`."""
    start = datetime(2026, 11, 22, 3, minute, 0, tzinfo=UTC)
    return {
        "camera": camera,
        "path": f"{camera}/2026-11-22/{start:%Y%m%dT%H%M%S}.000Z.mp4",
        "start": iso_ms(start),
        "end": iso_ms(start + timedelta(seconds=12.5)),
        "bytes": 123456,
        "importance": "motion",
        "peak_score": 8.25,
        "labels": [],
        **changes,
    }


def status(camera: str = "gate", state: str = "quiet", **changes: Any) -> dict[str, Any]:
    return {
        "camera": camera,
        "channel": 1,
        "state": state,
        "since": "2026-11-22T03:00:00.000Z",
        "last_frame_at": "2026-11-22T03:04:05.000Z",
        "codec": "h264",
        "width": 768,
        "height": 576,
        "fps": 10.0,
        "error": None,
        **changes,
    }


def disk(**changes: Any) -> dict[str, Any]:
    return {
        "path": "/srv/cctv/recordings",
        "total_bytes": 1000,
        "used_bytes": 400,
        "free_bytes": 600,
        "used_percent": 40.0,
        "inodes_total": 100,
        "inodes_free": 90,
        "state": "ok",
        "cameras": {"gate": {"bytes": 300, "clips": 3, "oldest": "2026-11-20T00:00:00.000Z"}},
        "last_prune": None,
        **changes,
    }


def error_code(response: TestResponse) -> str:
    """Return the code of an error, after making sure that it has the API's form."""
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["message"]
    return str(body["error"]["code"])
