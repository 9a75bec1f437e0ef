"""What a recorder is asked for, and what it hands over: the same whichever recorder it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cllmh_node.rtsp.address import CameraAddress

Cause = Literal[
    "auth_failed", "not_found", "camera_lost", "network", "incomplete", "disk", "no_room", "worker_died", "defect"
]
"""Why a channel could not be recorded."""

FINAL = frozenset({"auth_failed", "not_found", "disk", "no_room"})
"""Causes that another attempt would not cure; a wrong password sent again would lock the account."""


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt at one channel."""

    channel: int
    address: CameraAddress
    password: str
    seconds: float
    folder: Path
    """Where the file is made; it is named `<channel>/<YYYY-MM-DD>/<start>.mp4` below it."""

    with_audio: bool
    stopping: Callable[[], bool]
    """Whether to end now; asked twice a second at least."""

    tell: Callable[[float, int], None]
    """Takes the seconds and bytes that are recorded by now."""

    @property
    def patience_s(self) -> float:
        """The most that an attempt may take, whatever the stream does, in seconds."""
        return self.seconds * 1.1 + 20.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file that an attempt left; `cause` and `text` when it ended early."""

    path: Path
    """The file, below the request's folder or not renamed yet."""

    start: float
    """Unix seconds (UTC) of the first picture."""

    seconds: float
    cause: Cause | None = None
    text: str | None = None


class RecordingError(Exception):
    """An attempt left no file; the text is for people and holds no secret."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause: Cause = cause
        self.text = text
