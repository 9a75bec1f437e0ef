"""A track's time stamps, mended: they run on, whatever the camera's own clock does."""

JUMP_S = 2.0
"""A step forwards that is so much longer than the time that has passed is a jump of the camera's clock."""

REORDER_S = 1.0
"""B-frames are shown up to so much before what was sent earlier; a step back by more is a jump."""

STUCK_S = 1.0
"""Time stamps that do not move for so long tell nothing: the time of arrival is taken."""


class StampLine:
    """Places packets on one line that never jumps: after a jump it goes on where the time of arrival says.

    All in ticks of the track, arrival in seconds of the monotonic clock.
    """

    def __init__(self, tick_s: float, frame_ticks: int) -> None:
        """`frame_ticks`: the usual distance of two packets."""
        self._tick_s = tick_s
        self._frame_ticks = frame_ticks
        self._shift = 0
        self._high: int | None = None  # the latest stamp, as the camera gave it
        self._arrived_s = 0.0
        self._moved_s = 0.0  # when the camera's stamps moved
        self._placed_s = 0.0  # when the line moved

    def place(self, pts: int, arrived_s: float) -> int:
        """Return where a packet's stamp is on the line."""
        if self._high is None:
            self._high = pts
            self._arrived_s = self._moved_s = self._placed_s = arrived_s
            return pts
        passed_s = arrived_s - self._arrived_s
        step_s = (pts - self._high) * self._tick_s
        if step_s > passed_s + JUMP_S or step_s < -REORDER_S:
            self._go_on(pts, passed_s)
            self._moved_s = self._placed_s = arrived_s
        elif pts > self._high:
            self._high = pts
            self._moved_s = self._placed_s = arrived_s
        elif pts == self._high and arrived_s - self._moved_s > STUCK_S:
            self._go_on(pts, arrived_s - self._placed_s)
            self._placed_s = arrived_s
        self._arrived_s = arrived_s
        return pts + self._shift

    @property
    def shift(self) -> int:
        """By how many ticks the camera's stamps are moved at present."""
        return self._shift

    def _go_on(self, pts: int, passed_s: float) -> None:
        """Let the stamp `pts` follow the latest one after `passed_s`, at least after one frame."""
        assert self._high is not None
        self._shift += self._high - pts + max(self._frame_ticks, round(passed_s / self._tick_s))
        self._high = pts
