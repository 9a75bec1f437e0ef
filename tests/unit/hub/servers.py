"""A node's gateway and a Loki: real HTTP servers that answer as the test says."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIP_PATH = "gate/2026-11-22/20261122T030000.000Z.mp4"
CLIP_BYTES = bytes(range(256)) * 1000


class Server:
    """A real HTTP server that answers as the test says and keeps what it was asked."""

    def __init__(self, answer: Callable[["Server", BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None):
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.answer = answer
        self.mode = "well"
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer is written in two pieces, and would wait 40 ms

            def do_GET(self) -> None:
                server.asked.append((self.command, self.path, dict(self.headers)))
                server.answer(server, self)

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                self.do_GET()

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https" if tls else "http"
        self.url = f"{self.scheme}://127.0.0.1:{self.http.server_port}"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self.http.shutdown()
            self.http.server_close()
            thread.join()

    def query(self) -> dict[str, str]:
        """Return the query string of the last request."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.asked[-1][1]).query).items()}


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def answer_as_node(server: Server, handler: BaseHTTPRequestHandler) -> None:
    if server.mode == "silent":
        server.released.wait(10)
        return
    if server.mode == "broken":
        send(handler, 500, b"")
        return
    if server.mode == "dies":
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CLIP_BYTES)))
        handler.end_headers()
        handler.wfile.write(CLIP_BYTES[:1000])
        handler.close_connection = True
        return
    if handler.path != f"/clips/{CLIP_PATH}":
        send(handler, 404, b"")
        return
    asked = handler.headers.get("Range")
    if asked is None:
        send(handler, 200, CLIP_BYTES, Accept_Ranges="bytes", ETag='"clip-1"', Server="nginx", Set_Cookie="x=1")
        return
    first, _, last = asked.removeprefix("bytes=").partition("-")
    if int(first) >= len(CLIP_BYTES):
        send(handler, 416, b"", Content_Range=f"bytes */{len(CLIP_BYTES)}")
        return
    part = CLIP_BYTES[int(first) : int(last) + 1 if last else None]
    send(handler, 206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(CLIP_BYTES)}")


def answer_as_loki(server: Server, handler: BaseHTTPRequestHandler) -> None:
    if server.mode == "silent":
        server.released.wait(10)
        return
    if server.mode == "broken":
        send(handler, 500, b"oops")
        return
    if server.mode == "refusing":
        send(handler, 400, b"the query time range exceeds the limit")
        return
    if server.mode == "garbled":
        send(handler, 200, b'{"data": 3}')
        return
    if handler.path == "/ready":
        send(handler, 200, b"ready\n")
        return
    limit = int(server.query()["limit"])
    body = {"status": "success", "data": {"resultType": "streams", "result": _streams(limit)}}
    send(handler, 200, json.dumps(body).encode(), Content_Type="application/json")


def _streams(limit: int) -> list[dict[str, Any]]:
    """Return at most `limit` of five lines, the way Loki does: one stream for each set of labels and metadata."""
    lines = [
        ("1795317840000000000", "dvr started", "site-b", "dvr", "info", "dvr-b", "dvr", "h@1"),
        ("1795317841123456789", "link down", "site-a", "router", "err", "router-a", "interface", "h@2"),
        ("1795317842000000000", "disk warm", "site-a", "node", "warning", "node-a", "smartd", "h@3"),
        ("1795317843000000000", "a", "site-a", "node", "info", "node-a", "cron", "h@4"),
        ("1795317844000000000", "b", "site-a", "node", "info", "node-a", "cron", "h@5"),
    ]
    names = ("site", "kind", "severity", "host", "app", "id")
    return [
        {"stream": {"job": "cctv", **dict(zip(names, labels, strict=True))}, "values": [[at, text]]}
        for at, text, *labels in lines[-limit:]
    ]
