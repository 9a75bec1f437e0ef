"""The scene as it looks when nothing happens, and how much each of its pixels flickers."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cllmh_node.motion.luma import Luma, Mask

FIRST_SIGMA = 5.0
"""Noise assumed of a pixel that was seen once, in grey levels: much, so that learning gives no alarm."""

LEAST_SIGMA = 1.2
"""Noise is never taken as less, in grey levels: a dark, clean picture still has the encoder's steps."""

MEMORY_S = 20.0
"""How fast the background follows slow changes such as daylight: the time constant in seconds."""

NOISE_MEMORY_S = 60.0
"""How long a pixel's flicker is remembered: the time constant in seconds. Gusts are minutes, not seconds, apart."""

SETTLED_FRAMES = 8
"""So many frames are kept whole at the beginning. Their median is the scene without those who walk through it."""

SETTLE_EVERY_S = 0.9
"""These first frames are at least so far apart, in seconds."""

_MAD_TO_SIGMA = 1.4826  # for normally distributed noise
_MOST_GROWTH = 4.0  # of variance that one difference can show: one who passes must not make his path blind


@dataclass(frozen=True, slots=True)
class Background:
    """What is known of the scene."""

    mean: Luma
    variance: Luma
    samples: tuple[Luma, ...]
    """The first frames, until there are enough of them."""

    @classmethod
    def first(cls, luma: Luma) -> "Background":
        """Begin with one frame."""
        return cls(luma.copy(), np.full_like(luma, FIRST_SIGMA**2), (luma,))

    @property
    def is_settled(self) -> bool:
        """Whether the first frames are over."""
        return not self.samples

    @property
    def sigma(self) -> Luma:
        """Noise of each pixel, in grey levels; what swings beside it can swing into it."""
        return np.sqrt(np.maximum(cv2.dilate(self.variance, np.ones((3, 3), np.uint8)), LEAST_SIGMA**2))


def settle(background: Background, luma: Luma) -> Background:
    """Return the background after one more of the first frames, foreground or not."""
    samples = (*background.samples, luma)
    stack = np.stack(samples)
    mean = np.median(stack, axis=0).astype(np.float32)
    spread = np.median(np.abs(stack - mean), axis=0).astype(np.float32)
    variance = np.maximum((_MAD_TO_SIGMA * spread) ** 2, np.float32(FIRST_SIGMA**2 / len(samples)))
    return Background(mean, variance, samples if len(samples) < SETTLED_FRAMES else ())


def learn(background: Background, luma: Luma, foreground: Mask, elapsed_s: float) -> Background:
    """Return the background after a frame that came `elapsed_s` after the last; foreground pixels are not learned."""
    weights = np.where(foreground > 0, np.float32(0), np.float32(1.0 - np.exp(-elapsed_s / MEMORY_S)))
    return replace(background, mean=background.mean + weights * (luma - background.mean))


def learn_noise(background: Background, earlier: Luma, later: Luma, elapsed_s: float) -> Background:
    """Return the background after two looks that followed each other, foreground or not.

    Noise is half the mean square of successive differences (von Neumann, 1941): what drifts slowly or stands there
    does not count, what comes back again and again does, such as a branch, rain, or the digits of a clock.
    """
    difference = later - earlier
    difference -= np.median(difference)
    variance = np.maximum(background.variance, np.float32(LEAST_SIGMA**2))
    seen = np.minimum(difference**2 / 2, _MOST_GROWTH * variance)
    weight = np.float32(1.0 - np.exp(-elapsed_s / NOISE_MEMORY_S))
    return replace(background, variance=background.variance + weight * (seen - background.variance))


def refresh(background: Background, luma: Luma, where: Mask) -> Background:
    """Return the background with the present picture taken over where `where` is set, the noise kept."""
    return replace(background, mean=np.where(where > 0, luma, background.mean))
