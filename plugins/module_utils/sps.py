# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Read the picture size and frame rate out of a sequence parameter set (SPS), or the rate out of an H.265 VPS.

Source: ITU-T H.264 (08/2021) 7.3.2.1.1 and E.1.1; H.265 is in h265.py.
The bytes come from a network device: every read is bounded, and what cannot be right is refused.
Python's standard library only.
"""

from __future__ import annotations

from .bits import MAX_FPS, Bits, Picture, SpsError, rate, read_cropping, skip_to_chroma_end
from .h265 import read_h265_sps, read_h265_vps

__all__ = ["MAX_FPS", "MAX_SPS_BYTES", "Picture", "SpsError", "read_sps", "read_vps"]

MAX_SPS_BYTES = 4096

# Profiles whose SPS carries the chroma format and scaling lists (H.264 7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def read_sps(codec: str, nal: bytes) -> Picture:
    """Return the picture of an SPS NAL unit, its header included; `codec` is `H264` or `H265`."""
    if len(nal) > MAX_SPS_BYTES:
        raise SpsError(f"{len(nal)} bytes, more than {MAX_SPS_BYTES}")
    if codec == "H264" and nal and nal[0] & 0x1F == 7:
        return _read_h264(Bits(nal[1:]))
    if codec == "H265" and len(nal) > 2 and nal[0] >> 1 & 0x3F == 33:
        return read_h265_sps(Bits(nal[2:]))
    raise SpsError(f"not a sequence parameter set of {codec}")


def read_vps(codec: str, nal: bytes) -> float | None:
    """Return the frames/s that a video parameter set (VPS, H.265 only) says, or None; raises SpsError."""
    if codec != "H265" or not 2 < len(nal) <= MAX_SPS_BYTES or nal[0] >> 1 & 0x3F != 32:
        raise SpsError(f"not a video parameter set of {codec}")
    return read_h265_vps(Bits(nal[2:]))


def _read_h264(bits: Bits) -> Picture:
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level
    bits.ue()  # id
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        planes_apart = chroma == 3 and bits.u(1)
        bits.ue()  # luma depth
        bits.ue()  # chroma depth
        bits.u(1)
        if bits.u(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
        if planes_apart:
            chroma = 0
    bits.ue()  # log2_max_frame_num
    _skip_order_count(bits)
    bits.ue()  # reference frames
    bits.u(1)
    width = (bits.ue() + 1) * 16
    rows = bits.ue() + 1
    frames_only = bits.u(1)
    if not frames_only:
        bits.u(1)
    height = rows * 16 * (2 - frames_only)
    bits.u(1)
    wider, higher = read_cropping(bits, chroma)
    return Picture(width - wider, height - higher * (2 - frames_only), _h264_fps(bits) if bits.u(1) else None)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _index in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order_count(bits: Bits) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        count = bits.ue()
        if count > 255:
            raise SpsError(f"{count} reference frames in an order count cycle")
        for _index in range(count):
            bits.se()


def _h264_fps(bits: Bits) -> float | None:
    """Read the video usability information up to its timing; frames/s, or None."""
    try:
        skip_to_chroma_end(bits)
        if not bits.u(1):
            return None
        units, scale = bits.u(32), bits.u(32)
    except SpsError:
        return None  # cut short after the size: the size still holds
    # Two ticks are one frame: the clock counts fields.
    return rate(2 * units, scale)
