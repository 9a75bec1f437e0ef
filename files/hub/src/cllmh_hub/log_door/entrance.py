"""One store's entrance: every batch ends in the store, in the archive or back at the node."""

import logging
import threading
import time

from cllmh_hub import log
from cllmh_hub.log_door.batch import Outcome, Store, StoreBusyError
from cllmh_hub.log_door.counters import Counters
from cllmh_hub.log_door.dead_letters import DeadLetters

# A site whose lines are all bad shall not fill the journal.
_SAY_EVERY_S = 60
_logger = logging.getLogger(__name__)


class Entrance:
    """Lets at most `batches` at once to the store."""

    def __init__(self, store: Store, dead_letters: DeadLetters, counters: Counters, *, batches: int) -> None:
        self.store = store
        self._dead_letters = dead_letters
        self._counters = counters
        self._places = threading.BoundedSemaphore(batches)
        self._lock = threading.Lock()
        self._busy_since: float | None = None
        self._silent_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def take(self, site: str, body: bytes) -> None:
        """Store the batch; raise StoreBusyError when the node shall keep it."""
        begin = time.monotonic()
        try:
            outcome = self._put(site, body)
        except StoreBusyError as error:
            self._counters.kept_back(self.store.name, site, error.status)
            self._note_busy(error)
            raise
        self._note_well()
        self._counters.done(self.store.name, site, outcome, time.monotonic() - begin)

    def _put(self, site: str, body: bytes) -> Outcome:
        if not self._places.acquire(blocking=False):
            raise StoreBusyError("too many batches wait for it", status=429, retry_after_s=1)
        try:
            outcome = self.store.put(site, body)
        finally:
            self._places.release()
        if outcome.dead_letters:
            self._archive(site, outcome)
        return outcome

    def _archive(self, site: str, outcome: Outcome) -> None:
        letters = outcome.dead_letters
        try:
            path = self._dead_letters.add(site, self.store.name, letters)
        except OSError as error:
            raise StoreBusyError(f"{len(letters)} lines for the archive cannot be written: {error}") from error
        with self._lock:
            lines = self._unsaid.pop(site, 0) + len(letters)
            if time.monotonic() < self._silent_until.get(site, 0):
                self._unsaid[site] = lines
                return
            self._silent_until[site] = time.monotonic() + _SAY_EVERY_S
        log.event(
            _logger,
            "log_lines_archived",
            level=logging.WARNING,
            site=site,
            store=self.store.name,
            lines=lines,
            path=path,
            cause=letters[0].cause,
            reason=letters[0].reason,
        )

    def _note_busy(self, error: StoreBusyError) -> None:
        """Say once that the store does not take lines, not once a batch."""
        with self._lock:
            if self._busy_since is not None:
                return
            self._busy_since = time.monotonic()
        log.event(_logger, "log_store_busy", level=logging.ERROR, store=self.store.name, text=str(error))

    def _note_well(self) -> None:
        with self._lock:
            if self._busy_since is None:
                return
            seconds = time.monotonic() - self._busy_since
            self._busy_since = None
        log.event(_logger, "log_store_takes_again", store=self.store.name, seconds=seconds)
