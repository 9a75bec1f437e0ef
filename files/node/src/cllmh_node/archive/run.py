"""One run: send what is not safe yet, the most important first, until nothing is left or the hours are over."""

import fcntl
import json
import logging
import os
import pwd
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cllmh_node.archive.destination import Destination, destination_of
from cllmh_node.archive.rclone import ArchiveError, StoppedError
from cllmh_node.archive.settings import ArchiveConfig
from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.log import event

logger = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 10.0

# Where not all can be sent before retention takes it, the most important is the one to save; within a class, retention
# takes the oldest next. Written as in `clips_to_go`, so that this is one stretch of that list, and already sorted.
_SELECT_UNSAFE = """
SELECT camera, path, start, "end", bytes, importance, peak_score, labels FROM clips
WHERE importance = ? AND (safe_at IS NULL) = 1 ORDER BY start
"""
_COUNT_UNSAFE = "SELECT count(*), coalesce(sum(bytes), 0) FROM clips WHERE importance = ? AND (safe_at IS NULL) = 1"


@dataclass(slots=True)
class Result:
    """What a run has done."""

    clips: int = 0
    """Clips that became safe."""

    size_bytes: int = 0
    """Their bytes."""

    failed: int = 0
    """Clips that were tried and are not safe."""

    left: int = 0
    """Clips that are still to be sent, the failed ones among them."""

    left_bytes: int = 0
    """Their bytes."""

    stopped: str | None = None
    """Why it ended before all was tried: the hours, or what refused."""

    is_fault: bool = False
    """Whether that, or a failed clip, is a fault."""

    problems: list[str] = field(default_factory=list)
    """What was complained of."""


def archive(config: ArchiveConfig, go_on: Callable[[], bool] = lambda: True) -> Result:
    """Send and verify clips; `go_on` is asked about once a second whether to.

    Raises ArchiveError when the index cannot be read, another run is at work, or root would lock the service out.
    """
    _check_index(config.index)
    result = Result()
    started = time.monotonic()
    with _lock(config.lock_file):
        try:
            _send_all(config, result, go_on)
        except StoppedError as end:
            result.stopped = str(end)
        except (ArchiveError, OSError, sqlite3.Error) as error:
            result.stopped = str(error)
            result.is_fault = True
        result.is_fault = result.is_fault or result.failed > 0
        result.left, result.left_bytes = left_to_send(config)
    _tell(result, time.monotonic() - started)
    return result


def unsafe_clips(config: ArchiveConfig) -> Iterator[ClipRow]:
    """Yield the clips that are to be sent, in this order: the most important class first, in it the oldest."""
    with _reading(config.index) as connection:
        for importance in config.classes:
            rows = connection.execute(_SELECT_UNSAFE, (importance,))
            for camera, path, start, end, size_bytes, found, score, labels in rows:
                yield ClipRow(camera, path, start, end, size_bytes, found, score, tuple(json.loads(labels)))


def left_to_send(config: ArchiveConfig) -> tuple[int, int]:
    """Return how many clips, and how many bytes, are still to be sent."""
    with _reading(config.index) as connection:
        rows = [connection.execute(_COUNT_UNSAFE, (importance,)).fetchone() for importance in config.classes]
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


def _send_all(config: ArchiveConfig, result: Result, go_on: Callable[[], bool]) -> None:
    """Send batch after batch, each clip once."""
    tried: set[str] = set()
    with destination_of(config) as destination, closing(ClipIndex(config.index)) as index:
        while batch := _next_batch(config, tried):
            is_open, limit = config.rate_at(time.time())
            if not is_open:
                raise StoppedError("no clips are sent at this hour")
            if not go_on():
                raise StoppedError("the run was told to end")
            tried |= {clip.path for clip in batch}
            _send_batch(config, destination, index, batch, limit, result, go_on)


def _next_batch(config: ArchiveConfig, tried: set[str]) -> list[ClipRow]:
    """Return the next clips, as many as a batch may have; those whose files retention has taken are passed over."""
    batch: list[ClipRow] = []
    size_bytes = 0
    for clip in unsafe_clips(config):
        if clip.path in tried or not (config.recordings_dir / clip.path).is_file():
            continue
        if batch and (len(batch) == config.batch_clips or size_bytes + clip.size_bytes > config.batch_bytes):
            break
        batch.append(clip)
        size_bytes += clip.size_bytes
    return batch


def _send_batch(
    config: ArchiveConfig,
    destination: Destination,
    index: ClipIndex,
    batch: list[ClipRow],
    limit: int | None,
    result: Result,
    go_on: Callable[[], bool],
) -> None:
    """Send some clips, have them verified, and note in the index which of them are safe."""
    now = config.rate_at(time.time())
    paths = [clip.path for clip in batch]
    destination.check()
    stopped: StoppedError | None = None
    complaint: str | None = None
    try:
        complaint = destination.copy(
            config.recordings_dir, paths, limit, lambda: go_on() and config.rate_at(time.time()) == now
        )
    except StoppedError as end:
        stopped = end  # what has arrived is verified all the same, which sends nearly nothing
    try:
        safe = destination.verified(config.recordings_dir, batch)
    except ArchiveError as error:
        raise error if complaint is None else ArchiveError(f"{complaint}; {error}") from error
    index.set_safe(sorted(safe), time.time())
    result.clips += len(safe)
    result.size_bytes += sum(clip.size_bytes for clip in batch if clip.path in safe)
    if stopped is not None:
        # Another rate is no end: the next batch has it.
        if go_on() and config.rate_at(time.time())[0]:
            return
        raise stopped
    result.failed += len(batch) - len(safe)
    if complaint is not None:
        result.problems.append(complaint)
        if not safe:
            raise ArchiveError(f"the clips were not taken: {complaint}")


@contextmanager
def _reading(index: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads; raise ArchiveError when the index cannot be read."""
    try:
        uri = f"file:{quote(str(index))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise ArchiveError(f"{index}: the index of clips cannot be read: {error}") from error


def _check_index(index: Path) -> None:
    """Raise ArchiveError when there is no index, or when root would leave files that its owner cannot write."""
    try:
        owner = index.stat().st_uid
    except OSError as error:
        raise ArchiveError(f"{index}: the index of clips cannot be read: {error.strerror}") from error
    if os.geteuid() == 0 and owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"user {owner}"
        raise ArchiveError(
            f"{index}: belongs to {name}, who must send its clips: runuser -u {name} -- cllmh-node archive"
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keep other runs out; raise ArchiveError when one is at work, or the lock cannot be made."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be made or written: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ArchiveError(f"{path}: another run is at work") from None
    finally:
        os.close(handle)


def _tell(result: Result, seconds: float) -> None:
    """Log what was done, when there was anything to do."""
    if not (result.clips or result.failed or result.is_fault):
        return
    if result.is_fault:
        reason = result.stopped or "; ".join(result.problems) or "the copies are not what was sent"
        event(logger, "clips_not_archived", level=logging.WARNING, failed=result.failed, reason=reason)
    event(
        logger,
        "clips_archived",
        clips=result.clips,
        bytes=result.size_bytes,
        seconds=seconds,
        left=result.left,
        left_bytes=result.left_bytes,
    )
