"""Room in the store, by the same retention as on a node."""

import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from cllmh_node.archive.claim import Room
from cllmh_node.clip_store.books import is_set_aside, open_index
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.log import event
from cllmh_node.recordings import BusyError, RetentionError, Space
from cllmh_node.retention import Outcome, is_below_floor, prune

logger = logging.getLogger(__name__)

_UNDER_WAY_S = 6 * 3600.0
"""What nothing has come to for less may be part of a batch that is still being sent over a slow link, in seconds."""


def prune_store(config: ClipStoreConfig, now: float) -> Outcome:
    """Delete what was sent and never verified, then by policy; an index that is damaged is built anew.

    Raises RetentionError or sqlite3.Error when that is not possible.
    """
    try:
        return _prune(config, now)
    except BusyError:
        raise
    except (RetentionError, sqlite3.Error):
        if not is_set_aside(config):
            raise
        return _prune(config, now)


def make_room(config: ClipStoreConfig) -> Room:
    """Prune when the disk is below its floor; return whether there is room then, and an index to note clips in."""
    policy = config.retention.policy()
    try:
        root = config.checked_root()
        open_index(config).close()
        if is_below_floor(Space.of(root), policy):
            prune_store(config, time.time())
    except BusyError:
        pass  # another is making room; what it has made so far counts
    except RetentionError as error:
        return Room(has_room=False, reason=str(error))
    except sqlite3.Error as error:
        return Room(has_room=False, reason=f"{config.index}: the index of clips cannot be used: {error}")
    if is_below_floor(Space.of(config.clips_dir), policy):
        return Room(has_room=False, reason=f"{config.clips_dir}: the disk is full, and nothing may go by the policy")
    return Room(has_room=True)


def _prune(config: ClipStoreConfig, now: float) -> Outcome:
    root = config.checked_root()
    policy = config.retention.policy()
    open_index(config).close()
    incoming = root / ".incoming"
    removed = _clear_incoming(incoming, now - config.incoming_max_age_s)
    removed += sum(_trim(site, config.incoming_max_bytes) for site in _folders(incoming))
    if is_below_floor(Space.of(root), policy):
        # Before anything that is verified; but what is under way now is to become that.
        removed += _clear_incoming(incoming, now - _UNDER_WAY_S)
    outcome = prune(root, policy, config.index, now, config.mount_point)
    if removed or outcome.deleted:
        event(logger, "clip_store_pruned", clips=len(outcome.deleted), unverified=removed)
    return outcome


def _folders(incoming: Path) -> list[Path]:
    """Return the folders of the sites."""
    if not incoming.is_dir():
        return []
    with os.scandir(incoming) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _trim(site: Path, max_bytes: int) -> int:
    """Delete the oldest that a site has sent until the rest is no more than `max_bytes`; return how many files."""
    found: list[tuple[float, int, Path]] = []
    for folder, _, names in os.walk(site):
        for file in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                status = file.lstat()
                found.append((status.st_ctime, status.st_blocks * 512, file))
    excess = sum(size_bytes for _, size_bytes, _ in found) - max_bytes
    removed = 0
    for _, size_bytes, file in sorted(found):
        if excess <= 0:
            break
        file.unlink(missing_ok=True)
        removed += 1
        excess -= size_bytes
    return removed


def _clear_incoming(incoming: Path, before: float) -> int:
    """Delete files that nothing has come to since `before`, and folders left empty; return how many files."""
    removed = 0
    for folder, _, names in os.walk(incoming, topdown=False):
        for name in names:
            file = Path(folder, name)
            try:
                # Not its mtime: a node sets that to the clip's own.
                if file.lstat().st_ctime < before:
                    file.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # verified, or deleted by its node, meanwhile
        if Path(folder) != incoming and Path(folder).parent != incoming:
            _remove_if_empty_and_old(Path(folder), before)
    return removed


def _remove_if_empty_and_old(folder: Path, before: float) -> None:
    """Remove an empty folder, but none that a node has just made to put a clip into."""
    try:
        if folder.lstat().st_ctime < before:
            folder.rmdir()
    except OSError:
        return  # not empty, or gone
