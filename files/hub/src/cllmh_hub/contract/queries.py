"""What people ask for: query strings, paths and bodies."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cllmh_hub.contract.completeness import StoreName
from cllmh_hub.contract.reports import Name
from cllmh_hub.contract.times import UtcTime

Kind = Literal["node", "dvr", "router"]
Severity = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
# Milliseconds since 1970 and a row's number; as many digits as times until the year 5138 have.
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,14}\.[0-9]{1,18}$")]
"""Where a page ended: the `next` of the page before."""


class Login(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=1, max_length=1000)


class Period(BaseModel):
    """A span of time; both ends may be left open."""

    model_config = ConfigDict(extra="forbid")

    since: UtcTime | None = Field(default=None, alias="from", description="What ends before this is left out.")
    until: UtcTime | None = Field(
        default=None, alias="to", description="What begins at this time or later is left out."
    )

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("`from` must be before `to`")
        return self


class ClipQuery(Period):
    """Which clips or gaps; newest first."""

    site: Name | None = None
    camera: Name | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    before: Cursor | None = Field(default=None, description="The `next` of the page before.")


class LogQuery(Period):
    """Which log lines; newest first."""

    site: Name | None = Field(default=None, description="All sites when missing.")
    kind: Kind | None = None
    severity: list[Severity] = Field(default_factory=list, description="Any of these; all when missing.")
    text: str | None = Field(default=None, max_length=500, description="Is in the line, in small or capital letters.")
    limit: int = Field(default=200, ge=1, le=1000)


class CompletenessQuery(Period):
    """Whose hours; the hours that hold `from` and `to` are whole."""

    site: Name
    node: Name | None = Field(default=None, description="All nodes of the site when missing.")
    store: StoreName = Field(
        default="loki", description="Who is asked. Elasticsearch, where the hub has it and nodes send it every line."
    )


class ClipPathParameters(BaseModel):
    """The clip in the address."""

    clip_id: int = Field(ge=1, le=2**63 - 1)
