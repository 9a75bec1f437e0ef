"""What a store makes of a batch."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was expected; the last one for endless brackets."""

Cause = Literal["malformed", "foreign", "refused"]
"""Why a line can never be stored: it is not what a node sends, says it is of another site, or the store says no."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line that can never be stored, as it was sent."""

    line: bytes
    cause: Cause
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of a batch: all of it is in the store or in `dead_letters`."""

    stored: int = 0
    """Lines."""

    dead_letters: list[DeadLetter] = field(default_factory=list)


class StoreBusyError(Exception):
    """The store does not take the batch now; the node shall keep it and come again."""

    def __init__(self, reason: str, *, status: Literal[429, 503] = 503, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s


class Store(Protocol):
    """Where lines go."""

    name: str
    media_type: str

    def put(self, site: str, body: bytes) -> Outcome:
        """Store the batch `body` as `site`.

        Raises StoreBusyError when the store cannot take it now. Some of the batch may be stored by then; storing it
        again changes nothing.
        """
        ...
