"""A browser in front of the hub: Debian's Chromium, which trusts the hub's own certificate and nothing else unknown."""

from __future__ import annotations

import base64
import hashlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, Playwright, expect

CHROMIUM = "/usr/bin/chromium"
TIMEOUT_S = 10.0


def key_pin(url: str, ca_file: str) -> str:
    """Return the hash of the server's public key, after checking its certificate and name against our own CA.

    Chromium reads no CA file; a key that was checked here may pass there, and no other.
    """
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection((parts.hostname, parts.port or 443), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as tls,
    ):
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def open_browser(playwright: Playwright, proof: dict, proxy: str | None = None) -> Browser:
    """Start Chromium without a window; with `proxy`, all it asks for goes through there."""
    arguments = ["--no-sandbox"]
    if proof["hub_url"].startswith("https:"):
        arguments.append(f"--ignore-certificate-errors-spki-list={key_pin(proof['hub_url'], proof['ca_file'])}")
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=arguments, proxy={"server": proxy} if proxy else None
    )


def log_in(page: Page, username: str, password: str) -> None:
    """Fill in and send the login page that is shown."""
    page.get_by_test_id("username").fill(username)
    page.get_by_test_id("password").fill(password)
    page.get_by_test_id("log-in").click()


def go_to(page: Page, name: str) -> None:
    """Go to a page by the navigation: status, clips or logs."""
    page.get_by_test_id(f"nav-{name}").click()
    expect(page.get_by_test_id(f"nav-{name}")).to_have_attribute("aria-current", "page")


def await_playing(page: Page, seconds: float) -> float:
    """Wait until the video's own clock has gone on by `seconds`; return the length of the clip, seconds."""
    return page.get_by_test_id("video").evaluate(
        """(video, seconds) => new Promise((resolve, reject) => {
             const look = () => { if (video.currentTime >= seconds) resolve(video.duration) }
             video.addEventListener('timeupdate', look)
             video.addEventListener('error', () => reject(new Error(video.error.message)))
             if (video.error) reject(new Error(video.error.message))
             look()
           })""",
        seconds,
    )


class _Tunnel(socketserver.BaseRequestHandler):
    """One CONNECT of the browser, carried on from the server's `source` address."""

    def handle(self) -> None:
        request = self.request.makefile("rb")
        host, _, port = request.readline().split()[1].decode().rpartition(":")
        while request.readline().strip():
            pass
        with socket.create_connection((host, int(port)), TIMEOUT_S, (self.server.source, 0)) as far:
            far.settimeout(None)
            self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, self.request), daemon=True)
            back.start()
            _pump(self.request, far)
            back.join(TIMEOUT_S)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes until `source` ends."""
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # The other side has hung up, which ends the tunnel all the same.
        return


@contextmanager
def tunnel_from(source: str) -> Iterator[str]:
    """Give the URL of an HTTPS proxy on loopback whose connections come from the address `source`."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tunnel) as server:
        server.daemon_threads = True
        server.source = source
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)
