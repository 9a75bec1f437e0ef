"""Reports from the services of a node to the hub: a spool directory and the sender that empties it.

A service calls :meth:`Spool.put`; the sender (``cllmh-node send-reports``, service ``cllmh-reports``) posts the files,
oldest first, and deletes one only when the hub has said that it holds it. Between the two stands the file system
alone, so neither a dead link nor a killed process loses a report.

Guarantees, and what they rest on:

* A report is complete or absent: it is written under a temporary name, synced, renamed, and the directory is synced.
* The hub stores a report once: its id is in the file and is the ``Idempotency-Key`` of every attempt.
* The order is that of the clock at ``put``: the file name begins with it.
* The disk is not filled: above ``max_bytes`` the oldest ``camera_status`` and ``disk`` reports go first (the next one
  tells the present state anyway), then the oldest of any kind, and a log line says how many.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import requests
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cllmh_node.log import event

logger = logging.getLogger(__name__)

KINDS = ("camera_status", "clip_closed", "clips_deleted", "gap", "disk")
"""What can be reported; the hub refuses any other kind."""

EXPENDABLE = frozenset({"camera_status", "disk"})
"""Kinds that describe a present state: of these, older ones are dropped first when the spool is full."""

BLOCK_BYTES = 4096
"""A small file takes one block of the file system, whatever its length."""

RECOUNT_EVERY = 200
"""Other processes put reports too, so the size is counted anew after this many of our own."""

REJECTED_KEPT = 1000
"""Files kept in ``rejected/`` for a person to look at."""

_NAME = re.compile(r"^(?P<at_ns>\d{20})-(?P<kind>[a-z_]+)-(?P<id>[0-9a-f-]{36})\.json$")


@dataclass(frozen=True, slots=True)
class Spooled:
    """One report that waits: the file's path, its kind, and what it takes on the disk in bytes."""

    path: Path
    kind: str
    size_bytes: int


