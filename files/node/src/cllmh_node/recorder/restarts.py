"""How soon a process that ended is started again."""

import time

LONGEST_DELAY_S = 2.0
"""A process that ends again and again is started no faster than this, in seconds."""

_SETTLED_S = 10.0


class Restarts:
    """Counts how often a process ended soon after its start."""

    def __init__(self) -> None:
        self._failures = 0
        self.start_at = 0.0
        """Monotonic time before which it is not started again, in seconds."""

    def ended(self, started_at: float) -> None:
        """Say that it ended by itself; it was started at a monotonic time."""
        now = time.monotonic()
        self._failures = 1 if now - started_at > _SETTLED_S else self._failures + 1
        # The first time at once: the cameras wait.
        self.start_at = now + (
            0.0 if self._failures == 1 else min(LONGEST_DELAY_S, 0.25 * 2.0 ** min(self._failures, 8))
        )
