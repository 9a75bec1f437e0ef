"""What gives way when there is too much to do: how many keyframes are looked at, and never a packet."""

LATE_S = 2.0
"""Frames that are so old when they are processed show that the process cannot keep up, in seconds."""

IN_TIME_S = 0.5
"""Frames no older than this show that it can, in seconds."""

BUSY = 0.5
"""A process that uses less of a core than this is not the reason when frames are late: then the network is."""

MOST_SKIPPED = 16
"""At the most every so many-th keyframe is looked at."""

_LATE_TICKS = 3
_CALM_TICKS = 20


class OverloadRule:
    """Says that every n-th keyframe is to be looked at, 1 for all; asked once a second.

    It goes up fast, since a DVR that cannot send gives the session up, and down slowly, so that it does not swing.
    """

    def __init__(self) -> None:
        self.stride = 1
        """Every so many-th keyframe is looked at."""
        self._late = self._calm = 0

    def judge(self, lags_s: list[float], busy: float) -> int:
        """Return the stride for the next second.

        `lags_s`: how late each camera's latest frame was, in seconds; one camera alone does not count.
        `busy`: CPU seconds that the process has used in the last second.
        """
        lag_s = sorted(lags_s)[len(lags_s) // 2] if lags_s else 0.0
        self._late = self._late + 1 if lag_s >= LATE_S and busy >= BUSY else 0
        self._calm = self._calm + 1 if lag_s <= IN_TIME_S else 0
        if self._late >= _LATE_TICKS:
            self.stride = min(MOST_SKIPPED, self.stride * 2)
            self._late = 0
        elif self._calm >= _CALM_TICKS:
            self.stride = max(1, self.stride // 2)
            self._calm = 0
        return self.stride
