"""Times of one camera's rows: they never overlap and never run backwards, whatever the node's clock does."""

import math
import time

LONGEST_HOLD_S = 3600.0
"""A clock that was set back by more than this was plainly wrong: times then begin anew, in seconds."""

STEP_S = 1.0
"""The two clocks drift apart by less than this in a second, unless one was set."""


class TimeLine:
    """Says when a row may begin.

    After the clock was set back, times that are on the line already come once more. What is recorded then is put
    right behind the last row, until the clock has caught up: nothing is left out, and no time has two clips.
    """

    def __init__(self, end: float | None = None) -> None:
        """`end`: unix time up to which an earlier run has rows."""
        self._end = end if end is not None else -math.inf

    def at(self, moment: float) -> float:
        """Return the unix time under which what happened at the unix time `moment` is put down."""
        if self._end - moment > LONGEST_HOLD_S:
            self._end = moment
        if moment >= self._end:
            return moment
        return math.ceil(self._end * 1000) / 1000  # as precise as a file's name, and not before the end

    def passed(self, end: float) -> None:
        """Say that there are rows up to the unix time `end`."""
        self._end = max(self._end, end)


class StepDetector:
    """Notices that the node's clock was set, or that the node slept."""

    def __init__(self) -> None:
        self._offset_s = self._offset()

    def step_s(self) -> float:
        """Return by how much the clock has stepped since the last call, in seconds; 0 when it only drifted."""
        before, self._offset_s = self._offset_s, self._offset()
        step_s = self._offset_s - before
        return step_s if abs(step_s) >= STEP_S else 0.0

    def _offset(self) -> float:
        return time.time() - time.monotonic()
