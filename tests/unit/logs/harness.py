"""Run the real syslog-ng with the role's own configuration against a recording HTTPS receiver."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
import yaml

from free_ports import free_port

SITE_ZONE = "Asia/Jakarta"
ADDRESSES = {"dvr": "127.0.0.11", "router": "127.0.0.12"}
ROLE = Path(__file__).parents[3] / "roles" / "syslog_ng"
START_TIMEOUT_S = 20


def installed_config_version() -> str:
    """Return the configuration language of the installed syslog-ng, for example 3.38."""
    answer = subprocess.run(["syslog-ng", "--version"], capture_output=True, text=True, timeout=10, check=True)
    first = answer.stdout.splitlines()[0]
    return ".".join(first[first.index("(") + 1 :].split(".")[:2])


def render(variables: dict[str, Any]) -> str:
    """Render the role's syslog-ng.conf with its defaults and these variables on top, as Ansible would."""
    environment = jinja2.Environment(  # noqa: S701 - what comes out is a configuration file, not HTML
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    values = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    values |= yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    values |= variables
    buffers = [("loki", values["syslog_ng_buffer_dir"], values["syslog_ng_buffer_bytes"])]
    if values["syslog_ng_elasticsearch_enabled"]:
        folder = f"{values['syslog_ng_buffer_dir']}/elasticsearch"
        buffers.append(("elasticsearch", folder, values["syslog_ng_elasticsearch_buffer_bytes"]))
    values["__syslog_ng_configured"] = [dict(zip(("name", "dir", "size_bytes"), one, strict=True)) for one in buffers]
    name = variables.get("template", "syslog-ng.conf")
    return environment.get_template(f"etc/syslog-ng/{name}.j2").render(values)


def self_signed(folder: Path) -> Path:
    """Make one certificate for 127.0.0.1 that serves as CA, server and client (ca.crt, host.crt, host.key)."""
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*request, *subject, "-keyout", str(folder / "host.key"), "-out", str(folder / "host.crt")],
        check=True,
        capture_output=True,
        timeout=30,
    )
    shutil.copy(folder / "host.crt", folder / "ca.crt")
    return folder


@dataclass
class Line:
    """One stored log line: its labels, its time in nanoseconds, its text and its structured metadata."""

    labels: dict[str, str]
    at_ns: int
    text: str
    metadata: dict[str, str]


@dataclass
class Receiver:
    """A push endpoint that wants a client certificate, answers `status` and keeps what it accepted."""

    certificates: Path
    port: int = field(default_factory=free_port)
    status: int = 204
    lines: list[Line] = field(default_factory=list)
    elasticsearch_status: int = 204
    documents: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/logs/elasticsearch":
                    assert self.headers["Content-Type"] == "application/x-ndjson"
                    status = receiver.take_documents(body)
                else:
                    status = receiver.take(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Stay silent: the test prints what matters."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.certificates / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificates / "host.crt", self.certificates / "host.key")
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> int:
        """Count a request and, when the answer will be 204, keep its lines; invalid JSON raises."""
        streams = json.loads(body)["streams"]
        with self.arrived:
            self.requests += 1
            if self.status == 204:
                for stream in streams:
                    for at, text, metadata in stream["values"]:
                        self.lines.append(Line(stream["stream"], int(at), text, metadata))
            self.arrived.notify_all()
            return self.status

    def take_documents(self, body: bytes) -> int:
        """The same for a request to Elasticsearch's door: one JSON object a line."""
        assert body.endswith(b"\n"), "the last line ends, too"
        documents = [json.loads(line) for line in body.decode().removesuffix("\n").split("\n")]
        with self.arrived:
            if self.elasticsearch_status == 204:
                self.documents += documents
            self.arrived.notify_all()
            return self.elasticsearch_status

    def wait_for(self, count: int, timeout_s: float = 15) -> list[Line]:
        """Wait until this many different lines are here; fail with what is here instead."""
        self._wait(lambda: len({line.metadata["id"] for line in self.lines}), count, "lines", timeout_s)
        return list(self.lines)

    def wait_for_documents(self, count: int, timeout_s: float = 15) -> list[dict[str, Any]]:
        """Wait until this many different documents are here; fail with what is here instead."""
        self._wait(lambda: len({document["id"] for document in self.documents}), count, "documents", timeout_s)
        return list(self.documents)

    def _wait(self, arrived: Callable[[], int], count: int, what: str, timeout_s: float) -> None:
        with self.arrived:
            if not self.arrived.wait_for(lambda: arrived() >= count, timeout_s):
                raise AssertionError(f"{arrived()} of {count} {what} came")

    def wait_for_requests(self, count: int, timeout_s: float = 15) -> None:
        """Wait until this many requests were made, whatever the answer."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.requests >= count, timeout_s):
                raise AssertionError(f"{self.requests} of {count} requests came")


@dataclass
class SyslogNg:
    """A foreground syslog-ng with private sockets, persist file and buffer."""

    folder: Path
    variables: dict[str, Any]
    persist: str = "persist"

    def __enter__(self) -> SyslogNg:
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "syslog-ng.conf"
        config.write_text(render(self.variables))
        if self.variables.get("syslog_ng_kind") == "hub":
            devices = Path(self.variables["syslog_ng_devices_file"])
            devices.write_text(render(self.variables | {"template": "devices.csv"}))
        self._log = (self.folder / "stderr").open("ab")
        self._process = subprocess.Popen(
            ["syslog-ng", "--foreground", "--stderr", "--no-caps", f"--cfgfile={config}"]
            + [f"--{name}={self.folder / file}" for name, file in self.private_files().items()],
            stdout=self._log,
            stderr=self._log,
        )
        self._wait_until_it_listens()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()

    def kill(self) -> None:
        """End it as a power cut would: nothing is flushed."""
        self._process.kill()
        self._process.wait(timeout=20)

    def private_files(self) -> dict[str, str]:
        """Return the options that keep it apart from the system's syslog-ng."""
        return {"persist-file": self.persist, "control": "control", "pidfile": "pid"}

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                for kind in ("dvr", "router"):
                    port = self.variables[f"syslog_ng_{kind}_port"]
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"syslog-ng does not listen: {(self.folder / 'stderr').read_text()}")


