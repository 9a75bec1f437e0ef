"""From a decoded frame to the small luma picture that motion is seen in."""

from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.float32]
"""A picture: rows x columns, 0..255."""

Mask = npt.NDArray[np.uint8]
"""Of a picture's shape: 1 where something is, else 0."""

WIDTH_PX = 160
"""Width of the small picture. A person of 1/10 of the picture's height is still some ten pixels tall in it."""

MAX_HEIGHT_PX = 320
"""A picture more than twice as tall as wide is squeezed: its memory must not grow with what a camera claims."""

_LUMA_FIRST = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})


def small_luma(frame: av.VideoFrame) -> Luma:
    """Return the frame's luma, 160 pixels wide.

    Averaged over areas: that divides the sensor's noise, while taking the nearest pixel would keep all of it.
    """
    if frame.format.name not in _LUMA_FIRST:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    picture = rows[: frame.height, : frame.width]  # lines are padded
    height = min(max(1, round(WIDTH_PX * frame.height / frame.width)), MAX_HEIGHT_PX)
    small = cv2.resize(picture, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return cast(Luma, cv2.GaussianBlur(small.astype(np.float32), (3, 3), 0))
