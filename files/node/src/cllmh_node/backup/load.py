"""How much is done at a time, by the CPU's load: each a pure function, load in (percent), whole number out.

Up to `CALM_PERCENT` the value is the best one; from there it goes straight to the worst one at 100 %. So each is
monotone and bounded, whatever the load is said to be.
"""

import os
from dataclasses import dataclass

import psutil

CALM_PERCENT = 60.0
"""A CPU that is used less has enough to spare: to record a channel takes about 1 % of a core."""

MEASURED_S = 0.1
"""How long the load is looked at, in seconds."""

CHANNELS_CALM, CHANNELS_LOADED = 32, 4
PROCESSES_CALM, PROCESSES_LOADED = 16, 2
"""Of each core."""
PAUSE_CALM_S, PAUSE_LOADED_S = 1, 15
RETRIES_DEFAULT, RETRIES_LOADED = 3, 2
"""Retries of a calm CPU, and so many times as many of a loaded one."""


def cpu_load(measured_s: float = MEASURED_S) -> float:
    """Look at the CPU for a moment and return its load, all cores together, 0 to 100."""
    return float(psutil.cpu_percent(interval=measured_s))


def retry_delay(load: float) -> int:
    """Seconds between two attempts, and between two batches: 1 to 15, longer the higher the load."""
    return _between(load, PAUSE_CALM_S, PAUSE_LOADED_S)


def concurrency_limit(load: float) -> int:
    """Channels of a batch, 32 to 4: fewer the higher the load."""
    return _between(load, CHANNELS_CALM, CHANNELS_LOADED)


def max_workers(load: float, cores: int | None = None) -> int:
    """Processes that record at a time, 16 to 2 of each core: fewer the higher the load."""
    cores = max(1, cores or len(os.sched_getaffinity(0)))
    return _between(load, PROCESSES_CALM * cores, PROCESSES_LOADED * cores)


def max_retries(load: float, calm: int = RETRIES_DEFAULT) -> int:
    """How often a channel is tried again, `calm` to twice that: more often the higher the load, which may be why."""
    return _between(load, calm, RETRIES_LOADED * calm)


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The values that a batch goes by, and the load (percent) that they come from."""

    load_percent: float
    retry_delay_s: int
    concurrency_limit: int
    max_workers: int
    max_retries: int

    @classmethod
    def of(cls, load: float, calm_retries: int = RETRIES_DEFAULT) -> "Dynamic":
        """Return the values of a load."""
        return cls(load, retry_delay(load), concurrency_limit(load), max_workers(load), max_retries(load, calm_retries))

    @property
    def at_a_time(self) -> int:
        """Channels that are recorded at a time."""
        return min(self.concurrency_limit, self.max_workers)


def _between(load: float, calm: int, loaded: int) -> int:
    """Go from `calm` at `CALM_PERCENT` and less to `loaded` at 100 % and more; what is no number counts as loaded."""
    share = min(1.0, max(0.0, (load - CALM_PERCENT) / (100.0 - CALM_PERCENT))) if load == load else 1.0
    return round(calm + (loaded - calm) * share)
