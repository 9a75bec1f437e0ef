"""One camera's spans: the time in which the recorder does what the camera's mode asks for."""

from cllmh_node.clips.index import Mode, SpanRow
from cllmh_node.recorder.ledger import Ledger


class SpanBook:
    """At most one open span of one camera. Its row is put down every few seconds by the housekeeper, and at its end."""

    def __init__(self, camera: str, ledger: Ledger) -> None:
        self._camera = camera
        self._ledger = ledger
        self.row: SpanRow | None = None
        """The open span as of now; replaced as a whole, so that other threads may read it."""

    def move_on(self, at: float, mode: Mode) -> None:
        """Say that all is as it should be at the unix time `at`."""
        row = self.row
        if row is not None and row.mode != mode:
            self.end(at)
            row = None
        start = at if row is None else row.start
        self.row = SpanRow(self._camera, start, max(start, at), mode)

    def end(self, at: float | None = None) -> float | None:
        """End the span, at the unix time `at` where given; return when it ended, None when there was none."""
        row, self.row = self.row, None
        if row is None:
            return None
        end = row.end if at is None else max(row.start, at)
        self._ledger.spans([SpanRow(row.camera, row.start, end, row.mode)])
        return end
