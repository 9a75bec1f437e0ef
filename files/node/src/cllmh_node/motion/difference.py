"""What is different: against the background, and between two frames."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from cllmh_node.motion.background import Background
from cllmh_node.motion.luma import Luma, Mask

LIGHT_SHARE = 0.5
"""Where more than this part of the picture differs at once, the light has changed (or the camera was moved)."""

LIT_SHARE = 0.1
"""Where more than this part differs, a lamp may have done it: local brightness is taken out and it is seen again. A
change of light that leaves more than this is told from what moves only when it is over."""

_CLOSE = np.ones((3, 3), np.uint8)
_NEAR_PX = 8
_CLEARLY = 1.5  # somebody who stands before a lively wall must not be taken for a ghost
_LIGHT_PX = 12.0  # what light changes is smoother than this (standard deviation of a Gaussian), what walks is not


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two pictures differ by more than noise."""

    blobs: Mask
    """The connected areas that are large enough."""

    pixels: Mask
    """Every pixel that differs."""

    score: float
    """Part of the picture that the largest area covers, 0..1."""

    is_light_change: bool
    """Whether nearly everything differs."""

    shift: float
    """By how much the whole picture got brighter or darker, in grey levels."""


def against_background(
    background: Background, luma: Luma, *, sigmas: float, min_area: float, within: Mask | None = None
) -> Difference:
    """Compare a frame with the background.

    A pixel differs when it is more than `sigmas` of its own noise away; an area counts from the part `min_area`
    (0..1) of the picture on, and only `within` this part of it. A change of brightness common to all pixels is taken
    out first.
    """
    return _compare(luma, background.mean, sigmas * background.sigma, min_area, within)


def between_frames(
    earlier: Luma, later: Luma, background: Background, *, sigmas: float, min_area: float, within: Mask | None = None
) -> Difference:
    """Compare two frames of the same GOP: only what moves shows, and it shows where it was and where it is."""
    return _compare(later, earlier, sigmas * background.sigma, min_area, within)


def near(blobs: Mask) -> Mask:
    """Return the blobs with their surroundings, where what made them can have come from."""
    return np.asarray(cv2.dilate(blobs, np.ones((2 * _NEAR_PX + 1,) * 2, np.uint8)), np.uint8)


def areas(blobs: Mask) -> list[Mask]:
    """Return each connected area of the blobs as a mask of its own."""
    count, labels = cv2.connectedComponents(blobs, connectivity=8)
    return [(labels == label).astype(np.uint8) for label in range(1, count)]


def is_ghost(background: Background, luma: Luma, blobs: Mask) -> bool:
    """Whether the blobs are places that something has left, which the background still shows.

    The outline tells: where something stands the picture has edges along it, where it is gone the background has.
    """
    outline = cv2.morphologyEx(blobs, cv2.MORPH_GRADIENT, _CLOSE) > 0
    if not outline.any():
        return False
    return float(_edges(background.mean)[outline].mean()) > _CLEARLY * float(_edges(luma)[outline].mean())


def _edges(luma: Luma) -> Luma:
    """Return how steep the picture is at each pixel."""
    return cast(Luma, cv2.magnitude(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)))


def _compare(luma: Luma, reference: Luma, threshold: Luma, min_area: float, within: Mask | None) -> Difference:
    difference = luma - reference
    shift = float(np.median(difference))
    difference -= shift
    pixels = np.abs(difference) > threshold
    share = float(pixels.mean())
    is_light_change = False
    if share > LIT_SHARE:
        lit = np.abs(luma - reference * _light(luma, reference)) > threshold
        rest = float(lit.mean())
        is_light_change = share > LIGHT_SHARE and rest > LIT_SHARE
        if rest < share:
            pixels = lit
    marked = pixels.astype(np.uint8)
    if within is not None:
        marked &= within
    closed = cv2.morphologyEx(marked, cv2.MORPH_CLOSE, _CLOSE)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA] / closed.size
    areas[0] = 0.0  # label 0 is what does not differ
    large = areas >= min_area
    blobs = large[labels].astype(np.uint8) if count > 1 else np.zeros_like(marked)
    return Difference(blobs, marked, float(areas.max()), is_light_change, abs(shift))


def _light(luma: Luma, reference: Luma) -> Luma:
    """Return by how much each place is lit more than in the reference."""
    seen, known = (cv2.GaussianBlur(picture, (0, 0), _LIGHT_PX) for picture in (luma, reference))
    return cast(Luma, seen / np.maximum(known, 1.0))
