# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""What a stream offers, or why it does not: as data, and as a table for people. Python's standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from .rtp import Received
from .rtsp_target import RtspError, Target, mask_url, rtsp_url

CAUSES = ("unreachable", "timeout", "auth", "not_found", "busy", "protocol", "no_video")
"""What can be wrong with a stream."""


@dataclass(frozen=True, slots=True)
class Question:
    """A stream to ask for; `channel` and `stream` where it is one of a DVR's."""

    name: str
    target: Target
    path: str
    channel: int | None = None
    stream: str | None = None

    def __post_init__(self) -> None:
        """Refuse a path that would change the meaning of a request."""
        rtsp_url(self.target, self.path)

    def failed(self, error: RtspError) -> Offer:
        """Return the answer for a stream that cannot be had."""
        return Offer(self, error=error.cause, message=str(error))


@dataclass(frozen=True, slots=True)
class Offer:
    """What one stream offers, or why it does not (`error` one of `CAUSES`, `message` a sentence)."""

    question: Question
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    audio: str | None = None
    received: Received | None = None
    error: str | None = None
    message: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without user and password; one that is in the path is masked."""
        asked = self.question
        return {
            "name": asked.name,
            "host": asked.target.host,
            "port": asked.target.port,
            "path": mask_url(asked.path),
            "channel": asked.channel,
            "stream": asked.stream,
            "ok": self.error is None,
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "audio": self.audio,
            "received": asdict(self.received) if self.received else None,
            "error": self.error,
            "message": self.message,
        }


def counts(offers: Sequence[Offer]) -> dict[str, int]:
    """Return how many are `ok`, and how many have each error that occurs."""
    found = {"ok": 0}
    for offer in offers:
        kind = offer.error or "ok"
        found[kind] = found.get(kind, 0) + 1
    return found


def table(offers: Sequence[Offer]) -> list[str]:
    """Return the offers as lines of text with aligned columns; what was received only where something was."""
    playing = any(offer.received for offer in offers)
    heads = ["NAME", "CODEC", "SIZE", "FPS", "AUDIO", *(["KBIT/S", "KEYFRAME", "LOST"] if playing else []), "NOTE"]
    # A DVR that is off, or refuses the login, says so once and not for each of its channels.
    groups = [list(same) for _key, same in groupby(offers, lambda offer: offer.message or id(offer))]
    rows = [heads, *(_row(same, playing) for same in groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(same: Sequence[Offer], playing: bool) -> list[str]:
    offer = same[0]
    name = offer.question.name if len(same) == 1 else f"{offer.question.name} ... {same[-1].question.name}"
    size = f"{offer.width}x{offer.height}" if offer.width else "-"
    fps = f"{offer.fps:g}" if offer.fps else "-"
    row = [name, offer.codec or "-", size, fps, offer.audio or "-"]
    got = offer.received
    if playing and got is None:
        row += ["-", "-", "-"]
    elif playing and got is not None:
        every = f"{got.keyframe_interval_s:g} s" if got.keyframe_interval_s else "-"
        row += [str(round(got.bit_rate_bps / 1000)), every, str(got.packets_lost)]
    return [*row, offer.message or ""]
