# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Make room in a recordings folder, predictably: plan first, then act.

The one implementation behind the module `disk_prune`, the HDD monitor, the recorder and `cllmh-node prune`.
Python's standard library only.

What is deleted is named by the recorder's index (SQLite), where the importance of each clip is known: the lesser class
first, in it the oldest, `pinned` never. Without an index the dated folders are walked, oldest first; then the
importance is unknown, and nothing is protected but by age.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from .recordings import Clip, RetentionError, Root, Space, clip_path_parts

IMPORTANCE_ORDER = ("continuous", "motion", "object")
"""Classes in the order in which they are given up. `pinned`, and any class not named here, is never deleted."""

_FAILS_FOR_ALL = (errno.EROFS, errno.EIO)
_BATCH = 500
_MAX_ROUNDS = 5
"""How often to look again when clips could not be deleted or were gone already."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much room recordings may take. Every rule is optional, all given ones hold together."""

    min_free_bytes: int | None = None
    """Keep at least this much free for the recorder, in bytes."""
    max_used_percent: float | None = None
    """Use at most this part of the file system, blocks and inodes alike, in percent (0 to 100)."""
    max_bytes: int | None = None
    """All recordings together take at most this, in bytes."""
    max_age_s: float | None = None
    """A clip that ended longer ago than this goes, in seconds."""
    min_age_s: float = 60.0
    """A clip that ended less than this ago is never taken, in seconds; it protects what is being written."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("min_free_bytes", "max_bytes", "max_age_s", "min_age_s"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise RetentionError(f"{name} is {value}, it must be 0 or more")
        if self.max_used_percent is not None and not 0 < self.max_used_percent <= 100:
            raise RetentionError(f"max_used_percent is {self.max_used_percent}, it must be above 0 and at most 100")
        if self.max_age_s is not None and self.max_age_s < self.min_age_s:
            raise RetentionError(f"max_age_s is {self.max_age_s}, less than min_age_s, which is {self.min_age_s}")


@dataclass(frozen=True, slots=True)
class Deletion:
    """One line of a plan: which clip goes and by which rule (`max_age`, `quota` or `free_space`)."""

    clip: Clip
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be deleted, in this order, and the space before."""

    deletions: tuple[Deletion, ...]
    before: Space
    short_bytes: int = 0
    """Bytes that the policy asks for beyond all that may be deleted."""

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

    @property
    def freed_bytes(self) -> int:
        """What the file system says was freed; less than hoped when others write at the same time."""
        return max(0, self.after.free_bytes - self.before.free_bytes)


