"""The spool: a directory of reports that wait to be sent."""

import contextlib
import errno
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cllmh_node.log import event

logger = logging.getLogger(__name__)

KINDS = ("camera_status", "clip_closed", "clips_deleted", "gap", "disk", "log_buffers", "backup_channel", "backup_run")
"""What can be reported; the hub refuses any other kind."""

EXPENDABLE = frozenset({"camera_status", "disk", "log_buffers"})
"""Kinds that describe a present state: of these, older ones are dropped first when the spool is full."""

BLOCK_BYTES = 4096
"""A small file takes one block of the file system, whatever its length."""

RECOUNT_EVERY = 200
"""Other processes put reports too, so the size is counted anew after this many of our own."""

REJECTED_KEPT = 1000
"""Files kept in `rejected/` for a person to look at."""

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
        """Use `directory` (made when missing), holding at most about `max_bytes` on the disk."""
        if max_bytes < BLOCK_BYTES:
            raise ValueError(f"spool {directory}: max_bytes is {max_bytes}, must be at least {BLOCK_BYTES}")
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._size_bytes = 0
        self._puts_until_recount = 0

    def put(self, kind: str, data: Mapping[str, Any]) -> str | None:
        """Keep one report until the hub has it; return its id.

        A full or broken disk must not stop who reports (the recorder goes on recording): an `OSError` is logged and
        the answer is `None`. An unknown kind or data that is not JSON is a mistake of the caller and raises.
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
            event(
                logger,
                "report_not_spooled",
                level=logging.ERROR,
                kind=kind,
                error=errno.errorcode.get(error.errno or 0, "OSError"),
            )
            return None
        return report_id

    def waiting(self) -> Iterator[Spooled]:
        """Yield what waits, oldest first. Files that vanish meanwhile are passed over."""
        try:
            names = sorted(path.name for path in self._directory.iterdir())
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
        """Move a report that the hub will never take into `rejected/`, where a person can read it."""
        folder = self._directory / "rejected"
        folder.mkdir(exist_ok=True)
        report.path.rename(folder / report.path.name)
        for path in sorted(folder.iterdir())[:-REJECTED_KEPT]:
            path.unlink(missing_ok=True)

    def clear_unfinished(self, older_than_s: float = 3600) -> None:
        """Delete temporary files that a killed process left, once they are `older_than_s` seconds old."""
        limit = time.time() - older_than_s
        for path in self._directory.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()

    def _make_room(self, size_bytes: int) -> None:
        """Delete until `size_bytes` more fit into the limit."""
        if self._puts_until_recount == 0 or self._size_bytes + size_bytes > self._max_bytes:
            reports = list(self.waiting())
            self._size_bytes = sum(report.size_bytes for report in reports)
            self._puts_until_recount = RECOUNT_EVERY
            if self._size_bytes + size_bytes > self._max_bytes:
                self._drop(reports, self._size_bytes + size_bytes - self._max_bytes)
        self._size_bytes += size_bytes
        self._puts_until_recount -= 1

    def _drop(self, reports: list[Spooled], excess_bytes: int) -> None:
        """Delete the expendable reports, then the others, each oldest first, until `excess_bytes` are free.

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


def _write_complete(directory: Path, name: str, content: bytes) -> None:
    """Write `content` so that after a crash the file is there as a whole or not at all."""
    temporary = directory / f".{name}.tmp"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
            _hand_to_owner(file.fileno(), directory)
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


def _hand_to_owner(handle: int, directory: Path) -> None:
    """Give what root writes (`cllmh-node prune` by hand) to the directory's owner, whom the sender runs as."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _on_disk(size_bytes: int) -> int:
    """Return the bytes a file of this length takes, in whole blocks."""
    return max(1, -(-size_bytes // BLOCK_BYTES)) * BLOCK_BYTES


def _utc_now() -> str:
    """Return the present time in ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
