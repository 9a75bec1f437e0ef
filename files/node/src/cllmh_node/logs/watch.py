"""One look at the node's log lines: fill of the buffers, losses, and the statement of what was taken."""

import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from cllmh_node.log import event
from cllmh_node.logs.disk_queue import QueueError, read_fill
from cllmh_node.logs.losses import dropped_datagrams, dropped_lines
from cllmh_node.logs.settings import BufferConfig, LogsConfig
from cllmh_node.logs.statement import state_what_was_taken
from cllmh_node.reports import Spool

logger = logging.getLogger(__name__)

State = Literal["ok", "warn", "unknown"]


class BufferStatus(BaseModel):
    """A buffer as it was last seen."""

    name: str
    state: State = "unknown"
    lines: int = 0
    used_bytes: int = 0
    size_bytes: int
    dropped: int = 0
    """Lines lost to this store since syslog-ng started."""


class Status(BaseModel):
    """`status.json`: what was last seen, told and stated."""

    at: datetime
    buffers: list[BufferStatus]
    datagrams_dropped: int = 0
    reported_at: float = 0
    stated_until: datetime | None = None


def look(config: LogsConfig) -> Status:
    """Look once; log and report what changed, and write the status file."""
    path = config.state_dir / "status.json"
    previous = read_status(path)
    now = time.time()
    moment = datetime.fromtimestamp(now, UTC)
    dropped = dropped_lines(buffer.name for buffer in config.buffers)
    known = {buffer.name: buffer for buffer in previous.buffers} if previous else {}
    buffers = [_look_at(config, buffer, known.get(buffer.name), dropped) for buffer in config.buffers]
    lost = dropped_datagrams(config.udp_ports)
    _tell_more(previous.datagrams_dropped if previous else 0, lost, "log_datagrams_dropped")
    until = state_what_was_taken(config.ledger_dir, previous.stated_until if previous else None, moment)
    reported_at = previous.reported_at if previous else 0
    status = Status(at=moment, buffers=buffers, datagrams_dropped=lost, reported_at=reported_at, stated_until=until)
    changed = [buffer.state for buffer in buffers] != [
        known[b.name].state if b.name in known else None for b in buffers
    ]
    if changed or not 0 <= now - reported_at < config.report_interval_s:
        _report(config, status)
        status.reported_at = now
    _write(path, status)
    return status


def read_status(path: Path) -> Status | None:
    """Return the last status, None when there is none that can be read."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _look_at(
    config: LogsConfig, buffer: BufferConfig, previous: BufferStatus | None, dropped: dict[str, int]
) -> BufferStatus:
    was = previous.state if previous else "ok"
    lost = dropped.get(buffer.name, previous.dropped if previous else 0)
    _tell_more(previous.dropped if previous else 0, lost, "log_lines_dropped", buffer.name)
    try:
        fill = read_fill(buffer.dir, buffer.size_bytes)
    except QueueError as error:
        if was != "unknown":
            event(logger, "log_buffer_unreadable", level=logging.ERROR, buffer=buffer.name, text=str(error))
        return BufferStatus(name=buffer.name, size_bytes=buffer.size_bytes, dropped=lost)
    share = fill.used_bytes / buffer.size_bytes
    state: State = "warn" if share >= (config.normal_used if was == "warn" else config.warn_used) else "ok"
    if state != was:
        key, level = {
            "warn": ("log_buffer_filling", logging.WARNING),
            "ok": ("log_buffer_normal", logging.INFO),
        }[state]
        event(
            logger, key, level=level, buffer=buffer.name, used_percent=round(100 * share, 1), lines=fill.lines,
            size_bytes=buffer.size_bytes,
        )  # fmt: skip
    return BufferStatus(
        name=buffer.name, state=state, lines=fill.lines, used_bytes=fill.used_bytes, size_bytes=buffer.size_bytes,
        dropped=lost,
    )  # fmt: skip


def _tell_more(before: int, after: int, key: str, buffer: str | None = None) -> None:
    """Log how many more were lost; a counter that is lower began anew."""
    more = after - before if after >= before else after
    if more:
        event(logger, key, level=logging.WARNING, lines=more, buffer=buffer)


def _report(config: LogsConfig, status: Status) -> None:
    if config.spool_dir is not None:
        data: dict[str, Any] = status.model_dump(mode="json", include={"buffers", "datagrams_dropped"})
        Spool(config.spool_dir).put("log_buffers", data)


def _write(path: Path, status: Status) -> None:
    """Write the status as a whole; the metrics read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(status.model_dump(mode="json")), encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(path)
