#!/usr/bin/python3
"""Stands in for the hub's report door: TLS on 443, one line of JSON in /root/reports.jsonl for each report."""

import json
import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

LOG = Path("/root/reports.jsonl")


class ReportDoor(BaseHTTPRequestHandler):
    """Takes everything and writes it down."""

    def do_POST(self) -> None:
        """Answer as the hub does when it has stored a report."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        line = {"path": self.path, "authorization": self.headers["Authorization"], "body": body}
        with LOG.open("a") as log:
            log.write(json.dumps(line) + "\n")
        answer = b'{"status":"stored"}'
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/cllmh/pki/host.crt", "/etc/cllmh/pki/host.key")
server = HTTPServer(("", 443), ReportDoor)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
