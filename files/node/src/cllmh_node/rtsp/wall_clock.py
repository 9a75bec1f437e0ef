"""From a stream's time stamps to wall clock time."""

JUMP_S = 10.0
"""A difference above this is a step of one of the two clocks, not a delay."""

_EARLY_WEIGHT = 0.05
_LATE_WEIGHT = 0.0005


class WallClock:
    """Says when a frame was taken, from its time stamp and the time it arrived.

    Arrival times jitter, time stamps do not but drift and start anywhere. So the time stamps are shifted by the least
    delay seen: a frame that comes earlier than expected corrects the shift soon, a late one hardly (at 25 frames/s
    a drift of 1 % is still followed).
    """

    def __init__(self, stream_s: float, arrived_at: float) -> None:
        """Start with a frame that was not delayed: its time stamp in seconds, and the unix time it arrived."""
        self._shift_s = arrived_at - stream_s

    def at(self, stream_s: float) -> float:
        """Return the unix time of a time stamp."""
        return stream_s + self._shift_s

    def observe(self, stream_s: float, arrived_at: float) -> None:
        """Learn from a frame that arrived at a unix time."""
        lag_s = arrived_at - self.at(stream_s)
        if abs(lag_s) > JUMP_S:
            self._shift_s += lag_s
        else:
            self._shift_s += lag_s * (_EARLY_WEIGHT if lag_s < 0 else _LATE_WEIGHT)
