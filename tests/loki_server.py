"""A real Loki of our own with the role's configuration: the staged binary, on ports of this machine."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml

from free_ports import free_ports

ROOT = Path(__file__).parents[1]
_READY_TIMEOUT_S = 60


def staged_binary() -> Path | None:
    """Return the newest staged Loki, None when there is none."""
    return max(ROOT.glob("artifacts/loki/*/*/loki"), default=None)


WHY_NOT = None if staged_binary() else "Loki is not staged: make artifacts"


@dataclass(frozen=True, slots=True)
class Pushed:
    """One line to push; `labels` besides job, site and what the fields say."""

    at_ns: int
    text: str
    id: str
    rcv: str
    host: str = "node-a"
    kind: str = "node"
    severity: str = "info"
    more: dict[str, str] = field(default_factory=dict)
    """More structured metadata."""


class LokiServer:
    """Loki at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def push(self, site: str, lines: Iterable[Pushed]) -> None:
        """Push lines as the site's node does; raise what Loki answers when it does not take them."""
        streams: dict[tuple[str, str], list[Any]] = {}
        for line in lines:
            metadata = {"host": line.host, "id": line.id, "rcv": line.rcv, **line.more}
            values = streams.setdefault((line.kind, line.severity), [])
            values.append([str(line.at_ns), line.text, {key: text for key, text in metadata.items() if text}])
        for (kind, severity), values in streams.items():
            stream = {"job": "cctv", "site": site, "kind": kind, "severity": severity}
            for start in range(0, len(values), 20_000):
                body = json.dumps({"streams": [{"stream": stream, "values": values[start : start + 20_000]}]}).encode()
                self.ask("/loki/api/v1/push", site, body)

    def ask(self, path: str, tenant: str, body: bytes | None = None) -> Any:
        """Return the answer to a GET, or to a POST of `body`, as a tenant."""
        headers = {"X-Scope-OrgID": tenant, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: Loki answers {error.code}: {error.read().decode()}") from error
        return json.loads(answer) if answer else None


def nanoseconds(moment: datetime) -> int:
    """Return a time as Loki counts it, exactly."""
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


@contextmanager
def running_loki(folder: Path, **variables: Any) -> Iterator[LokiServer]:
    """Run Loki in `folder` with the role's template and defaults, and these role variables; wait until it is ready."""
    binary = staged_binary()
    assert binary is not None
    http, grpc = free_ports(2)
    values = yaml.safe_load((ROOT / "roles/loki/defaults/main.yml").read_text())
    values |= {"loki_http_port": http, "loki_grpc_port": grpc, "loki_data_dir": str(folder / "data")}
    values |= {"loki_http_address": "127.0.0.1", "ansible_managed": "a test", **variables}
    environment = jinja2.Environment(  # noqa: S701 - what comes out is a configuration file, not HTML
        loader=jinja2.FileSystemLoader(ROOT / "roles/loki/templates"),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    config = folder / "loki.yml"
    config.write_text(environment.get_template("etc/loki/loki.yml.j2").render(values))
    with (folder / "loki.log").open("wb") as log:
        process = subprocess.Popen([str(binary), f"-config.file={config}"], stdout=log, stderr=log)
    try:
        server = LokiServer(f"http://127.0.0.1:{http}")
        _wait_until_ready(server, process, folder / "loki.log")
        yield server
    finally:
        process.kill()
        process.wait(timeout=20)


def _wait_until_ready(server: LokiServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"Loki does not get ready: {log.read_text()[-3000:]}")
