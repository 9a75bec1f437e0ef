"""A Loki that takes batches as the real one does: of a batch with a bad line, the other lines are stored."""

import json
from http.server import BaseHTTPRequestHandler

from unit.hub.servers import Server, send


class FakeLoki(Server):
    """Keeps lines by tenant; refuses those whose text has `refuse` in it; `mode` is an HTTP status, silent or well."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.lines: dict[str, set[tuple[str, str]]] = {}
        self.bodies: list[bytes] = []

    def texts(self, tenant: str) -> list[str]:
        """Return the texts of a tenant's lines, oldest first."""
        return [text for _, text in sorted(self.lines.get(tenant, ()))]

    def _answer(self, _server: Server, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.bodies.append(body)
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
            send(handler, 400, f"{len(bad)} of {len(lines)} lines: too far behind".encode())
        else:
            send(handler, 204, b"")
