"""Which part of the picture counts."""

from collections.abc import Sequence

import cv2
import numpy as np

from cllmh_node.motion.luma import Mask

Polygon = Sequence[tuple[float, float]]
"""Corners as [x, y], each 0..1 of the picture's width and height from its upper left."""


def watched(shape: tuple[int, ...], zones: Sequence[Polygon], masks: Sequence[Polygon]) -> Mask:
    """Return 1 where something counts: inside a zone (everywhere when there is none) and outside all masks."""
    inside = _filled(shape, zones) if zones else np.ones(shape, np.uint8)
    return np.asarray(inside & (1 - _filled(shape, masks)), np.uint8)


def _filled(shape: tuple[int, ...], polygons: Sequence[Polygon]) -> Mask:
    picture = np.zeros(shape, np.uint8)
    for polygon in polygons:
        corners = np.array(polygon, np.float64) * (shape[1], shape[0])
        cv2.fillPoly(picture, [np.floor(np.minimum(corners, (shape[1] - 1, shape[0] - 1))).astype(np.int32)], 1)
    return picture
