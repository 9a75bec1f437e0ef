"""`retention:` in a service's configuration file: how much room recordings may take."""

from typing import Literal, Self

from pydantic import model_validator

from cllmh_node.config import Field, StrictModel
from cllmh_node.retention import Limits, Policy

Deletable = Literal["continuous", "motion", "object"]
"""Classes that retention may take, the lesser first. `pinned` has no rules: it never goes."""


class LimitsConfig(StrictModel):
    """Rules about some of the clips. Rules left out do not apply; all given ones hold together."""

    min_free_bytes: int | None = Field(default=None, ge=0)
    """Keep at least this much free, in bytes. For a camera or class: while less is free, clips of it may go."""

    max_used_percent: float | None = Field(default=None, gt=0, le=100)
    """Use at most this part of the file system, blocks and inodes alike, in percent. For a camera or class: while more
    is used, clips of it may go."""

    max_bytes: int | None = Field(default=None, ge=0)
    """Its clips together take at most this, in bytes."""

    max_age_s: float | None = Field(default=None, ge=0)
    """Delete clips of it that ended longer ago than this, in seconds."""

    def limits(self) -> Limits:
        """Return the same as retention knows it."""
        return Limits(self.min_free_bytes, self.max_used_percent, self.max_bytes, self.max_age_s)


class RetentionConfig(LimitsConfig):
    """How much room recordings may take, all together, by camera and by class."""

    max_used_percent: float | None = Field(default=90.0, gt=0, le=100)
    """Use at most this part of the file system, blocks and inodes alike, in percent."""

    min_age_s: float = Field(default=60.0, ge=0)
    """Never delete a clip that ended less than this ago, in seconds."""

    cameras: dict[str, LimitsConfig] = Field(default_factory=dict)
    """Rules for single cameras, by name."""

    classes: dict[Deletable, LimitsConfig] = Field(default_factory=dict)
    """Rules for single classes."""

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        """Refuse a policy that contradicts itself."""
        scopes: dict[str, LimitsConfig] = {"": self}
        scopes |= {f"cameras.{name}.": limits for name, limits in self.cameras.items()}
        scopes |= {f"classes.{name}.": limits for name, limits in self.classes.items()}
        for scope, limits in scopes.items():
            if limits.max_age_s is not None and limits.max_age_s < self.min_age_s:
                raise ValueError(f"{scope}max_age_s must not be less than min_age_s")
        return self

    def policy(self) -> Policy:
        """Return the same as retention knows it."""
        return Policy(
            self.min_free_bytes,
            self.max_used_percent,
            self.max_bytes,
            self.max_age_s,
            self.min_age_s,
            {name: limits.limits() for name, limits in self.cameras.items()},
            {name: limits.limits() for name, limits in self.classes.items()},
        )
