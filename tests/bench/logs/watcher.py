"""How long a line takes from its emission until a query finds it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass, field

from bench.logs import loki
from bench.logs.emitters import LINE, Emitter

EVERY_S = 0.05
TOGETHER = 2000
"""More lines than syslog-ng takes at once."""


@dataclass
class Watcher(threading.Thread):
    """Asks for the newest line of an emitter again and again; lines of a source arrive in their order."""

    url: str
    tenant: str
    query: str
    emitter: Emitter
    seen: list[tuple[float, int]] = field(default_factory=list)
    """When (time.time) the line with this number was first found, and with it all before it."""

    def __post_init__(self) -> None:
        super().__init__(name=f"watch {self.tenant}", daemon=True)
        self._ended = threading.Event()
        self._began_ns = time.time_ns()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Ask until `end` is called."""
        took_s = 0.0
        while not self._ended.wait(max(EVERY_S, took_s)):
            asked_ns = time.time_ns()
            # A minute back, so that a query costs the same at each rate.
            since_ns = max(self._began_ns, asked_ns - 60 * 10**9)
            with contextlib.suppress(OSError):
                # Lines read at once share a microsecond; of the last ones all of it has to be looked at.
                limit = 1 if self.emitter.is_alive() else TOGETHER
                texts = loki.newest(self.url, self.tenant, self.query, since_ns, asked_ns + 10**9, limit)
                number = max((int(found[2]) for text in texts if (found := LINE.match(text))), default=-1)
                if number > (self.seen[-1][1] if self.seen else -1):
                    self.seen.append((time.time(), number))
            took_s = (time.time_ns() - asked_ns) / 1e9

    def wait_for(self, number: int, seconds: float) -> bool:
        """Wait until this line was found; say whether it was."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.seen and self.seen[-1][1] >= number:
                return True
            time.sleep(EVERY_S)
        return False

    def end(self) -> None:
        """Stop asking."""
        self._ended.set()
        self.join(30)

    def delays_s(self, since: float = 0, until: float = math.inf) -> list[float]:
        """Return for each line found, and emitted between these times, how long that took, sorted."""
        delays: list[float] = []
        finds = iter(self.seen)
        found = next(finds, None)
        for at, first, end in self.emitter.written:
            for number in range(first, end):
                while found is not None and found[1] < number:
                    found = next(finds, None)
                if found is None:
                    return sorted(delays)
                if since <= at < until:
                    delays.append(found[0] - at)
        return sorted(delays)


def share(values: list[float], part: float) -> float | None:
    """Return the value that this part (0..1) of the sorted values does not exceed; None of none."""
    return values[min(len(values) - 1, int(len(values) * part))] if values else None
