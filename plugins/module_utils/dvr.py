# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""What DVRs call their channels, and what they offer: codec, picture size, frame rate, or what is wrong.

Python's standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

STREAMS = ("main", "sub")
MAX_CHANNEL = 256

_PATHS = {
    "dahua": ("/cam/realmonitor?channel={channel}&subtype={stream}", {"main": "0", "sub": "1"}),
    "hikvision": ("/Streaming/Channels/{channel}{stream}", {"main": "01", "sub": "02"}),
    "generic": (None, {"main": "0", "sub": "1"}),
}
VENDORS = tuple(_PATHS)
CAUSES = ("unreachable", "timeout", "auth", "not_found", "busy", "protocol", "no_video")
"""What can be wrong with a DVR or one of its streams."""


def stream_path(vendor: str, channel: int, stream: str = "main", template: str | None = None) -> str:
    """Return the path of a channel (1 and up) in a vendor's spelling.

    `generic` takes a template with `{channel}` and, if wanted, `{stream}` (0 main, 1 sub).
    """
    if vendor not in _PATHS:
        raise ValueError(f"vendor is {vendor!r}, it must be one of {', '.join(VENDORS)}")
    pattern, names = _PATHS[vendor]
    pattern = template or pattern
    if pattern is None or not pattern.startswith("/"):
        raise ValueError(f"vendor {vendor} needs a path template that begins with /, not {pattern!r}")
    if stream not in names:
        raise ValueError(f"stream is {stream!r}, it must be main or sub")
    if not 1 <= channel <= MAX_CHANNEL:
        raise ValueError(f"channel is {channel}, it must be 1 to {MAX_CHANNEL}")
    return pattern.replace("{channel}", str(channel)).replace("{stream}", names[stream])


@dataclass(frozen=True, slots=True)
class Offer:
    """What one stream offers, or why it does not (`error` one of `CAUSES`, `message` a sentence)."""

    channel: int
    stream: str
    path: str
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    audio: str | None = None
    error: str | None = None
    message: str | None = None

    def as_dict(self) -> dict[str, int | float | str | None]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole DVR: its own name for itself, and its streams by channel."""

    server: str | None
    offers: tuple[Offer, ...]


def table(offers: Sequence[Offer]) -> list[str]:
    """Return the offers as lines of text with aligned columns."""
    rows = [("CHANNEL", "STREAM", "CODEC", "SIZE", "FPS", "AUDIO", "NOTE")]
    for offer in offers:
        size = f"{offer.width}x{offer.height}" if offer.width else "-"
        fps = f"{offer.fps:g}" if offer.fps else "-"
        note = offer.message or ""
        rows.append((str(offer.channel), offer.stream, offer.codec or "-", size, fps, offer.audio or "-", note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
