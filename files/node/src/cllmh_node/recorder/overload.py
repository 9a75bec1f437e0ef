"""What gives way when there is too much to do: how many keyframes are looked at, and never a packet."""

from collections import deque
from itertools import islice
from statistics import fmean

LATE_S = 2.0
"""Frames that are so old when they are processed show that the process cannot keep up, in seconds."""

IN_TIME_S = 0.5
"""Frames no older than this show that it can, in seconds."""

BUSY = 0.5
"""A process that uses less of a core than this is not the reason when frames are late: then the network is."""

MOST_SKIPPED = 16
"""At the most every so many-th keyframe is looked at."""

CALM_S = 20
"""So long frames must be in time before more is looked at again, in seconds."""

LONGEST_CALM_S = 640
"""Where looking at more was too much soon after, twice as long the next time, up to this, in seconds."""

RISING_S = 0.2
"""Frames that are so much later than seconds ago are not only so by chance, in seconds."""

_AVERAGED = 3
_COMPARED = 12


class OverloadRule:
    """Says that every n-th keyframe is to be looked at, 1 for all; asked once a second.

    It goes up while frames get later and later: fast, since a DVR that cannot send gives the session up. What has piled
    up takes time to be worked off, so late frames that become less late are no reason to go further. Down it goes
    slowly, and ever more slowly where that was wrong.
    """

    def __init__(self) -> None:
        self.stride = 1
        """Every so many-th keyframe is looked at."""
        self._late: deque[float] = deque(maxlen=_COMPARED)
        """The latest lags since frames are late, or since the last step."""
        self._calm = 0
        self._calm_s = CALM_S
        self._since_lowered = LONGEST_CALM_S

    def judge(self, lags_s: list[float], busy: float) -> int:
        """Return the stride for the next second.

        `lags_s`: how late each camera's latest frame was, in seconds; one camera alone does not count.
        `busy`: CPU seconds that the process has used in the last second.
        """
        lag_s = sorted(lags_s)[len(lags_s) // 2] if lags_s else 0.0
        if lag_s >= LATE_S and busy >= BUSY:
            self._late.append(lag_s)
        else:
            self._late.clear()
        self._calm = self._calm + 1 if lag_s <= IN_TIME_S else 0
        self._since_lowered += 1
        if self._gets_no_better():
            self._raise()
        elif self._calm >= self._calm_s:
            self._lower()
        return self.stride

    def _gets_no_better(self) -> bool:
        """Whether frames are late and clearly get later, or are no less late than ten seconds ago."""
        if len(self._late) <= _AVERAGED:
            return False
        before, now = islice(self._late, _AVERAGED), islice(reversed(self._late), _AVERAGED)
        return fmean(now) - fmean(before) >= (0.0 if len(self._late) == _COMPARED else RISING_S)

    def _raise(self) -> None:
        self.stride = min(MOST_SKIPPED, self.stride * 2)
        self._late.clear()
        is_again = self._since_lowered < LONGEST_CALM_S
        self._calm_s = min(LONGEST_CALM_S, self._calm_s * 2) if is_again else CALM_S
        self._since_lowered = LONGEST_CALM_S

    def _lower(self) -> None:
        if self.stride > 1:
            self._since_lowered = 0
        self.stride = max(1, self.stride // 2)
        self._calm = 0
