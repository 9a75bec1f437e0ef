#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A simulated MikroTik router: the RouterOS API with ``/ip/cloud``, plain or TLS. Standard library only.

Behaves like RouterOS 7.18: refuses ``ddns-enabled=no`` (since 7.17 only ``yes`` and ``auto``), stores
durations in its own spelling (``60s`` becomes ``1m``), shows a DNS name only while DDNS is on. The state
file (JSON) holds the settings and every write that arrived, so that a test can prove there was none.

Example: ``fake_routeros.py --port 8728 --username admin --password-file PASSWORD --state state.json``
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import logging
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOG = logging.getLogger("fake_routeros")
MAX_WORD_BYTES = 0x10000
MAX_WORDS = 100
IDLE_TIMEOUT_S = 60
DURATION = re.compile(r"^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
UNITS_S = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
DEFAULTS = {"ddns-enabled": "auto", "ddns-update-interval": "none", "update-time": "true"}


class RefusedError(Exception):
    """The router says no; the text is what it says."""


def own_spelling(duration: str) -> str:
    """Return a duration as RouterOS stores it: ``60s`` -> ``1m``, ``90m`` -> ``1h30m``."""
    match = DURATION.match(duration)
    if not match or not duration:
        raise RefusedError("invalid value for argument ddns-update-interval")
    seconds = sum(int(count or 0) * unit for count, unit in zip(match.groups(), UNITS_S.values(), strict=True))
    text = ""
    for letter, unit in UNITS_S.items():
        count, seconds = divmod(seconds, unit)
        text += f"{count}{letter}" if count else ""
    return text or "0s"


@dataclass
class Router:
    """The router's settings, kept in ``state``, and who may change them."""

    username: str
    password: str
    state: Path
    dns_name: str = "0123456789ab.sn.mynetname.net"
    public_address: str = "203.0.113.7"
    version: str = "7.18.2 (stable)"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> dict[str, object]:
        """Read the state file; a missing one is a router out of the box."""
        if not self.state.exists():
            return {"cloud": dict(DEFAULTS), "writes": []}
        return json.loads(self.state.read_text(encoding="utf-8"))

    def login(self, given: dict[str, str]) -> None:
        """Check user and password."""
        user = hmac.compare_digest(given.get("name", "").encode(), self.username.encode())
        password = hmac.compare_digest(given.get("password", "").encode(), self.password.encode())
        if not (user and password):
            raise RefusedError("invalid user name or password (6)")

    def print_cloud(self) -> dict[str, str]:
        """``/ip/cloud/print``: the settings and what the cloud made of them."""
        cloud = dict(self.load()["cloud"])
        if cloud["ddns-enabled"] == "yes":
            cloud |= {"dns-name": self.dns_name, "public-address": self.public_address, "status": "updated"}
        return cloud

    def set_cloud(self, given: dict[str, str]) -> None:
        """``/ip/cloud/set``: check, normalise, store and record."""
        for key in given:
            if key not in DEFAULTS:
                raise RefusedError(f"unknown parameter {key}")
        change = dict(given)
        if change.get("ddns-enabled", "yes") not in ("yes", "auto"):
            raise RefusedError("invalid value of ddns-enabled, must be either yes or auto")
        if change.get("ddns-update-interval", "none") != "none":
            change["ddns-update-interval"] = own_spelling(change["ddns-update-interval"])
        if "update-time" in change:
            change["update-time"] = {"yes": "true", "no": "false"}.get(change["update-time"], change["update-time"])
        with self.lock:
            state = self.load()
            state["cloud"] |= change
            state["writes"].append({"path": "/ip/cloud/set", "given": given})
            partial = self.state.with_suffix(".partial")
            partial.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            partial.replace(self.state)

    def answer(self, command: str, given: dict[str, str]) -> list[dict[str, str]]:
        """Carry out one command of a logged-in user; returns the rows of ``!re``."""
        if command == "/ip/cloud/print":
            return [self.print_cloud()]
        if command == "/ip/cloud/set":
            self.set_cloud(given)
            return []
        if command == "/system/resource/print":
            return [{"version": self.version, "board-name": "CHR", "platform": "MikroTik"}]
        if command == "/system/identity/print":
            return [{"name": "fake-routeros"}]
        raise RefusedError("no such command")


class Connection(socketserver.StreamRequestHandler):
    """One API client; words and sentences as in MikroTik's API description."""

    timeout = IDLE_TIMEOUT_S

    def read_word(self) -> str:
        """Read one length-prefixed word (lengths of up to three bytes)."""
        first = self.read_bytes(1)[0]
        if first < 0x80:
            size = first
        elif first < 0xC0:
            size = (first & 0x3F) << 8 | self.read_bytes(1)[0]
        else:
            rest = self.read_bytes(2)
            size = (first & 0x1F) << 16 | rest[0] << 8 | rest[1]
        if first >= 0xE0 or size > MAX_WORD_BYTES:
            raise ConnectionError(f"a word that begins with length byte {first:#x}")
        return self.read_bytes(size).decode("utf-8", "replace")

    def read_bytes(self, size: int) -> bytes:
        """Read exactly so many bytes."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError("the client left")
        return data

    def read_sentence(self) -> list[str]:
        """Read words up to the empty one."""
        words: list[str] = []
        while word := self.read_word():
            words.append(word)
            if len(words) > MAX_WORDS:
                raise ConnectionError("a sentence without an end")
        return words

    def write_sentence(self, kind: str, values: dict[str, str] | None = None, tag: str = "") -> None:
        """Write one reply."""
        out = b""
        for word in [kind, *[f"={key}={value}" for key, value in (values or {}).items()], *([tag] if tag else [])]:
            data = word.encode()
            size = len(data)
            out += (bytes([size]) if size < 0x80 else (0x8000 | size).to_bytes(2, "big")) + data
        self.wfile.write(out + b"\0")

    def handle(self) -> None:
        """Serve sentences until the client leaves."""
        router: Router = self.server.router
        logged_in = False
        with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):
            while True:
                words = self.read_sentence()
                if not words:
                    continue
                command, tag = words[0], next((word for word in words if word.startswith(".tag=")), "")
                given = dict(word[1:].split("=", 1) for word in words[1:] if word.startswith("=") and "=" in word[1:])
                given.pop(".proplist", None)
                shown = "" if command == "/login" else f" {given}"
                LOG.info("%s %s%s", self.client_address[0], command, shown)
                if command == "/quit" or (not logged_in and command != "/login"):
                    self.write_sentence("!fatal", {"message": "session terminated" if logged_in else "not logged in"})
                    return
                try:
                    rows = []
                    if command == "/login":
                        router.login(given)
                        logged_in = True
                    else:
                        rows = router.answer(command, given)
                except RefusedError as refusal:
                    self.write_sentence("!trap", {"message": str(refusal)}, tag)
                    rows = []
                for row in rows:
                    self.write_sentence("!re", row, tag)
                self.write_sentence("!done", None, tag)


class Server(socketserver.ThreadingTCPServer):
    """The API service of one router."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], router: Router, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(address, Connection)
        self.router = router
        self.tls = tls

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept; the TLS handshake happens at the first read, in the connection's own thread."""
        connection, address = super().get_request()
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


@contextlib.contextmanager
def running(router: Router, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a router in a thread of this process, for tests; gives its port."""
    with Server(("127.0.0.1", 0), router, tls) as server:
        thread = threading.Thread(target=server.serve_forever, name="fake-routeros")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=8728)
    parser.add_argument("--username", default="admin")
    parser.add_argument("--password-file", type=Path, required=True, help="file with the password on one line")
    parser.add_argument("--state", type=Path, required=True, help="JSON file of settings and writes")
    parser.add_argument("--dns-name", default=Router.dns_name, help="the name MikroTik's DDNS gives this router")
    parser.add_argument("--public-address", default=Router.public_address)
    parser.add_argument("--tls-certificate", type=Path, help="PEM; with it the port speaks TLS (api-ssl)")
    parser.add_argument("--tls-key", type=Path, help="PEM key of the certificate")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    password = options.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    router = Router(options.username, password, options.state, options.dns_name, options.public_address)
    tls = None
    if options.tls_certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_certificate, options.tls_key)
    with Server((options.address, options.port), router, tls) as server:
        LOG.info("ready: %s, port %d", "TLS" if tls else "plain", options.port)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"fake_routeros: {error}")
