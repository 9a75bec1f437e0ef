"""A hub's part in the way of a log line: the gateway's nginx, the door and Loki, configured by their roles."""

from __future__ import annotations

import contextlib
import functools
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import ROOT
from bench.logs.network import Machine, network_of_its_own, wait_until_open
from bench.logs.roles import Authority, artifact, render
from bench.processes import wait_for

LOKI_DISK = "/var/lib/loki"
PUSH_PORT = 8443
LOKI_PORT = 3100
DOOR_SOCKET = "/run/cllmh-log-door/door.sock"
_KEPT_NGINX = ROOT / "build" / "bench-nginx"


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[None]:
    """Give the benchmark a network of its own and an empty folder for its machines; take both away at the end."""
    nginx()  # from a mirror, if it has to be had; the new network has no way to one
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir(parents=True)
    with network_of_its_own():
        yield
    shutil.rmtree(folder)


class Hub(Machine):
    """The hub: `loki` are variables of its role, as a fleet would set them."""

    def __init__(self, folder: Path, authority: Authority, *, loki: dict[str, Any] | None = None) -> None:
        super().__init__(folder, 10)
        certificate, key = authority.issue("hub", "hub", self.address)
        self.write("/etc/cllmh/pki/ca.crt", authority.certificate)
        self.write("/etc/cllmh/pki/host.crt", certificate)
        self.write("/etc/cllmh/pki/host.key", key, 0o600)
        self.loki_url = f"http://{self.address}:{LOKI_PORT}"
        self.loki_flags: list[str] = []
        """Options of Loki beside its configuration, where a benchmark has no time to wait as long as a hub does."""

        # The benchmark asks Loki from outside: there it listens on loopback alone.
        values = {"loki_http_address": self.address} | (loki or {})
        self.write("/etc/loki/loki.yml", render("loki", "etc/loki/loki.yml.j2", values))
        self.path(LOKI_DISK).mkdir(parents=True, exist_ok=True)
        values = {
            "gateway_kind": "hub",
            "gateway_ipv6": False,
            "gateway_grafana_address": "",
            "inventory_hostname": "hub",
            "ansible_facts": {"distribution_major_version": "12" if platform_is_bookworm() else "13"},
        }
        self.write("/etc/nginx/nginx.conf", render("gateway", "etc/nginx/nginx.conf.j2", values))
        values = {
            "log_door_loki_url": self.loki_url,
            "log_door_loki_dir": LOKI_DISK,
            "log_door_elasticsearch_enabled": False,
        }
        self.write("/etc/cllmh/log_door.yml", render("log_door", "etc/cllmh/log_door.yml.j2", values))
        for missing in ("/var/log/nginx", "/var/lib/nginx", "/var/lib/cllmh/log_door"):
            self.path(missing).mkdir(parents=True, exist_ok=True)
        if not self.path("/etc/nginx/mime.types").exists():
            shutil.copy(_KEPT_NGINX / "etc/nginx/mime.types", self.path("/etc/nginx/mime.types"))

    def start_all(self) -> None:
        """Start all programs."""
        self.start_loki()
        self.start_door()
        self.start_gateway()

    def start_loki(self) -> None:
        """Start Loki; it is ready some ten seconds later."""
        self.start("loki", str(artifact("loki")), "-config.file=/etc/loki/loki.yml", *self.loki_flags)

    def start_door(self) -> None:
        """Start the door for log lines; wait until it answers."""
        path = self.path(DOOR_SOCKET)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cllmh_hub", "log-door", "serve", "--config", "/etc/cllmh/log_door.yml"]
        self.start("door", *command, "--bind", f"unix:{DOOR_SOCKET}", "--threads", "64")
        wait_for(path.exists, 30, "the door's socket")
        # The unit's user has nginx's in its group.
        shutil.chown(path, group="www-data")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.recv(1)  # any answer: it works

    def start_gateway(self) -> None:
        """Start nginx."""
        self.path("/run/nginx.pid").unlink(missing_ok=True)
        self.start("gateway", nginx(), "-g", "daemon off;")

    def wait_until_ready(self, seconds: float = 90) -> None:
        """Wait until gateway and Loki take lines."""
        wait_until_open(self.address, PUSH_PORT)
        self.wait_until_loki_ready(seconds)

    def wait_until_loki_ready(self, seconds: float = 90) -> None:
        """Wait until Loki takes lines."""

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{self.loki_url}/ready", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_for(ready, seconds, "Loki to be ready", 0.3)


@functools.cache
def nginx() -> str:
    """Return Debian's nginx; unpacked in build/ where it is not installed, because installing would start it."""
    if installed := shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        return installed
    program = _KEPT_NGINX / "usr/sbin/nginx"
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = ["apt-get", "download", "--quiet", "nginx", "nginx-common"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
            packages = sorted(Path(folder).glob("*.deb"), reverse=True)
            if done.returncode or not packages:
                raise RuntimeError(f"nginx is neither installed nor to be had: {done.stderr.strip()[-300:]}")
            for package in packages:
                subprocess.run(["dpkg", "--extract", str(package), str(_KEPT_NGINX)], timeout=60, check=True)
    return str(program)


def platform_is_bookworm() -> bool:
    """Say whether this machine has Debian 12: its nginx spells HTTP/2 another way."""
    return platform.freedesktop_os_release().get("VERSION_ID") == "12"
