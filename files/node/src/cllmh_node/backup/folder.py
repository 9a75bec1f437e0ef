"""The backup folder: one run at a time in it, what a killed run left, and how long backups are kept."""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cllmh_node.backup.channel import ASIDE, PART, move_into_place
from cllmh_node.backup.remux import RemuxError, remux
from cllmh_node.backup.settings import OWN_MARK, BackupSettings
from cllmh_node.clips.naming import clip_path, clip_start
from cllmh_node.log import event
from cllmh_node.recordings import MARKER, RetentionError
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Policy, prune

logger = logging.getLogger(__name__)

_DAY_S = 86_400.0


class LockedError(Exception):
    """Another Backup Manager is at work in this folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder if needed and keep others out of it; raise LockedError, OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle = os.open(folder / OWN_MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{folder}: another Backup Manager is at work here; wait for it or stop it") from None
        # Laid out as recordings are, so that `cllmh-node prune --root` can make room here.
        (folder / MARKER).touch(mode=0o640)
        yield
    finally:
        os.close(handle)


def recover(folder: Path) -> None:
    """Keep aside what a run that was killed has left unfinished."""
    parts = folder / PART
    for path in sorted(parts.glob("*/*/*")):
        channel, _day, name = path.relative_to(parts).parts
        try:
            if channel.isdecimal() and path.stat().st_size:
                _recover(folder, path, channel)
        except (OSError, RemuxError) as error:
            event(logger, "backup_not_recovered", level=logging.ERROR, path=f"{channel}/{name}", text=str(error))
            return  # it stays where it is
    shutil.rmtree(parts, ignore_errors=True)


def _recover(folder: Path, path: Path, channel: str) -> None:
    start = clip_start(path.name)
    if path.name.startswith("video-"):  # openRTSP's
        start = path.parent.stat().st_mtime
        raw, path = path, folder / PART / clip_path(channel, start)
        remux(raw, path, raw.stat().st_mtime - start)
    if start is not None:
        kept = move_into_place(folder, path, f"{channel}{ASIDE}", start)
        event(logger, "backup_recovered", level=logging.WARNING, channel=channel, path=kept)


def delete_old(settings: BackupSettings) -> None:
    """Delete backups by the operator's rules, with the code that prunes recordings; without rules nothing."""
    keep_days, max_bytes = settings.backup_keep_days, settings.backup_max_bytes
    if keep_days is None and max_bytes is None:
        return
    try:
        policy = Policy(max_bytes=max_bytes, max_age_s=None if keep_days is None else keep_days * _DAY_S)
        report_deleted(None, prune(settings.backup_dir, policy))
    except (RetentionError, OSError) as error:
        event(logger, "prune_failed", level=logging.ERROR, text=str(error))
