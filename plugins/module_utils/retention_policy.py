# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""How much room recordings may take: rules about all clips, about a camera's and about a class's.

Python's standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .recordings import Clip, RetentionError

IMPORTANCE_ORDER = ("continuous", "motion", "object")
"""Classes in the order in which they are given up. `pinned`, and any class not named here, is never deleted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules about some of the clips. Every rule is optional, all given ones hold together."""

    min_free_bytes: int | None = None
    """Keep at least this much free, in bytes. For a camera or class: while less is free, its clips may go."""
    max_used_percent: float | None = None
    """Use at most this part of the file system, blocks and inodes alike, in percent (above 0, at most 100).
    For a camera or class: while more is used, its clips may go."""
    max_bytes: int | None = None
    """These clips together take at most this, in bytes."""
    max_age_s: float | None = None
    """A clip that ended longer ago than this goes, in seconds."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("min_free_bytes", "max_bytes", "max_age_s"):
            _refuse_negative(name, getattr(self, name))
        if self.max_used_percent is not None and not 0 < self.max_used_percent <= 100:
            raise RetentionError(f"max_used_percent is {self.max_used_percent}, it must be above 0 and at most 100")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which clips a rule is about: those of a camera, those of a class, or all."""

    camera: str | None = None
    importance: str | None = None

    def has(self, clip: Clip) -> bool:
        """Whether a clip is one of them."""
        return self.camera in (None, clip.camera) and self.importance in (None, clip.importance)

    def reason(self, rule: str) -> str:
        """Return what a deletion by this rule is called: `quota`, `camera_quota` or `class_quota`."""
        return f"camera_{rule}" if self.camera is not None else f"class_{rule}" if self.importance is not None else rule


@dataclass(frozen=True, slots=True)
class Policy(Limits):
    """Rules about all clips together, and beside them about single cameras and single classes."""

    min_age_s: float = 60.0
    """A clip that ended less than this ago is never taken, in seconds; it protects what is being written."""
    cameras: Mapping[str, Limits] = field(default_factory=dict)
    """Camera name -> rules about its clips."""
    classes: Mapping[str, Limits] = field(default_factory=dict)
    """Class, one of `IMPORTANCE_ORDER` -> rules about its clips."""

    def __post_init__(self) -> None:
        """Refuse values out of range and rules that contradict each other."""
        Limits.__post_init__(self)
        _refuse_negative("min_age_s", self.min_age_s)
        for name in self.classes:
            if name not in IMPORTANCE_ORDER:
                raise RetentionError(f"classes: {name!r}: there are rules for {', '.join(IMPORTANCE_ORDER)} only")
        for scope, limits in self.scopes():
            if limits.max_age_s is not None and limits.max_age_s < self.min_age_s:
                where = f" of {scope.camera or scope.importance}" if limits is not self else ""
                text = f"max_age_s{where} is {limits.max_age_s}, less than min_age_s, which is {self.min_age_s}"
                raise RetentionError(text)

    def scopes(self) -> Iterator[tuple[Scope, Limits]]:
        """Yield whose rules come first: a camera's, then a class's (the lesser first), then those about all."""
        for camera in sorted(self.cameras):
            yield Scope(camera=camera), self.cameras[camera]
        for importance in IMPORTANCE_ORDER:
            if importance in self.classes:
                yield Scope(importance=importance), self.classes[importance]
        yield Scope(), self


def _refuse_negative(name: str, value: float | None) -> None:
    if value is not None and not value >= 0:  # nor a number that is none
        raise RetentionError(f"{name} is {value}, it must be 0 or more")