class Spool:
    """A directory of reports that wait to be sent. Any number of processes may put into it; one sender empties it."""

    def __init__(self, directory: Path, max_bytes: int = 256 * 1024**2) -> None:
        """Use ``directory`` (made when missing), holding at most about ``max_bytes`` on the disk."""
        if max_bytes < BLOCK_BYTES:
            raise ValueError(f"spool {directory}: max_bytes is {max_bytes}, must be at least {BLOCK_BYTES}")
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._size_bytes = 0
        self._puts_until_recount = 0

    def put(self, kind: str, data: Mapping[str, Any]) -> str | None:
        """Keep one report until the hub has it; return its id.

        A full or broken disk must not stop who reports (the recorder goes on recording): an ``OSError`` is logged and
        the answer is ``None``. An unknown kind or data that is not JSON is a mistake of the caller and raises.
        """
        if kind not in KINDS:
            raise ValueError(f"report kind {kind!r} is unknown, use one of {', '.join(KINDS)}")
        report_id = str(uuid.uuid4())
        report = {"id": report_id, "kind": kind, "at": _utc_now(), "data": data}
        content = json.dumps(report, separators=(",", ":"), allow_nan=False).encode()
        name = f"{time.time_ns():020d}-{kind}-{report_id}.json"
        try:
            with self._lock:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._make_room(_on_disk(len(content)))
                _write_complete(self._directory, name, content)
        except OSError as error:
            event(logger, "report_not_spooled", level=logging.ERROR, kind=kind, error=_reason(error))
            return None
        return report_id

    def waiting(self) -> Iterator[Spooled]:
        """Yield what waits, oldest first. Files that vanish meanwhile are passed over."""
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return
        for name in names:
            match = _NAME.match(name)
            if match is None:
                continue
            path = self._directory / name
            try:
                size_bytes = path.stat().st_size
            except FileNotFoundError:
                continue
            yield Spooled(path, match["kind"], _on_disk(size_bytes))

    def reject(self, report: Spooled) -> None:
        """Move a report that the hub will never take into ``rejected/``, where a person can read it."""
        folder = self._directory / "rejected"
        folder.mkdir(exist_ok=True)
        report.path.rename(folder / report.path.name)
        for name in sorted(os.listdir(folder))[:-REJECTED_KEPT]:
            (folder / name).unlink(missing_ok=True)

    def clear_unfinished(self, older_than_s: float = 3600) -> None:
        """Delete temporary files that a killed process left, once they are ``older_than_s`` seconds old."""
        limit = time.time() - older_than_s
        for path in self._directory.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()

    def _make_room(self, size_bytes: int) -> None:
        """Delete until ``size_bytes`` more fit into the limit."""
        if self._puts_until_recount == 0 or self._size_bytes + size_bytes > self._max_bytes:
            reports = list(self.waiting())
            self._size_bytes = sum(report.size_bytes for report in reports)
            self._puts_until_recount = RECOUNT_EVERY
            if self._size_bytes + size_bytes > self._max_bytes:
                self._drop(reports, self._size_bytes + size_bytes - self._max_bytes)
        self._size_bytes += size_bytes
        self._puts_until_recount -= 1

    def _drop(self, reports: list[Spooled], excess_bytes: int) -> None:
        """Delete the expendable reports, then the others, each oldest first, until ``excess_bytes`` are free.

        A tenth of the limit goes at once, so that a full spool is not counted anew at every put.
        """
        target_bytes = max(excess_bytes, self._max_bytes // 10)
        dropped_bytes = 0
        dropped: dict[str, int] = {}
        for report in sorted(reports, key=lambda report: report.kind not in EXPENDABLE):
            enough = target_bytes if report.kind in EXPENDABLE else excess_bytes
            if dropped_bytes >= enough:
                break
            report.path.unlink(missing_ok=True)
            dropped_bytes += report.size_bytes
            dropped[report.kind] = dropped.get(report.kind, 0) + 1
        self._size_bytes -= dropped_bytes
        kinds = ",".join(f"{kind}:{count}" for kind, count in sorted(dropped.items()))
        event(logger, "reports_dropped", level=logging.WARNING, dropped=kinds, limit_bytes=self._max_bytes)


class ReportsConfig(BaseModel):
    """``/etc/cllmh/reports.yml``: where reports wait and which hub takes them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spool_dir: Path = Field(Path("/var/lib/cllmh/spool"), description="Directory the services put reports into.")
    hub_url: str = Field(description="Address of the hub that takes reports, https://HUB/api/report.")
    node: str = Field(min_length=1, description="This node's name, as the hub knows it by its token.")
    site: str = Field(min_length=1, description="The site this node stands at.")
    token_file: Path = Field(description="File with the node's token; read anew after the hub refused it.")
    ca_file: Path = Field(description="Certificates (PEM) that may sign the hub's certificate.")
    timeout_s: float = Field(15.0, gt=0, le=300, description="How long one request may take, in seconds.")
    poll_s: float = Field(1.0, gt=0, le=60, description="How often to look for new reports, in seconds.")
    back_off_max_s: float = Field(60.0, ge=1, le=3600, description="Longest pause after failures, in seconds.")

    @field_validator("hub_url")
    @classmethod
    def _https_only(cls, value: str) -> str:
        """Refuse an address that would carry the token in clear text."""
        if not value.startswith("https://"):
            raise ValueError("must begin with https://")
        return value


Outcome = Literal["stored", "rejected", "keep"]
"""What became of one attempt: the hub holds it, will never take it, or did not answer as it should (yet)."""

_NEVER = frozenset({400, 409, 413, 422})
"""Answers that will not change with time. All but these and 2xx mean: try again later."""


class Sender:
    """Empties a spool to the hub, one report a request, and waits longer after each failure."""

    def __init__(self, config: ReportsConfig, session: requests.Session | None = None) -> None:
        """Send what ``config`` names. ``session`` is replaced in tests only."""
        self._config = config
        self._spool = Spool(config.spool_dir)
        self._session = session or _session(config.ca_file)
        self._token = ""
        self._failures = 0

    def run(self, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Send until ``stop`` is set; ``alive`` is called between requests (the watchdog's sign of life)."""
        self._spool.clear_unfinished()
        while not stop.is_set():
            alive()
            emptied = self.send_waiting(stop, alive)
            pause_s = self._config.poll_s if emptied else self.back_off_s()
            # A long pause is cut in pieces: the watchdog wants to hear from us during an outage too.
            until = time.monotonic() + pause_s
            while not stop.is_set() and (left_s := until - time.monotonic()) > 0:
                stop.wait(min(left_s, 5.0))
                alive()

    def send_waiting(self, stop: threading.Event | None = None, alive: Callable[[], None] = lambda: None) -> bool:
        """Send all that waits, oldest first; stop at the first that must be kept, so that the order holds.

        Returns whether the spool was emptied.
        """
        for report in self._spool.waiting():
            if stop is not None and stop.is_set():
                return False
            if self._send(report) == "keep":
                self._failures += 1
                return False
            if self._failures:
                event(logger, "hub_reachable", failures=self._failures)
                self._failures = 0
            alive()
        return True

    def back_off_s(self) -> float:
        """Return the pause before the next attempt: doubled at each failure, jittered, at most the configured one.

        The jitter keeps a fleet from coming back all at once when the hub does.
        """
        longest_s = min(self._config.back_off_max_s, 2.0 ** min(self._failures, 16))
        return random.uniform(longest_s / 2, longest_s)

    def _send(self, report: Spooled) -> Outcome:
        """Try one report once."""
        try:
            body = json.loads(report.path.read_bytes())
            report_id = str(body["id"])
        except FileNotFoundError:  # dropped by a service that needed the room
            return "stored"
        except (ValueError, KeyError, TypeError):
            return self._reject(report, "not a report")
        envelope = {**body, "node": self._config.node, "site": self._config.site}
        try:
            if not self._token:
                self._token = self._config.token_file.read_text(encoding="utf-8").strip()
            answer = self._session.post(
                self._config.hub_url,
                json=envelope,
                headers={"Authorization": f"Bearer {self._token}", "Idempotency-Key": report_id},
                timeout=self._config.timeout_s,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            return self._keep(report, _reason(error))
        if 200 <= answer.status_code < 300:
            report.path.unlink(missing_ok=True)
            return "stored"
        if answer.status_code in _NEVER:
            return self._reject(report, f"HTTP {answer.status_code}")
        if answer.status_code in (401, 403):
            self._token = ""  # it may have been renewed
        return self._keep(report, f"HTTP {answer.status_code}")

    def _reject(self, report: Spooled, reason: str) -> Outcome:
        """Set the report aside and say so."""
        self._spool.reject(report)
        event(logger, "report_rejected", level=logging.ERROR, kind=report.kind, file=report.path.name, reason=reason)
        return "rejected"

    def _keep(self, report: Spooled, reason: str) -> Outcome:
        """Leave the report where it is; say so once per outage."""
        if self._failures == 0:
            event(logger, "hub_unreachable", level=logging.WARNING, kind=report.kind, reason=reason)
        return "keep"


def _session(ca_file: Path) -> requests.Session:
    """Return a session that trusts ``ca_file`` alone and takes no proxy or password from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(ca_file)
    return session


def _write_complete(directory: Path, name: str, content: bytes) -> None:
    """Write ``content`` so that after a crash the file is there as a whole or not at all."""
    temporary = directory / f".{name}.tmp"
    try:
        with temporary.open("xb") as file:
            os.chmod(file.fileno(), 0o640)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(directory / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _on_disk(size_bytes: int) -> int:
    """Return the bytes a file of this length takes, in whole blocks."""
    return max(1, -(-size_bytes // BLOCK_BYTES)) * BLOCK_BYTES


def _reason(error: Exception) -> str:
    """Return why it failed in few words. Of a request the class alone: its text may carry addresses and headers."""
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return type(error).__name__


def _utc_now() -> str:
    """Return the present time in ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