def prune(path: Path, policy: Policy, index: Path | None = None, now: float | None = None) -> Outcome:
    """Plan and act in the recordings folder `path`, alone.

    Clips that cannot be deleted, or were gone already, give no room: then it plans again without them.
    Raises BusyError when another pruner is at work, RetentionError when the folder or the index cannot be used.
    """
    with Root(path) as root:
        root.lock()
        total = act(root, plan(root, policy, index, now), index, now)
        for _ in range(_MAX_ROUNDS):
            if not (total.failed or total.missing):
                break
            skip = frozenset(failed for failed, _ in total.failed)
            more = act(root, plan(root, policy, index, now, skip=skip), index, now)
            total = Outcome(
                total.deleted + more.deleted,
                total.missing + more.missing,
                total.failed + more.failed,
                total.before,
                more.after,
                more.short_bytes,
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
    source: _Source = _Walked(root) if index is None else _Indexed(index)
    with contextlib.closing(source):
        try:
            return _plan(source, policy, root.space(), now, skip)
        except sqlite3.Error as error:
            raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error


def act(root: Root, plan: Plan, index: Path | None = None, now: float | None = None) -> Outcome:
    """Delete what `plan` says, in its order; remove folders that became empty and the rows of the index.

    The root must be locked. A file that cannot be deleted is reported in the outcome and does not stop the others,
    unless the file system is read-only or broken.
    """
    if not root.is_locked:
        raise RetentionError(f"{root.path}: must be locked before anything is deleted")
    today = _date_of(time.time() if now is None else now)
    before = root.space()
    deleted: list[Deletion] = []
    missing: list[str] = []
    failed: list[tuple[str, str]] = []
    folders: dict[tuple[str, str], None] = {}
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
        camera, date, _ = clip_path_parts(path)
        if date < today:  # the recorder may be about to write into today's
            folders[camera, date] = None
    for camera, date in folders:
        root.remove_empty(camera, date)
    if index is not None:
        _forget(index, [*(deletion.clip.path for deletion in deleted), *missing])
    return Outcome(tuple(deleted), tuple(missing), tuple(failed), before, root.space(), plan.short_bytes)


def is_below_floor(space: Space, policy: Policy) -> bool:
    """Return whether the file system has less room than the policy keeps free; asks no clip and no index."""
    return not _free_need(space, policy).is_met()


class _Source(Protocol):
    """Where clips are looked up: the index, or the folders themselves."""

    def older_than(self, end: float) -> Iterator[Clip]:
        """Yield deletable clips that ended before `end`, oldest first."""

    def least_important(self, end: float) -> Iterator[Clip]:
        """Yield deletable clips that ended before `end`, the lesser class first, in it the oldest."""

    def total_bytes(self) -> int:
        """Return the size of all clips."""

    def close(self) -> None:
        """Give back what is open."""


class _Walked:
    """Clips as the dated folders hold them; their importance is not known."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def older_than(self, end: float) -> Iterator[Clip]:
        for clip in self._root.walk():
            if clip.start >= end:  # oldest first, so none that follows ended before
                return
            if clip.end < end:
                yield clip

    def least_important(self, end: float) -> Iterator[Clip]:
        return self.older_than(end)

    def total_bytes(self) -> int:
        return sum(clip.size_bytes for clip in self._root.walk())

    def close(self) -> None:
        """Nothing stays open between two calls."""


class _Indexed:
    """Clips as the recorder's index names them."""

    _SELECT = 'SELECT path, start, "end", bytes, importance FROM clips'

    def __init__(self, index: Path) -> None:
        self._connection = open_index_read_only(index)

    def older_than(self, end: float) -> Iterator[Clip]:
        marks = ", ".join("?" * len(IMPORTANCE_ORDER))
        query = f'{self._SELECT} WHERE "end" < ? AND importance IN ({marks}) ORDER BY start'
        return self._clips(query, (end, *IMPORTANCE_ORDER))

    def least_important(self, end: float) -> Iterator[Clip]:
        for importance in IMPORTANCE_ORDER:
            query = f'{self._SELECT} WHERE importance = ? AND "end" < ? ORDER BY start'
            yield from self._clips(query, (importance, end))

    def total_bytes(self) -> int:
        (total,) = self._connection.execute("SELECT coalesce(sum(bytes), 0) FROM clips").fetchone()
        return int(total)

    def close(self) -> None:
        self._connection.close()

    def _clips(self, query: str, values: tuple[float | str, ...]) -> Iterator[Clip]:
        for path, start, end, size_bytes, importance in self._connection.execute(query, values):
            yield Clip(path, start, end, size_bytes, importance)


def open_index_read_only(index: Path) -> sqlite3.Connection:
    """Open the recorder's index so that not even SQLite's side files are written; raise RetentionError if it cannot."""
    # A write-ahead log means that the recorder is (or was) at work: join it. Without one nobody is, and `immutable`
    # keeps SQLite from making its side files, which a check mode must not.
    mode = "mode=ro" if Path(f"{index}-wal").exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{index.absolute().as_uri()}?{mode}", uri=True, timeout=10)
        connection.execute("SELECT 1 FROM clips LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise RetentionError(f"{index}: the index of clips cannot be read: {error}") from error
    return connection


def _plan(source: _Source, policy: Policy, space: Space, now: float, skip: frozenset[str]) -> Plan:
    """Apply the rules in turn; what an earlier one takes counts for the later ones."""
    chosen: dict[str, Deletion] = {}
    if policy.max_age_s is not None:
        for clip in source.older_than(now - policy.max_age_s):
            if clip.path not in skip:
                chosen[clip.path] = Deletion(clip, "max_age")
    quota = _quota_need(source, policy)
    free = _free_need(space, policy)
    for deletion in chosen.values():
        quota.take(deletion.clip)
        free.take(deletion.clip)
    if not (quota.is_met() and free.is_met()):
        for clip in source.least_important(now - policy.min_age_s):
            if clip.path in chosen or clip.path in skip:
                continue
            chosen[clip.path] = Deletion(clip, "free_space" if quota.is_met() else "quota")
            quota.take(clip)
            free.take(clip)
            if quota.is_met() and free.is_met():
                break
    short_bytes = max(0, quota.size_bytes, free.size_bytes)
    return Plan(tuple(chosen.values()), space, short_bytes)


@dataclass(slots=True)
class _Need:
    """What is still to be freed, in bytes and in files (inodes)."""

    size_bytes: int = 0
    files: int = 0

    def is_met(self) -> bool:
        """Whether enough has been taken."""
        return self.size_bytes <= 0 and self.files <= 0

    def take(self, clip: Clip) -> None:
        """Count a clip as deleted."""
        self.size_bytes -= clip.size_bytes
        self.files -= 1


def _quota_need(source: _Source, policy: Policy) -> _Need:
    """Return what stands above the quota."""
    if policy.max_bytes is None:
        return _Need()
    return _Need(source.total_bytes() - policy.max_bytes)


def _free_need(space: Space, policy: Policy) -> _Need:
    """Return what the file system lacks, by the stricter of the rules."""
    need = _Need()
    if policy.min_free_bytes is not None:
        need.size_bytes = policy.min_free_bytes - space.free_bytes
    if policy.max_used_percent is not None:
        share = policy.max_used_percent / 100.0
        usable_bytes = space.used_bytes + space.free_bytes
        need.size_bytes = max(need.size_bytes, space.used_bytes - int(share * usable_bytes))
        need.files = (space.inodes_total - space.inodes_free) - int(share * space.inodes_total)
    return need


def _forget(index: Path, paths: list[str]) -> None:
    """Delete the rows of clips that are gone. Short transactions: the recorder writes to the same index."""
    try:
        with contextlib.closing(sqlite3.connect(index, timeout=30)) as connection:
            for first in range(0, len(paths), _BATCH):
                batch = [(path,) for path in paths[first : first + _BATCH]]
                with connection:
                    connection.executemany("DELETE FROM clips WHERE path = ?", batch)
    except sqlite3.Error as error:
        # The files are gone; the next run finds the rows again and deletes them then.
        raise RetentionError(f"{index}: the rows of deleted clips cannot be removed: {error}") from error


def _date_of(now: float) -> str:
    """Return the UTC date of a unix time."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
