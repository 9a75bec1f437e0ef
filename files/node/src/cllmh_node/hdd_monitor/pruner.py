"""Making room, in a thread of its own: a slow disk or a long prune keeps neither the API nor the look at the disk."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cllmh_node.clips.naming import iso_time
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.hdd_monitor.usage import Usage, Use, by_camera, by_class
from cllmh_node.log import event
from cllmh_node.recordings import BusyError, RetentionError, Root
from cllmh_node.reports import Spool
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Outcome, prune

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastPrune:
    """What the last prune that deleted something took."""

    at: float
    """When it began, unix seconds."""
    freed_bytes: int
    """As the file system said."""
    taken: Usage
    """The clips it took, by camera and class."""

    def as_report(self) -> dict[str, Any]:
        """Return it as report and API show it."""
        return {
            "at": iso_time(self.at),
            "deleted": sum(use.clips for use in self.taken.values()),
            "freed_bytes": self.freed_bytes,
            "cameras": {name: _taken(use) for name, use in by_camera(self.taken).items()},
            "classes": {name: _taken(use) for name, use in by_class(self.taken).items()},
        }


@dataclass(frozen=True, slots=True)
class Pruning:
    """How pruning is at one moment."""

    running_since: float | None = None
    """When the prune that is at work began, unix seconds."""
    last: LastPrune | None = None
    problem: str | None = None
    """Why the last one could not do its work."""
    short_bytes: int = 0
    """Bytes that the policy asks for beyond all that may be deleted."""
    rounds: int = 0
    """How many were run."""


@dataclass(slots=True)
class Pruner:
    """Applies the policy when asked. `work` is called by one thread; `state` may be read by any."""

    config: HddMonitorConfig
    spool: Spool | None
    state: Pruning = Pruning()
    _asked: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Have the policy applied soon; asking again before that changes nothing."""
        self._asked.set()

    def run(self, stop: threading.Event, done: Callable[[], object]) -> None:
        """Work when asked until `stop` is set and asked once more; call `done` after each time."""
        while True:
            self._asked.wait()
            if stop.is_set():
                return
            self.work(time.time())
            done()

    def work(self, now: float) -> None:
        """Apply the policy if somebody asked; `now` in unix seconds."""
        if not self._asked.is_set():
            return
        self._asked.clear()
        index = self.config.index
        if index is not None and not index.exists():
            self._note_missing(index)
            return
        self.state = replace(self.state, running_since=now)
        self.state = self._after(now)

    def _note_missing(self, index: Path) -> None:
        """Say once that nothing is deleted without the index; where no clip is, the recorder has merely never run."""
        try:
            with Root(self.config.recordings_dir, self.config.mount_point) as root:
                has_clips = next(root.walk(), None) is not None
        except (RetentionError, OSError):  # a folder that cannot be used is told by the look at it
            return
        text = f"{index}: there is no index of clips although {self.config.recordings_dir} has clips: none is deleted"
        self._note(f"{text}. Is `index` right, and has the recorder started?" if has_clips else None)

    def _note(self, problem: str | None) -> None:
        """Keep why no room can be made, None when there is no such reason; log it when it is a new one."""
        if problem is not None and problem != self.state.problem:
            event(logger, "prune_failed", level=logging.ERROR, text=problem)
        self.state = replace(self.state, problem=problem)

    def _after(self, now: float) -> Pruning:
        """Prune; return how pruning is then. A problem is said once."""
        config, before = self.config, self.state
        ended = replace(before, running_since=None, rounds=before.rounds + 1)
        try:
            outcome = prune(
                config.recordings_dir, config.retention.policy(), config.index, mount_point=config.mount_point
            )
        except BusyError:
            return ended
        except (RetentionError, OSError) as error:
            self._note(str(error))
            return replace(ended, problem=str(error))
        report_deleted(self.spool, outcome)
        problem = outcome.index_problem
        if outcome.failed:
            path, text = outcome.failed[0]
            problem = f"{len(outcome.failed)} clips could not be deleted, the first is {path}: {text}"
        last = LastPrune(now, outcome.freed_bytes, _taken_by(outcome)) if outcome.deleted else before.last
        return replace(ended, last=last, problem=problem, short_bytes=outcome.short_bytes)


def _taken_by(outcome: Outcome) -> Usage:
    """Return what a prune took, by camera and class."""
    taken: dict[tuple[str, str], Use] = {}
    for clip in (deletion.clip for deletion in outcome.deleted):
        key = (clip.camera, clip.importance)
        taken[key] = taken.get(key, Use()) + Use(clip.size_bytes, 1, clip.start)
    return taken


def _taken(use: Use) -> dict[str, int]:
    return {"clips": use.clips, "bytes": use.size_bytes}
