"""One spelling of time in the whole API: ISO 8601, UTC, milliseconds, `2026-11-22T03:04:05.678Z`."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, PlainSerializer, WithJsonSchema


def iso_ms(moment: datetime) -> str:
    """Return an aware datetime as ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


UtcTime = Annotated[
    AwareDatetime,
    PlainSerializer(iso_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T03:04:05.678Z"]}),
]
"""An instant; any offset is taken, a time without one is refused, UTC is given."""
