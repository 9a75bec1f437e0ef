"""Stands in for the services behind the gateway: answers with what reached it, as JSON."""

import json
import os
import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Echo(BaseHTTPRequestHandler):
    """Sends back the path, the headers and the size of the body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer any request."""
        size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        answer = json.dumps({"path": self.path, "headers": dict(self.headers), "size": size}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        """Answer like any request."""
        self.do_GET()

    def address_string(self) -> str:
        """Return a name; a Unix socket has no client address."""
        return "gateway"


class Server(socketserver.ThreadingTCPServer):
    """Listens on `PATH` or on `ADDRESS:PORT`."""

    allow_reuse_address = True

    def __init__(self, where: str) -> None:
        address, _, port = where.partition(":")
        self.address_family = socket.AF_INET if port else socket.AF_UNIX
        super().__init__((address, int(port)) if port else address, Echo)


if __name__ == "__main__":
    os.umask(0o007)
    Server(sys.argv[1]).serve_forever()
