"""What node and hub say to each other about a clip: one JSON object a line."""

import json
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from cllmh_node.clips.index import Importance
from cllmh_node.config import StrictModel

MAX_LINE_BYTES = 4096
"""A longer line is refused."""

MAX_LINES = 1000
"""So many clips at the most are claimed in one go."""

Verdict = Literal["kept", "missing", "differs", "taken", "refused"]
"""What the hub says of a claim: it has this clip and keeps it; nothing was sent; what was sent is not this clip (and is
deleted, so that it is sent anew); it keeps another clip under this name; the times claimed are not those of a clip with
this name, or lie in the future."""


class Claim(StrictModel):
    """A clip as the node has it."""

    path: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}/\d{4}-\d{2}-\d{2}/\d{8}T\d{6}\.\d{3}Z\.mp4$")]
    """Its path below the recordings folder."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its bytes."""

    start: FiniteFloat
    """Its start, unix seconds."""

    end: FiniteFloat
    """Its end, unix seconds."""

    importance: Importance
    """Its class, for the hub's retention."""

    peak_score: FiniteFloat | None = None
    """Largest moving part of the picture, 0..1."""

    labels: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=32)] = ()
    """What was seen in it."""


class Answer(StrictModel):
    """The hub's word about a claim."""

    path: str
    """The path as claimed."""

    verdict: Verdict
    """Whether the hub keeps it."""


class Room(StrictModel):
    """Whether the hub has room for clips."""

    has_room: bool
    """Whether clips may be sent."""

    reason: str = ""
    """Why not."""


def to_line(model: StrictModel) -> str:
    """Return a claim or an answer as one line."""
    return json.dumps(model.model_dump(mode="json"), separators=(",", ":")) + "\n"
