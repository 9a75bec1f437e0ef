# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Bits of an H.264 or H.265 parameter set, and the picture it describes. What cannot be right is refused.

Python's standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SIDE_PX = 16_384
MAX_FPS = 1000.0

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


class Bits:
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


def read_cropping(bits: Bits, chroma: int) -> tuple[int, int]:
    """Return by how many pixels the decoded picture is wider and higher than the one to be shown; 0 when it is not."""
    if not bits.u(1):
        return 0, 0
    left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    return (left + right) * (2 if chroma in (1, 2) else 1), (top + bottom) * (2 if chroma == 1 else 1)


def skip_to_chroma_end(bits: Bits) -> None:
    """Skip the beginning of the usability information (VUI), alike in H.264 (E.1.1) and H.265 (E.2.1)."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):
        bits.u(1)  # overscan
    if bits.u(1):
        bits.u(4)  # video format, range
        if bits.u(1):
            bits.u(24)  # colour description
    if bits.u(1):
        bits.ue(), bits.ue()  # chroma sample location


def rate(units: int, scale: int) -> float | None:
    """Return frames/s of a clock with `scale` ticks a second and `units` ticks a frame; None where no camera has it."""
    fps = scale / units if units else 0.0
    return fps if 0 < fps <= MAX_FPS else None
