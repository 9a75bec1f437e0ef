# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""H.265 parameter sets: size and frame rate of an SPS, frame rate of a VPS.

Source: ITU-T H.265 (08/2021) 7.3.2.1 (VPS), 7.3.2.2 (SPS), 7.3.3 (profile), 7.3.4, 7.3.7 and E.2.1 (VUI).
Python's standard library only.
"""

from __future__ import annotations

from .bits import Bits, Picture, SpsError, rate, read_cropping, skip_to_chroma_end

_MAX_REFERENCE_SETS = 64
_MAX_REFERENCES = 16


def read_h265_vps(bits: Bits) -> float | None:
    """Return the frames/s of a video parameter set, or None where it carries no timing."""
    bits.u(4 + 1 + 1 + 6)  # id, base layer flags, layers
    sub_layers = bits.u(3)
    bits.u(1 + 16)
    _skip_profile(bits, sub_layers)
    _skip_ordering(bits, sub_layers)
    last_layer = bits.u(6)
    sets = bits.ue()
    if sets > 1023:
        raise SpsError(f"{sets} layer sets")
    bits.u(sets * (last_layer + 1))
    return rate(bits.u(32), bits.u(32)) if bits.u(1) else None


def read_h265_sps(bits: Bits) -> Picture:
    """Return the picture of a sequence parameter set."""
    bits.u(4)  # video parameter set
    sub_layers = bits.u(3)
    bits.u(1)
    _skip_profile(bits, sub_layers)
    bits.ue()  # id
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    wider, higher = read_cropping(bits, chroma)
    try:
        fps = _fps(bits, sub_layers)
    except SpsError:
        fps = None  # cut short after the size, or more than is read here: the size still holds
    return Picture(width - wider, height - higher, fps)


def _skip_profile(bits: Bits, sub_layers: int) -> None:
    bits.u(88 + 8)  # general profile, general level
    present = [(bits.u(1), bits.u(1)) for _index in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)


def _skip_ordering(bits: Bits, sub_layers: int) -> None:
    for _index in range(sub_layers + 1 if bits.u(1) else 1):
        bits.ue(), bits.ue(), bits.ue()


def _fps(bits: Bits, sub_layers: int) -> float | None:
    """Read on from the bit depths to the timing of the usability information."""
    bits.ue(), bits.ue()  # bit depths
    order_bits = bits.ue() + 4
    _skip_ordering(bits, sub_layers)
    for _index in range(6):
        bits.ue()  # sizes of blocks and transforms
    if bits.u(1) and bits.u(1):
        _skip_scaling_lists(bits)
    bits.u(2)
    if bits.u(1):  # PCM
        bits.u(8)
        bits.ue(), bits.ue()
        bits.u(1)
    _skip_reference_sets(bits)
    if bits.u(1):
        for _index in range(_bounded(bits.ue(), 32)):
            bits.u(order_bits + 1)
    bits.u(2)
    return _vui_fps(bits) if bits.u(1) else None


def _skip_scaling_lists(bits: Bits) -> None:
    for size in range(4):
        for _index in range(0, 6, 3 if size == 3 else 1):
            if not bits.u(1):
                bits.ue()
                continue
            if size > 1:
                bits.se()
            for _index in range(min(64, 1 << (4 + (size << 1)))):
                bits.se()


def _skip_reference_sets(bits: Bits) -> None:
    """Skip the short-term reference picture sets, of which each may be written as a change of the one before."""
    count = 0
    for index in range(_bounded(bits.ue(), _MAX_REFERENCE_SETS)):
        if index and bits.u(1):
            bits.u(1)
            bits.ue()
            kept = 0
            for _index in range(count + 1):
                kept += bits.u(1) or bits.u(1)
            count = _bounded(kept, _MAX_REFERENCES)
        else:
            count = _bounded(bits.ue() + bits.ue(), _MAX_REFERENCES)
            for _index in range(count):
                bits.ue()
                bits.u(1)


def _vui_fps(bits: Bits) -> float | None:
    skip_to_chroma_end(bits)
    bits.u(3)
    if bits.u(1):
        for _index in range(4):
            bits.ue()  # default display window
    return rate(bits.u(32), bits.u(32)) if bits.u(1) else None


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise SpsError(f"{count} where at most {most} are allowed")
    return count
