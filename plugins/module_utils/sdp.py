# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Parse a session description (SDP, RFC 8866) as DVRs write it: which tracks, which codec, what size and rate.

The text comes from a network device: it is limited in size and lines, and what cannot be right is left out.
Python's standard library only.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .sps import MAX_FPS, MAX_SPS_BYTES, Picture, SpsError, read_sps, read_vps

MAX_SDP_BYTES = 65_536
MAX_LINES = 500
MAX_TRACKS = 16
MAX_PARAMETER_SETS = 16

# Payload types that need no rtpmap (RFC 3551, tables 4 and 5).
_STATIC_CODECS = {0: "PCMU", 8: "PCMA", 26: "JPEG", 32: "MPV"}
_SAME_CODEC = {"HEVC": "H265", "MPEG4-GENERIC": "AAC", "MP4A-LATM": "AAC"}
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_SIZE = re.compile(r"([0-9]{2,5})\s*[-x, ]\s*([0-9]{2,5})")


class SdpError(ValueError):
    """The text is no session description."""


@dataclass(frozen=True, slots=True)
class Media:
    """One track. `fps` is frames/s, `width` and `height` are pixels; None where the device does not say."""

    kind: str
    codec: str
    control: str | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    parameter_sets: tuple[bytes, ...] = ()


def parse_sdp(body: bytes) -> tuple[Media, ...]:
    """Return the tracks of a description; raises SdpError."""
    if len(body) > MAX_SDP_BYTES:
        raise SdpError(f"{len(body)} bytes, more than {MAX_SDP_BYTES}")
    lines = body.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    if len(lines) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    if not lines or lines[0] != "v=0":
        raise SdpError("it does not begin with v=0")
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    if len(sections) - 1 > MAX_TRACKS:
        raise SdpError(f"more than {MAX_TRACKS} tracks")
    return tuple(_parse_track(section) for section in sections[1:])


def _parse_track(lines: list[str]) -> Media:
    words = lines[0][2:].split()
    if len(words) < 4:
        raise SdpError(f"a track without a format: {lines[0][:40]!r}")
    kind, payload_type = words[0].lower()[:16], words[3]
    attributes = [line[2:].partition(":")[::2] for line in lines if line.startswith("a=")]

    def of_format(name: str) -> str:
        """Return the value of `a=NAME:PAYLOADTYPE value` for the track's first format."""
        values = (value.split(None, 1) for key, value in attributes if key.lower() == name)
        return next((parts[1] for parts in values if len(parts) == 2 and parts[0] == payload_type), "")

    def plain(*names: str) -> str:
        return next((value.strip() for key, value in attributes if key.lower() in names), "")

    codec = re.sub(r"[^A-Z0-9_.-]", "", of_format("rtpmap").split("/")[0].upper())[:32]
    if not codec and payload_type.isdigit():
        codec = _STATIC_CODECS.get(int(payload_type[:4]), "")
    codec = _SAME_CODEC.get(codec, codec) or "unknown"
    parameter_sets = tuple(_parameter_sets(of_format("fmtp"))) if kind == "video" else ()
    picture = _picture(codec, parameter_sets)
    width, height = (picture.width, picture.height) if picture else (None, None)
    if width is None and (size := _SIZE.search(of_format("framesize") or plain("x-dimensions"))):
        width, height = int(size[1]), int(size[2])
    fps = _number(plain("framerate", "x-framerate")) or (picture.fps if picture else None)
    fps = fps or _rate(codec, parameter_sets)
    control = plain("control") or None
    return Media(kind, codec, control, fps if kind == "video" else None, width, height, parameter_sets)


def _parameter_sets(fmtp: str) -> Iterator[bytes]:
    """Yield the NAL units of `sprop-parameter-sets` (RFC 6184, 8.1) or `sprop-vps`, `-sps`, `-pps` (RFC 7798, 7.1)."""
    encoded = []
    for part in fmtp.split(";"):
        name, _equals, value = part.strip().partition("=")
        if name.lower() in ("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps"):
            encoded += value.split(",")
    for text in encoded[:MAX_PARAMETER_SETS]:
        try:
            nal = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            continue  # one broken set says nothing about the others
        if 0 < len(nal) <= MAX_SPS_BYTES:
            yield nal


def _picture(codec: str, parameter_sets: tuple[bytes, ...]) -> Picture | None:
    """Return what the first readable SPS says."""
    for nal in parameter_sets:
        try:
            return read_sps(codec, nal)
        except SpsError:
            continue  # a picture parameter set, or one that is broken
    return None


def _rate(codec: str, parameter_sets: tuple[bytes, ...]) -> float | None:
    """Return the frames/s of an H.265 video parameter set, which some cameras have instead of one in the SPS."""
    for nal in parameter_sets:
        try:
            return read_vps(codec, nal)
        except SpsError:
            continue
    return None


def _number(text: str) -> float | None:
    """Return a rate in frames/s if the text is one (some devices write `25`, some `25.000000`)."""
    match = _NUMBER.match(text)
    value = float(match[0]) if match else 0.0
    return value if 0 < value <= MAX_FPS else None
