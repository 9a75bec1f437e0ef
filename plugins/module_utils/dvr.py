# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""What DVRs call their channels. Python's standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .rtsp_target import mask_url

STREAMS = ("main", "sub")
MAX_CHANNEL = 256

_PATHS = {
    "dahua": ("/cam/realmonitor?channel={channel}&subtype={stream}", {"main": "0", "sub": "1"}),
    "hikvision": ("/Streaming/Channels/{channel}{stream}", {"main": "01", "sub": "02"}),
    "generic": (None, {"main": "0", "sub": "1"}),
}
VENDORS = tuple(_PATHS)
KNOWN_VENDORS = ("dahua", "hikvision")
"""Those whose paths need no template, in the order in which `auto` tries them."""


def stream_path(vendor: str, channel: int, stream: str = "main", template: str | None = None) -> str:
    """Return the path of a channel (1 and up) in a vendor's spelling.

    `generic` takes a template with `{channel}` and, if wanted, `{stream}` (0 main, 1 sub). Raises ValueError.
    """
    if vendor not in _PATHS:
        raise ValueError(f"vendor is {vendor!r}, it must be one of {', '.join(VENDORS)}")
    pattern, names = _PATHS[vendor]
    pattern = template or pattern
    if pattern is None or not pattern.startswith("/"):
        raise ValueError(f"vendor {vendor} needs a path template that begins with /, not {mask_url(repr(pattern))}")
    # Without the channel, every stream would be asked by one path and all would seem to be there.
    if "{channel}" not in pattern or re.search(r"[{}]", re.sub(r"\{(channel|stream)\}", "", pattern)):
        shown = mask_url(repr(pattern))
        raise ValueError(
            f"path template is {shown}, it must have {{channel}}, may have {{stream}}, and no other braces"
        )
    if stream not in names:
        raise ValueError(f"stream is {stream!r}, it must be main or sub")
    if not 1 <= channel <= MAX_CHANNEL:
        raise ValueError(f"channel is {channel}, it must be 1 to {MAX_CHANNEL}")
    return pattern.replace("{channel}", str(channel)).replace("{stream}", names[stream])


def read_channels(given: Sequence[int | str]) -> list[int]:
    """Return the channels of numbers and ranges such as `1-16`, each once and in order; raises ValueError."""
    channels: dict[int, None] = {}
    for item in given:
        match = re.fullmatch(r"\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?", str(item))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= MAX_CHANNEL:
            raise ValueError(f"channel is {item}, it must be 1 to {MAX_CHANNEL}, or a range such as 1-16")
        channels |= dict.fromkeys(range(first, last + 1))
    return list(channels)
