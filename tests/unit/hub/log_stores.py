"""A Loki and an Elasticsearch that take batches as the real ones do: of one with a bad line, the others are stored."""

import json
import ssl
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from unit.hub.servers import Server, send


class FakeLoki(Server):
    """Keeps lines by tenant; refuses those whose text has `refuse` in it; `mode` is an HTTP status, silent or well."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.lines: dict[str, set[tuple[str, str]]] = {}
        self.bodies: list[bytes] = []
        self.before_answer: Callable[[bytes], None] = lambda _: None

    def texts(self, tenant: str) -> list[str]:
        """Return the texts of a tenant's lines, oldest first."""
        return [text for _, text in sorted(self.lines.get(tenant, ()))]

    def _answer(self, _server: Server, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.bodies.append(body)
        self.before_answer(body)
        if self.mode == "silent":
            self.released.wait(20)
            handler.close_connection = True
            return
        if self.mode.isdecimal():
            send(handler, int(self.mode), b"no", Retry_After="7")
            return
        tenant = self.lines.setdefault(handler.headers["X-Scope-OrgID"], set())
        lines = [(line[0], line[1]) for stream in json.loads(body)["streams"] for line in stream["values"]]
        bad = {line for line in lines if "refuse" in line[1]}
        tenant.update(set(lines) - bad)
        if bad:
            counted = f"{len(bad)} errors like: " if len(bad) > 1 else ""
            send(handler, 400, f"{counted}entry for stream '{{}}' has timestamp too old".encode())
        else:
            send(handler, 204, b"")


class FakeElasticsearch(Server):
    """Keeps documents by index and id; a message's first word says how it is answered, `mode` how the whole bulk is."""

    errors: dict[str, tuple[int, str]] = {  # noqa: RUF012 - read only
        "strict": (400, "strict_dynamic_mapping_exception"),
        "closed": (400, "index_closed_exception"),
        "blocked": (403, "cluster_block_exception"),
        "full": (429, "es_rejected_execution_exception"),
        "failed": (500, "exception"),
    }

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(self._answer, tls)
        self.documents: dict[str, dict[str, Any]] = {}

    def messages(self) -> list[str]:
        return [document["message"] for index in self.documents.values() for document in index.values()]

    def _answer(self, _server: Server, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        say = {"X_Elastic_Product": "Elasticsearch", "Content_Type": "application/vnd.elasticsearch+json"}
        if handler.headers["Authorization"] != "Basic " + b64encode(b"log_door:geheim").decode():
            send(handler, 401, b'{"error":{"type":"security_exception"},"status":401}', **say)
            return
        if self.mode.isdecimal():
            send(handler, int(self.mode), b'{"error":{"type":"trouble"}}', **say)
            return
        lines = body.decode().splitlines()
        items = [self._create(json.loads(lines[n])["create"], lines[n + 1]) for n in range(0, len(lines), 2)]
        errors = any("error" in item for item in items)
        send(
            handler, 200, json.dumps({"errors": errors, "items": [{"create": item} for item in items]}).encode(), **say
        )

    def _create(self, action: dict[str, str], text: str) -> dict[str, Any]:
        document = json.loads(text)
        status, kind = self.errors.get(document["message"].split()[0], (201, ""))
        index = self.documents.setdefault(action["_index"], {})
        if status == 201 and action["_id"] in index:
            status, kind = 409, "version_conflict_engine_exception"
        if kind:
            return {"status": status, "error": {"type": kind, "reason": f"{kind} it is"}}
        index[action["_id"]] = document
        return {"status": status, "result": "created"}
