"""What the sizes of encoded frames tell between two keyframes, without decoding any.

Encoders code what moves: while somebody passes, the frames between the keyframes grow. In a quiet, well-lit scene that
shows who came and went within one GOP, whom no keyframe saw. Noise in the dark hides it, and so does an encoder that
keeps to its bit rate: a surge is a reason to look, its absence proves nothing.
"""

from collections import deque

WINDOW_S = 0.3
"""Frames of so many seconds are taken together: single ones vary."""

DEVIATIONS = 6.0
"""A surge is so many mean deviations above the usual peak of a quiet GOP..."""

LEAST_SHARE = 0.25
"""... and at least this part of it."""

MEMORY_GOPS = 32
"""What is usual is a running mean of about so many GOPs."""

LEARNING_GOPS = 6
"""GOPs before anything is a surge."""

MOST_PAUSE = 16
"""Where surges were nothing again and again, one GOP of so many is looked at, at the most."""


class SurgeGauge:
    """Follows the frame sizes of one camera."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._window: deque[tuple[float, int]] = deque()
        self._peak = 0.0
        self._usual = 0.0
        self._deviation = 0.0
        self._gops = 0
        self._pause = 0
        self._next_pause = 1

    def take(self, size_bytes: int, at: float) -> None:
        """Take a frame that is no keyframe, of the unix time `at`."""
        window = self._window
        window.append((at, size_bytes))
        while abs(at - window[0][0]) >= WINDOW_S:  # frames with B-frames among them, or a clock, may go back a little
            window.popleft()
        if len(window) > 1:
            self._peak = max(self._peak, sum(size for _, size in window) / len(window))

    def is_surge(self) -> bool:
        """Whether the GOP that ended here had a surge that is worth a look."""
        if self._gops < LEARNING_GOPS:
            return False
        is_surge = self._peak > self._usual + max(DEVIATIONS * self._deviation, LEAST_SHARE * self._usual)
        if is_surge and self._pause > 0:
            self._pause -= 1
            return False
        return is_surge

    def was_nothing(self) -> None:
        """The surge was looked at, and nothing was there: the next ones are looked at less often."""
        self._pause = self._next_pause
        self._next_pause = min(2 * self._next_pause, MOST_PAUSE)

    def was_motion(self) -> None:
        """The surge was looked at, and it was motion: sizes can be trusted here."""
        self._next_pause = 1

    def end_gop(self, *, is_quiet: bool) -> None:
        """A keyframe ends the GOP; a quiet one says what is usual."""
        if is_quiet and self._peak > 0:
            share = 1.0 / min(self._gops + 1, MEMORY_GOPS)
            if self._gops:
                self._deviation += share * (abs(self._peak - self._usual) - self._deviation)
            self._usual += share * (self._peak - self._usual)
            self._gops += 1
        self._window.clear()
        self._peak = 0.0
