"""The scene as it looks when nothing happens, and how much each of its pixels flickers."""

from dataclasses import dataclass, replace

import numpy as np

from cllmh_node.motion.luma import Luma, Mask

FIRST_SIGMA = 5.0
"""Noise assumed of a pixel that was seen once, in grey levels: much, so that learning gives no alarm."""

LEAST_SIGMA = 1.2
"""Noise is never taken as less, in grey levels: a dark, clean picture still has the encoder's steps."""

MEMORY_S = 20.0
"""How fast the background follows slow changes such as daylight: the time constant in seconds."""


SETTLED_FRAMES = 8
"""So many frames are kept whole at the beginning. Their median is the scene without those who walk through it."""

_MAD_TO_SIGMA = 1.4826  # for normally distributed noise


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
        """Noise of each pixel, in grey levels."""
        return np.sqrt(np.maximum(self.variance, LEAST_SIGMA**2))


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
    difference = luma - background.mean
    mean = background.mean + weights * difference
    variance = background.variance + weights * (difference * (luma - mean) - background.variance)
    return replace(background, mean=mean, variance=variance)


def refresh(background: Background, luma: Luma, where: Mask) -> Background:
    """Return the background with the present picture taken over where `where` is set, the noise kept."""
    return replace(background, mean=np.where(where > 0, luma, background.mean))
