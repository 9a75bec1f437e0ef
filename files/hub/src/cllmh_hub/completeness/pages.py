"""What the proof asks of a store, whichever it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cllmh_hub.completeness.records import NumberedLine, Statement
from cllmh_hub.completeness.statements import Span


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and the time up to which all are read now."""

    lines: list[NumberedLine]
    unreadable: int
    """Lines with an id that no node of ours writes."""
    read_to: datetime


class Pages(Protocol):
    """All lines of `site` in one store; each method raises ApiError when the store cannot or will not answer."""

    site: str

    def kept_since(self, now: datetime) -> datetime | None:
        """Return before which hours retention has begun to delete; None when it deletes nothing."""
        ...

    def lines(self, start: datetime, end: datetime, received: Sequence[Span] = ()) -> Iterator[Page]:
        """Yield each numbered line that is stored under a time of [start, end), once.

        What the node did not take over in one of the spans `received` may be left out.
        """
        ...

    def statements(self, start: datetime, end: datetime) -> Iterator[list[Statement | None]]:
        """Yield the nodes' statements that were logged in [start, end), None for one that cannot be read."""
        ...
