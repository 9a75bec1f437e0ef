"""The door's counters, for Prometheus."""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from cllmh_hub.log_door.batch import Outcome


class Counters:
    """What went through the door, by store and site; `registry` is what Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._stored = Counter(
            "cllmh_log_door_lines_stored",
            "Lines that a store has taken, those sent again included.",
            ["store", "site"],
            registry=self.registry,
        )
        self._dead_letters = Counter(
            "cllmh_log_door_dead_letters",
            "Lines that no store will ever take, archived.",
            ["store", "site", "cause"],
            registry=self.registry,
        )
        self._kept_back = Counter(
            "cllmh_log_door_batches_kept_back",
            "Batches that the node was told to keep and to send again.",
            ["store", "site", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cllmh_log_door_batch_seconds",
            "From a batch to its answer.",
            ["store"],
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
            registry=self.registry,
        )

    def done(self, store: str, site: str, outcome: Outcome, seconds: float) -> None:
        """Count a batch that was answered with 204."""
        self._stored.labels(store, site).inc(outcome.stored)
        for cause, number in Tally(letter.cause for letter in outcome.dead_letters).items():
            self._dead_letters.labels(store, site, cause).inc(number)
        self._seconds.labels(store).observe(seconds)

    def kept_back(self, store: str, site: str, status: int) -> None:
        """Count a batch that the node has to send again."""
        self._kept_back.labels(store, site, str(status)).inc()
