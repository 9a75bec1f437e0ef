"""One camera's gaps: opened once, closed once, whatever is tried in between."""

from dataclasses import replace

from cllmh_node.clips.index import GapCause, GapRow
from cllmh_node.recorder.ledger import Ledger


class GapBook:
    """At most one open gap of one camera."""

    def __init__(self, camera: str, ledger: Ledger, left_open: GapRow | None = None) -> None:
        """`left_open`: the gap that an earlier run could not close; it lasts."""
        self._camera = camera
        self._ledger = ledger
        self._open = left_open

    @property
    def opened_at(self) -> float | None:
        """Unix time at which the open gap began, None when there is none."""
        return None if self._open is None else self._open.start

    def open(self, cause: GapCause, at: float, *, switched_at: float | None = None) -> bool:
        """Say that there is nothing to record since `at`, and why; return False when that is known already.

        A loss that goes on with another error is the same gap. Only where a person has to do something else about it
        (the recorder runs again but the camera does not answer; the password is refused) a gap with the new cause
        follows, from `switched_at` on.
        """
        if self._open is not None:
            if not _differs(self._open.cause, cause):
                return False
            at = max(at if switched_at is None else switched_at, self._open.start)
            self.close(at)
        self._open = GapRow(self._camera, at, None, cause)
        self._ledger.gap_opened(self._open)
        return True

    def close(self, at: float) -> float | None:
        """Say that recording is possible again; return how long the gap was in seconds, None when there was none."""
        if self._open is None:
            return None
        closed = replace(self._open, end=max(at, self._open.start))
        self._open = None
        self._ledger.gap_closed(closed)
        assert closed.end is not None
        return closed.end - closed.start


def _differs(known: str, new: GapCause) -> bool:
    return known != new and not {known, new}.isdisjoint({"restart", "auth_failed", "clock"})