def send(port: int, source: str, payloads: list[bytes], transport: str = "tcp") -> None:
    """Send syslog payloads to 127.0.0.1 from one of its other addresses: one connection, or a datagram each."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as connection:
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))
        for payload in payloads:
            connection.sendall(payload + b"\n" if transport == "tcp" else payload)


def configuration(folder: Path, receiver: Receiver) -> dict[str, Any]:
    """Return the role variables of a node with one DVR and one router, all of it private to this test."""
    files = folder / "services"
    for name in ("services", "archive", "buffer", "buffer/elasticsearch", "ledger"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "__syslog_ng_config_version": installed_config_version(),
        "syslog_ng_site": "site-a",
        "syslog_ng_host": "node-a",
        "syslog_ng_timezone": SITE_ZONE,
        "syslog_ng_journal": False,
        "syslog_ng_files_dir": str(files),
        "syslog_ng_archive_dir": str(folder / "archive"),
        "syslog_ng_buffer_dir": str(folder / "buffer"),
        "syslog_ng_ledger_dir": str(folder / "ledger"),
        "syslog_ng_elasticsearch_enabled": False,
        "syslog_ng_buffer_bytes": 4 * 1024 * 1024,
        "syslog_ng_buffer_memory_bytes": 1024 * 1024,
        "syslog_ng_elasticsearch_url": f"https://127.0.0.1:{receiver.port}/logs/elasticsearch",
        "syslog_ng_elasticsearch_buffer_bytes": 4 * 1024 * 1024,
        "syslog_ng_hub_url": f"https://127.0.0.1:{receiver.port}/loki/api/v1/push",
        "syslog_ng_ca_file": str(receiver.certificates / "ca.crt"),
        "syslog_ng_cert_file": str(receiver.certificates / "host.crt"),
        "syslog_ng_key_file": str(receiver.certificates / "host.key"),
        "syslog_ng_listen_address": "127.0.0.1",
        "syslog_ng_dvr_port": free_port(),
        "syslog_ng_router_port": free_port(),
        "syslog_ng_retry_s": 1,
        "syslog_ng_devices": [
            {"name": f"{kind}-a", "kind": kind, "address": address} for kind, address in ADDRESSES.items()
        ],
        "syslog_ng_dvr_severities_extra": [{"severity": "alert", "pattern": r"pintu terbuka \bpaksa\b"}],
    }
