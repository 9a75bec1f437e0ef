# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Read the picture size and frame rate out of an H.264 or H.265 sequence parameter set (SPS).

Sources: ITU-T H.264 (08/2021) 7.3.2.1.1 and E.1.1; ITU-T H.265 (08/2021) 7.3.2.2 and 7.3.3.
The bytes come from a network device: every read is bounded, and what cannot be right is refused.
Python's standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SPS_BYTES = 4096
MAX_SIDE_PX = 16_384
MAX_FPS = 1000.0

# Profiles whose SPS carries the chroma format and scaling lists (H.264 7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255


class SpsError(ValueError):
    """The bytes are not a parameter set that can be right."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What an SPS says: size in pixels after cropping, and frames/s where it carries timing."""

    width: int
    height: int
    fps: float | None = None

    def __post_init__(self) -> None:
        """Refuse sizes no camera has."""
        if not (0 < self.width <= MAX_SIDE_PX and 0 < self.height <= MAX_SIDE_PX):
            raise SpsError(f"a picture of {self.width}x{self.height}")


class _Bits:
    """Reads bits, most significant first; raises SpsError at the end of the data."""

    def __init__(self, data: bytes) -> None:
        """Take the payload with its emulation prevention bytes (00 00 03) removed."""
        raw = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(raw, "big")
        self._left = len(raw) * 8

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        if count > self._left:
            raise SpsError("it ends too early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number of at most 32 bits (H.264 9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise SpsError("a number of more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def read_sps(codec: str, nal: bytes) -> Picture:
    """Return the picture of an SPS NAL unit, its header included; `codec` is `H264` or `H265`."""
    if len(nal) > MAX_SPS_BYTES:
        raise SpsError(f"{len(nal)} bytes, more than {MAX_SPS_BYTES}")
    if codec == "H264" and nal and nal[0] & 0x1F == 7:
        return _read_h264(_Bits(nal[1:]))
    if codec == "H265" and len(nal) > 2 and nal[0] >> 1 & 0x3F == 33:
        return _read_h265(_Bits(nal[2:]))
    raise SpsError(f"not a sequence parameter set of {codec}")


def _read_h264(bits: _Bits) -> Picture:
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
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - frames_only)
    return Picture(width, height, _h264_fps(bits) if bits.u(1) else None)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order_count(bits: _Bits) -> None:
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
        for _ in range(count):
            bits.se()


def _h264_fps(bits: _Bits) -> float | None:
    """Read the video usability information up to its timing; frames/s, or None."""
    try:
        if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
            bits.u(32)
        if bits.u(1):
            bits.u(1)  # overscan
        if bits.u(1):
            bits.u(4)  # video format, range
            if bits.u(1):
                bits.u(24)  # colour description
        if bits.u(1):
            bits.ue()  # chroma sample location
            bits.ue()
        if not bits.u(1):
            return None
        units, scale = bits.u(32), bits.u(32)
    except SpsError:
        return None  # cut short after the size: the size still holds
    # Two ticks are one frame: the clock counts fields.
    fps = scale / (2 * units) if units else 0.0
    return fps if 0 < fps <= MAX_FPS else None


def _read_h265(bits: _Bits) -> Picture:
    bits.u(4)  # video parameter set
    layers = bits.u(3)
    bits.u(1)
    bits.u(88)  # general profile
    bits.u(8)  # general level
    present = [(bits.u(1), bits.u(1)) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    bits.ue()  # id
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    return Picture(width, height)
