"""How grave it is, and why: `warn` and `critical`, for each cause on its own, with hysteresis."""

from collections.abc import Mapping
from typing import Literal

from cllmh_node.recordings import Space

State = Literal["ok", "warn", "critical"]
Cause = Literal["space", "inodes", "unusable", "prune", "smart"]
"""Too little room, too few inodes, a folder that cannot be used, deletions that fail, a disk that is dying."""

Levels = Mapping[Cause, State]

_RANK: tuple[State, ...] = ("ok", "warn", "critical")


def next_state(previous: State, used_percent: float, warn: float, critical: float, hysteresis: float) -> State:
    """Return the state for a used share, all in percent. It rises at once and falls only below the hysteresis."""

    def reached(threshold: float, state: State) -> bool:
        held = _RANK.index(previous) >= _RANK.index(state)
        return used_percent >= (threshold - hysteresis if held else threshold)

    if reached(critical, "critical"):
        return "critical"
    return "warn" if reached(warn, "warn") else "ok"


def worst(levels: Levels) -> State:
    """Return the gravest of all."""
    return max(levels.values(), key=_RANK.index, default="ok")


def causes(levels: Levels) -> list[Cause]:
    """Return what is not well, the gravest first."""
    return sorted((cause for cause in levels if levels[cause] != "ok"), key=lambda cause: -_RANK.index(levels[cause]))


def inodes_used_percent(space: Space) -> float:
    """Return the share of inodes in use; 0 where the file system makes them as needed and so tells none."""
    total = space.inodes_total
    return round(100.0 * (total - space.inodes_free) / total, 2) if total else 0.0
