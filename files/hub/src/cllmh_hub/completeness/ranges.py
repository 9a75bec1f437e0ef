"""Sets of ids as sorted ranges: memory grows with the holes, not with the lines."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

MAX_RANGES = 1_000_000
"""Ranges of one host id that are kept, about 200 MB; what is more scattered does not come from a counter."""

Range = tuple[int, int]
"""First and last number, both included."""


class TooScatteredError(Exception):
    """The numbers do not come from a counter; the text says how many ranges they made."""


class Found:
    """Numbers that were seen one by one."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def __iter__(self) -> Iterator[Range]:
        """Yield the ranges in order."""
        return zip(self._first, self._last, strict=True)

    def add(self, number: int) -> bool:
        """Add a number; return False when it was there. Raise TooScatteredError at the limit."""
        right = bisect_right(self._first, number)
        left = right - 1
        if left >= 0 and number <= self._last[left]:
            return False
        joins_left = left >= 0 and self._last[left] == number - 1
        joins_right = right < len(self._first) and self._first[right] == number + 1
        if joins_left and joins_right:
            self._last[left] = self._last[right]
            del self._first[right], self._last[right]
        elif joins_left:
            self._last[left] = number
        elif joins_right:
            self._first[right] = number
        elif len(self._first) < MAX_RANGES:
            self._first.insert(right, number)
            self._last.insert(right, number)
        else:
            raise TooScatteredError(f"its ids are scattered over more than {MAX_RANGES} ranges")
        return True


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in order, those that overlap or touch as one."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """Return what of `ranges` is not in `taken`; both are in order and do not overlap."""
    result: list[Range] = []
    others = iter(taken)
    other = next(others, None)
    for first, last in ranges:
        while other is not None and other[1] < first:
            other = next(others, None)
        while other is not None and other[0] <= last:
            if first < other[0]:
                result.append((first, other[0] - 1))
            first = other[1] + 1
            if other[1] > last:
                break
            other = next(others, None)
        if first <= last:
            result.append((first, last))
    return result


def count(ranges: Iterable[Range]) -> int:
    """Return how many numbers the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)
