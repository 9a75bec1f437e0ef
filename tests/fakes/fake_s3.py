"""Enough of an S3 server for rclone to put objects and ask for their MD5; Content-MD5 is checked as by real ones."""

import base64
import hashlib
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit


class FakeS3:
    """A server with one bucket. Use as a context manager; `objects` is what it holds, by key."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.meta: dict[str, dict[str, str]] = {}
        self.is_damaging = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeS3":
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _handler(s3: FakeS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _key(self) -> str | None:
            bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
            return key if bucket == s3.bucket else None

        def do_PUT(self) -> None:
            key, body = self._key(), self.rfile.read(int(self.headers["Content-Length"]))
            expected = self.headers["Content-MD5"]
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            if key is None:
                return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            if expected is None or base64.b64decode(expected) != digest:
                return self._answer(400, b"<Error><Code>BadDigest</Code></Error>")
            s3.objects[key] = body + b"?" if s3.is_damaging else body
            s3.meta[key] = {
                name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta")
            }
            return self._answer(200)

        def do_HEAD(self) -> None:
            body = s3.objects.get(self._key() or "")
            if body is None:
                return self._answer(404)
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            headers = {"ETag": f'"{etag}"', "Last-Modified": formatdate(usegmt=True), **s3.meta[self._key() or ""]}
            return self._answer(200, body, headers)

        def do_GET(self) -> None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
