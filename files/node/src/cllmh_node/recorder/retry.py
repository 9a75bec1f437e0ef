"""How long to wait before something that failed is tried again."""

HEALTHY_S = 30.0
"""A session that lasted so long starts the back-off anew."""


def retry_delay_s(failures: int, jitter: float, *, first_s: float = 1.0, longest_s: float = 30.0) -> float:
    """Return how long to wait after `failures` failures in a row (1 and up); `jitter` is in 0..1.

    Doubling from `first_s` to `longest_s`, and between half of that and all of it, so that the sessions to a DVR that
    comes back do not all knock at once.
    """
    doubled: float = first_s * 2.0 ** min(failures - 1, 10)
    return min(longest_s, doubled) * (0.5 + 0.5 * jitter)
