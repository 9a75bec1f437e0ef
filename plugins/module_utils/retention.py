# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Make room in a recordings folder, predictably: plan first, then act.

The one implementation behind the module `disk_prune`, the HDD monitor, the recorder and `cllmh-node prune`.
Python's standard library only.

What is deleted is named by the recorder's index (SQLite), where the importance of each clip is known: the lesser class
first, in it what is safe elsewhere, in it the oldest, `pinned` never. Without an index the dated folders are walked,
oldest first; then the importance is unknown, and nothing is protected but by age.

The work grows with what is deleted, not with what is stored.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .recordings import Clip, RetentionError, Root, Space
from .retention_policy import IMPORTANCE_ORDER, Limits, Policy, Scope
from .retention_sources import Indexed, Source, Walked, open_index_read_only

__all__ = (
    "IMPORTANCE_ORDER",
    "Deletion",
    "Limits",
    "Outcome",
    "Plan",
    "Policy",
    "act",
    "is_below_floor",
    "open_index_read_only",
    "plan",
    "prune",
)

_FAILS_FOR_ALL = (errno.EROFS, errno.EIO)
_BATCH = 2000
_FUTURE_S = 86400.0
"""A clip that is dated this much ahead was recorded while a clock was wrong, in seconds."""
_INDEX_WAIT_S = 30.0
"""How long to wait while the recorder writes to the index, in seconds."""
_LACKS_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says, among other causes, on a disk without free blocks or inodes."""
_MAX_ROUNDS = 5
"""How often to look again when clips could not be deleted or were gone already."""


class Deletion(NamedTuple):
    """One line of a plan: which clip goes and by which rule."""

    clip: Clip
    reason: str
    """`max_age`, `quota` or `free_space`, with `camera_` or `class_` before it when the rule is about that only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be deleted, in this order, and the space before."""

    deletions: tuple[Deletion, ...]
    before: Space
    short_bytes: int = 0
    """Bytes that the policy asks for beyond all that may be deleted."""
    short_files: int = 0
    """Files (inodes) that it asks for beyond that."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all clips of the plan."""
        return sum(deletion.clip.size_bytes for deletion in self.deletions)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done."""

    deleted: tuple[Deletion, ...]
    """What is gone now and was there before."""
    missing: tuple[str, ...]
    """Paths of the index whose files were gone already; their rows are removed too."""
    failed: tuple[tuple[str, str], ...]
    """Paths that could not be deleted, each with the reason."""
    before: Space
    after: Space
    short_bytes: int = 0
    """Bytes that the policy asks for beyond all that may be deleted."""
    short_files: int = 0
    """Files (inodes) that it asks for beyond that."""
    planned: tuple[Deletion, ...] = ()
    """What was to go, in its order."""
    index_problem: str | None = None
    """Why the rows of what is gone are still in the index; the next run finds them without files."""

    @classmethod
    def promised(cls, plan: Plan) -> Outcome:
        """Return what a plan comes to when nothing is in its way; nothing is done, and so nothing is freed."""
        deletions = plan.deletions
        return cls(deletions, (), (), plan.before, plan.before, plan.short_bytes, plan.short_files, deletions)

    @property
    def freed_bytes(self) -> int:
        """What the file system says was freed; less than hoped when others write at the same time."""
        return max(0, self.after.free_bytes - self.before.free_bytes)

    @property
    def freed_inodes(self) -> int:
        """How many inodes the file system says were freed: those of files and of emptied folders."""
        return max(0, self.after.inodes_free - self.before.inodes_free)


def prune(
    path: Path,
    policy: Policy,
    index: Path | None = None,
    now: float | None = None,
    mount_point: Path | None = None,
) -> Outcome:
    """Plan and act in the recordings folder `path`, alone; when `mount_point` is given, only if it is on that disk.

    Clips that cannot be deleted, or were gone already, give no room: then it plans again without them.
    Raises BusyError when another pruner is at work, RetentionError when the folder or the index cannot be used.
    """
    with Root(path, mount_point) as root:
        root.lock()
        total = act(root, plan(root, policy, index, now), index, now)
        for _index in range(_MAX_ROUNDS):
            if total.index_problem or not (total.failed or total.missing):
                break
            skip = frozenset(failed for failed, _why in total.failed)
            more = act(root, plan(root, policy, index, now, skip=skip), index, now)
            total = Outcome(
                total.deleted + more.deleted,
                total.missing + more.missing,
                total.failed + more.failed,
                total.before,
                more.after,
                more.short_bytes,
                more.short_files,
                total.planned + more.planned,
                more.index_problem,
            )
            if not (more.failed or more.missing):
                break
    return total


def plan(
    root: Root,
    policy: Policy,
    index: Path | None = None,
    now: float | None = None,
    skip: frozenset[str] = frozenset(),
) -> Plan:
    """Return what has to go from `root` so that `policy` holds. Writes nothing.

    `index` is the recorder's SQLite file; it must be readable when given, as guessing would cost pinned clips.
    `now` is the present in unix seconds, `skip` holds paths that are left alone.
    """
    now = time.time() if now is None else now
    source: Source = Walked(root, now) if index is None else Indexed(index)
    with contextlib.closing(source):
        try:
            return _plan(source, policy, root.space(), now, skip)
        except sqlite3.Error as error:
            raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error


def act(root: Root, plan: Plan, index: Path | None = None, now: float | None = None) -> Outcome:
    """Delete what `plan` says, in its order; remove folders that became empty and the rows of the index.

    The root must be locked. A file that cannot be deleted is reported in the outcome and does not stop the others,
    unless the file system is read-only or broken. Nothing is deleted, and RetentionError raised, when the index cannot
    be written.
    """
    if not root.is_locked:
        raise RetentionError(f"{root.path}: must be locked before anything is deleted")
    if index is not None and plan.deletions:
        _check_writable(index)
    today = _date_of(time.time() if now is None else now)
    before = root.space()
    deleted: list[Deletion] = []
    missing: list[str] = []
    failed: list[tuple[str, str]] = []
    folders: dict[str, None] = {}
    for deletion in plan.deletions:
        path = deletion.clip.path
        try:
            there = root.unlink(path)
        except RetentionError as error:
            failed.append((path, str(error)))
            continue
        except OSError as error:
            failed.append((path, error.strerror or str(error)))
            if error.errno in _FAILS_FOR_ALL:
                break
            continue
        if there:
            deleted.append(deletion)
        else:
            missing.append(path)
        folders[path.rpartition("/")[0]] = None
    problem = None
    if index is not None:
        problem = _forget(index, [*(deletion.clip.path for deletion in deleted), *missing])
    for folder in folders:
        camera, date = folder.split("/")
        if date < today:  # the recorder may be about to write into today's
            with contextlib.suppress(OSError, RetentionError):  # an empty folder does no harm, a lost outcome does
                root.remove_empty(camera, date)
    gone = (tuple(deleted), tuple(missing), tuple(failed))
    return Outcome(*gone, before, root.space(), plan.short_bytes, plan.short_files, plan.deletions, problem)


def is_below_floor(space: Space, policy: Policy) -> bool:
    """Return whether the file system has less room than the policy keeps free; asks no clip and no index."""
    return _free_need(space, policy) != _Need()


def _plan(source: Source, policy: Policy, space: Space, now: float, skip: frozenset[str]) -> Plan:
    """Apply the rules in turn; what an earlier one takes counts for the later ones.

    First what is too old; then quotas and last the room on the disk, in each those about a camera, about a class, and
    about all. So cameras over their quota give before others do.
    """
    chosen = _Chosen(source, skip | source.open_paths(), now - policy.min_age_s, now + _FUTURE_S)
    scopes = tuple(policy.scopes())
    for scope, limits in scopes:
        if limits.max_age_s is not None:
            chosen.take_older(scope, now - limits.max_age_s)
    short = _Need()
    for scope, limits in scopes:
        if limits.max_bytes is not None:
            quota = _Need(source.total_bytes(scope) - limits.max_bytes)
            short = short.or_more(chosen.take_for(scope, "quota", quota))
    for scope, limits in scopes:
        missing = chosen.take_for(scope, "free_space", _free_need(space, limits))
        if limits is policy:  # a camera's or class's rule says what may go for it, not that there must be room
            short = short.or_more(missing)
    return Plan(tuple(chosen.deletions.values()), space, short.size_bytes, short.files)


@dataclass(frozen=True, slots=True)
class _Need:
    """What is to be freed, in bytes and in files (inodes)."""

    size_bytes: int = 0
    files: int = 0

    def or_more(self, other: _Need) -> _Need:
        """Return the larger of two."""
        return _Need(max(self.size_bytes, other.size_bytes), max(self.files, other.files))


class _Chosen:
    """The deletions of a plan, by path and in their order."""

    def __init__(self, source: Source, skip: frozenset[str], youngest: float, future: float) -> None:
        """Clips of `source`, but not those in `skip` nor any that ended at `youngest` (unix seconds) or after.

        Those dated after `future` may go for room, not for age: which of the clocks was wrong is not known.
        """
        self.deletions: dict[str, Deletion] = {}
        self._source = source
        self._skip = skip
        self._youngest = youngest
        self._future = future

    def take_older(self, scope: Scope, before: float) -> None:
        """Choose all clips of `scope` that ended before `before` (unix seconds)."""
        for clip in self._free(scope, before):
            self.deletions[clip.path] = Deletion(clip, scope.reason("max_age"))

    def take_for(self, scope: Scope, rule: str, need: _Need) -> _Need:
        """Choose clips of `scope` until `need` is met; return what is lacking then.

        Those that an earlier rule chose count: for a quota if they are its own, for room on the disk in any case.
        """
        counted = [deletion.clip for deletion in self.deletions.values() if rule != "quota" or scope.has(deletion.clip)]
        lacking_bytes = need.size_bytes - sum(clip.size_bytes for clip in counted)
        lacking_files = need.files - len(counted)
        if lacking_bytes > 0 or lacking_files > 0:
            reason = scope.reason(rule)
            for clip in self._free(scope, self._youngest, self._future):
                self.deletions[clip.path] = Deletion(clip, reason)
                lacking_bytes -= clip.size_bytes
                lacking_files -= 1
                if lacking_bytes <= 0 and lacking_files <= 0:
                    break
        return _Need(max(0, lacking_bytes), max(0, lacking_files))

    def _free(self, scope: Scope, before: float, future: float | None = None) -> Iterator[Clip]:
        """Yield the clips that may be chosen and are not yet."""
        for clip in self._source.clips(scope, before, future):
            if clip.path not in self.deletions and clip.path not in self._skip:
                yield clip


def _free_need(space: Space, limits: Limits) -> _Need:
    """Return what the file system lacks, by the stricter of the rules; less than 0 when there is more."""
    lacking_bytes = lacking_files = 0
    if limits.min_free_bytes is not None:
        lacking_bytes = limits.min_free_bytes - space.free_bytes
    if limits.max_used_percent is not None:
        share = limits.max_used_percent / 100.0
        usable_bytes = space.used_bytes + space.free_bytes
        lacking_bytes = max(lacking_bytes, space.used_bytes - int(share * usable_bytes))
        lacking_files = (space.inodes_total - space.inodes_free) - int(share * space.inodes_total)
    return _Need(max(0, lacking_bytes), max(0, lacking_files))


def _open_index(index: Path) -> contextlib.closing[sqlite3.Connection]:
    """Open the index, which exists, for writing."""
    return contextlib.closing(sqlite3.connect(f"{index.absolute().as_uri()}?mode=rw", uri=True, timeout=_INDEX_WAIT_S))


def _check_writable(index: Path) -> None:
    """Raise RetentionError when no row can be deleted: better no room than files gone that the index still names."""
    try:
        with _open_index(index) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        # The full disk may be the index's own, with no room for SQLite's side files: then deleting is what helps.
        is_full = getattr(error, "sqlite_errorcode", 0) & 0xFF in _LACKS_ROOM
        if not (is_full and os.access(index.parent, os.W_OK)):
            raise RetentionError(
                f"{index}: the index of clips cannot be written, nothing is deleted: {error}"
            ) from error


def _forget(index: Path, paths: list[str]) -> str | None:
    """Delete the rows of clips that are gone; return why it is not possible, None when it was.

    Short transactions: the recorder writes to the same index.
    """
    try:
        with _open_index(index) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")  # a row that comes back is found to have no file
            connection.execute("PRAGMA secure_delete = OFF")  # Debian's SQLite writes zeros over rows otherwise
            for first in range(0, len(paths), _BATCH):
                batch = json.dumps(paths[first : first + _BATCH])
                with connection:
                    connection.execute("DELETE FROM clips WHERE path IN (SELECT value FROM json_each(?))", (batch,))
    except sqlite3.Error as error:
        return f"{index}: the rows of deleted clips cannot be removed: {error}"
    return None


def _date_of(now: float) -> str:
    """Return the UTC date of a unix time."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
