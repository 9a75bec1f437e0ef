"""One spelling of time in the whole API: ISO 8601, UTC, milliseconds, `2026-11-22T03:04:05.678Z`."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, PlainSerializer, WithJsonSchema

_ISO_8601 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}")
# A node whose clock was never set says 1970; what is after 2199 is a mistake, and some of it no database could keep.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def iso_ms(moment: datetime) -> str:
    """Return an aware datetime as ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _only_iso_8601(value: Any) -> Any:
    """Refuse the numbers that pydantic would take for seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and _ISO_8601.match(value)):
        return value
    raise ValueError("must be a time in ISO 8601 such as 2026-11-22T03:04:05.678Z")


def _plausible(moment: datetime) -> datetime:
    if not _FIRST <= moment < _LAST:
        raise ValueError("must be between the years 1970 and 2199")
    return moment


UtcTime = Annotated[
    AwareDatetime,
    BeforeValidator(_only_iso_8601),
    AfterValidator(_plausible),
    PlainSerializer(iso_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T03:04:05.678Z"]}),
]
"""An instant; any offset is taken, a time without one is refused, UTC is given."""
