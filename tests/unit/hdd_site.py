"""A node's folders with an HDD monitor over them, for tests."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cllmh_node.hdd_monitor.app import create_app
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.monitor import Monitor
from cllmh_node.recordings import Space
from cllmh_node.reports import Spool
from unit.recordings_folder import Recordings


class Site:
    """A node's folders, its configuration and a monitor over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings = Recordings(folder, now=time.time())
        self.status_file = folder / "status.json"
        self.logs_status = folder / "logs_status.json"
        self.settings: dict[str, Any] = {
            "recordings_dir": str(self.recordings.root),
            "index": str(self.recordings.index),
            "recorder_status": str(self.status_file),
            "logs_status": str(self.logs_status),
            "spool_dir": str(folder / "spool"),
            "state_dir": str(folder / "state"),
            "smart_file": str(folder / "smart.json"),
            "socket": str(folder / "http.sock"),
            "retention": {"max_used_percent": 100},
        }

    def config(self, **changes: Any) -> HddMonitorConfig:
        return HddMonitorConfig.model_validate({**self.settings, **changes})

    def monitor(self, **changes: Any) -> Monitor:
        return Monitor(self.config(**changes))

    def client(self, monitor: Monitor, **changes: Any) -> FlaskClient:
        return create_app(self.config(**changes), monitor).test_client()

    def reports(self, kind: str) -> list[dict[str, Any]]:
        spool = Spool(self.folder / "spool")
        return [json.loads(report.path.read_bytes())["data"] for report in spool.waiting() if report.kind == kind]

    def recorder_says(self, age_s: float = 0.0, **cameras: str) -> None:
        at = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat()
        states = {name: {"state": state} for name, state in cameras.items()}
        self.status_file.write_text(json.dumps({"at": at, "cameras": states}))


def look(monitor: Monitor, now: float) -> None:
    """Let the monitor look, prune if it asked for that, and look again, as its threads do."""
    monitor.tick(now)
    monitor.pruner.work(now)
    monitor.tick(now)


def with_used_percent(monkeypatch: pytest.MonkeyPatch, percent: float, inodes_percent: float = 10) -> None:
    """Let the file system be this full; a real one cannot be filled at will in a unit test."""
    inodes_free = int(10 * (100 - inodes_percent))
    space = Space(1_000_000, int(10_000 * percent), int(10_000 * (100 - percent)), percent, 1000, inodes_free)
    monkeypatch.setattr(Space, "of", lambda _: space)
