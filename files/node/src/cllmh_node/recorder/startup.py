"""Before anything is recorded: secrets, folders, the index; and that no other recorder is at work here."""

import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cllmh_node.clips.backup import BACKUP, restore, salvage
from cllmh_node.clips.damage import has_set_aside, set_aside_if_damaged
from cllmh_node.clips.index import ClipIndex, SpanRow
from cllmh_node.clips.naming import iso_time
from cllmh_node.config import ConfigError, read_secret
from cllmh_node.log import event
from cllmh_node.recorder.settings import RecorderConfig
from cllmh_node.recordings import MARKER

logger = logging.getLogger(__name__)

_PREDECESSOR_S = 10.0
"""How long to wait for the processes of a recorder that was killed, which still close their clips."""


def prepare(config: RecorderConfig) -> int:
    """Make and check what the recorder needs; return the lock, an open file that child processes inherit.

    Raises ConfigError when recording is not possible.
    """
    check_secrets(config)
    try:
        config.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = _lock(config.state_dir)
        try:
            _prepare_directories(config)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be made or written: {error.strerror}") from error
    except sqlite3.Error as error:
        raise ConfigError(f"{config.index_path}: cannot be used: {error}") from error
    return lock


def check_secrets(config: RecorderConfig) -> None:
    """Raise ConfigError for each camera whose password cannot be read, all in one."""
    problems: dict[str, None] = {}  # once for a file that several cameras share
    for camera in config.cameras:
        if camera.password_file is not None:
            try:
                read_secret(camera.password_file)
            except ConfigError as error:
                problems[str(error)] = None
    if problems:
        raise ConfigError("\n".join(problems))


def _prepare_directories(config: RecorderConfig) -> None:
    is_first_run = _is_first_run(config)
    # Before the index: without the disk nothing is set aside or made that the next start would take for something else.
    _check_recordings_dir(config.recordings_dir, config.mount_point, is_first_run=is_first_run)
    if config.spool_dir is not None:
        config.spool_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    _open_index(config, is_first_run=is_first_run).close()


def _is_first_run(config: RecorderConfig) -> bool:
    """Whether nothing is known of an earlier run: no index, none that was set aside, no copy."""
    index = config.index_path
    is_known = index.exists() or has_set_aside(index) or (config.recordings_dir / BACKUP).exists()
    return not is_known


def _lock(state_dir: Path) -> int:
    """Keep other recorders out for as long as one of our processes lives."""
    path = state_dir / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    until = time.monotonic() + _PREDECESSOR_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise ConfigError(
                    f"state_dir: {state_dir}: another recorder is at work here; stop it, or give this one its own"
                ) from None
            time.sleep(0.05)
        else:
            os.set_inheritable(handle, True)
            return handle


def _open_index(config: RecorderConfig, *, is_first_run: bool) -> ClipIndex:
    """Open the index, made anew where it was lost."""
    path = config.index_path
    aside = set_aside_if_damaged(path)
    if aside is not None:
        event(logger, "index_damaged", level=logging.ERROR, path=path, aside=aside)
    if is_first_run or path.exists():
        return ClipIndex(path)
    copied_at = restore(path, config.recordings_dir)
    index = ClipIndex(path)
    salvaged = 0 if aside is None else salvage(aside, path)
    if copied_at is not None:
        event(logger, "index_restored", level=logging.WARNING, copied_at=iso_time(copied_at), salvaged=salvaged)
    else:
        event(logger, "index_rebuilt", level=logging.ERROR, salvaged=salvaged)
    index.put_spans(list(_last_seen(config.status_path)))
    return index


def _last_seen(status_path: Path) -> Iterator[SpanRow]:
    """Yield when each camera sent its last picture, as the status file of an earlier run has it."""
    try:
        cameras = json.loads(status_path.read_bytes())["cameras"]
        for name, camera in cameras.items():
            if camera["last_frame_at"] is not None:
                at = datetime.fromisoformat(camera["last_frame_at"]).timestamp()
                yield SpanRow(name, at, at, "motion")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # then a gap begins with the camera's newest clip


def _check_recordings_dir(path: Path, mount_point: Path | None, *, is_first_run: bool) -> None:
    """Make the recordings directory and its marker at the first run; later both must be there.

    The marker tells the mounted disk from the empty directory below it: without it nothing is recorded, or the
    system's own disk would be filled.
    """
    if mount_point is not None and not os.path.ismount(mount_point):
        raise ConfigError(f"mount_point: {mount_point}: no disk is mounted there; mount it, nothing is recorded before")
    marker = path / MARKER
    if is_first_run:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        marker.touch(mode=0o640)
    elif not marker.exists():
        raise ConfigError(
            f"recordings_dir: {path}: has no file {MARKER}, but the recorder has run here before. Is its disk mounted? "
            "If this is a new, empty disk, create the file."
        )
