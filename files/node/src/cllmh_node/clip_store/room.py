"""Room in the store, by the same retention as on a node."""

import logging
import os
import time
from pathlib import Path

from cllmh_node.archive.claim import Room
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.index import ClipIndex
from cllmh_node.log import event
from cllmh_node.recordings import BusyError, RetentionError, Space, check_root
from cllmh_node.retention import Outcome, is_below_floor, prune

logger = logging.getLogger(__name__)


def prune_store(config: ClipStoreConfig, now: float) -> Outcome:
    """Delete by policy, and what was sent and never verified; raise RetentionError when that is not possible."""
    root = check_root(config.clips_dir)
    ClipIndex(config.index).close()  # makes it, where nothing has been kept so far
    removed = _clear_incoming(root / ".incoming", now - config.incoming_max_age_s)
    outcome = prune(root, config.retention.policy(), config.index, now)
    if removed or outcome.deleted:
        event(logger, "clip_store_pruned", clips=len(outcome.deleted), unverified=removed)
    return outcome


def make_room(config: ClipStoreConfig) -> Room:
    """Prune when the disk is below its floor; return whether there is room then."""
    policy = config.retention.policy()
    try:
        root = check_root(config.clips_dir)
        if is_below_floor(Space.of(root), policy):
            prune_store(config, time.time())
    except BusyError:
        pass  # another is making room; what it has made so far counts
    except RetentionError as error:
        return Room(has_room=False, reason=str(error))
    if is_below_floor(Space.of(config.clips_dir), policy):
        return Room(has_room=False, reason=f"{config.clips_dir}: the disk is full, and nothing may go by the policy")
    return Room(has_room=True)


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
