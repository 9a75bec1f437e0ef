"""What the nodes of a site stated about one span."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cllmh_hub.completeness.holdings import HOUR, hour_of
from cllmh_hub.completeness.ranges import Range, TooScatteredError, joined
from cllmh_hub.completeness.records import Statement

_MAX_STATED_RANGES = 2_000_000
"""Of one question, about 300 MB."""


@dataclass(frozen=True, slots=True)
class Span:
    """Whole hours of receipt, [since, until)."""

    since: datetime
    until: datetime

    @classmethod
    def around(cls, since: datetime, until: datetime) -> Self:
        """Return the hours that hold [since, until)."""
        return cls(hour_of(since.astimezone(UTC)), hour_of(until.astimezone(UTC) + HOUR - timedelta(microseconds=1)))

    def hours(self) -> list[datetime]:
        """Return the beginning of each hour."""
        return [self.since + HOUR * index for index in range((self.until - self.since) // HOUR)]


class NodeStatements:
    """One node's statements. A statement over several hours, in which the node was off, counts in its last one."""

    def __init__(self) -> None:
        self.by_hour: dict[datetime, list[Statement]] = defaultdict(list)
        self.newest: datetime | None = None
        """End of the latest one."""
        self._parts: dict[tuple[datetime, datetime, int], set[int]] = defaultdict(set)
        self._covered: list[tuple[datetime, datetime]] = []

    def add(self, statement: Statement, span: Span) -> int:
        """Add a statement; return how many ranges it keeps in memory."""
        self.newest = max(self.newest or statement.end, statement.end)
        hour = hour_of(statement.end - timedelta(microseconds=1))
        if statement.end <= span.since or statement.start >= span.until:
            return 0
        parts = self._parts[statement.start, statement.end, statement.parts]
        parts.add(statement.part)
        if len(parts) == statement.parts:
            self._cover(statement.start, statement.end)
        if not span.since <= hour < span.until:
            return 0
        self.by_hour[hour].append(statement)
        return sum(len(ranges) for ranges in statement.ids.values())

    def covers(self, start: datetime, end: datetime) -> bool:
        """Return whether complete statements say what was taken in all of [start, end)."""
        return any(first <= start and end <= last for first, last in self._covered)

    def ids(self, hour: datetime) -> dict[str, list[Range]]:
        """Return the stated ranges of an hour by host id, in order."""
        found: dict[str, list[Range]] = defaultdict(list)
        for statement in self.by_hour.get(hour, ()):
            for host_id, ranges in statement.ids.items():
                found[host_id] += ranges
        return {host_id: joined(found[host_id]) for host_id in sorted(found)}

    def host_ids(self) -> set[str]:
        """Return the host ids that the statements name."""
        return {host for statements in self.by_hour.values() for statement in statements for host in statement.ids}

    def _cover(self, start: datetime, end: datetime) -> None:
        result: list[tuple[datetime, datetime]] = []
        for first, last in sorted([*self._covered, (start, end)]):
            if result and first <= result[-1][1]:
                result[-1] = (result[-1][0], max(result[-1][1], last))
            else:
                result.append((first, last))
        self._covered = result


class Statements:
    """The statements of all nodes of a site about `span`."""

    def __init__(self, span: Span, nodes: Iterable[str]) -> None:
        self.span = span
        self.by_node: dict[str, NodeStatements] = {node: NodeStatements() for node in nodes}
        self._ranges = 0

    def add(self, statements: Iterable[Statement]) -> None:
        """Add statements; raise TooScatteredError when they are more than fit in memory."""
        for statement in statements:
            self._ranges += self.by_node.setdefault(statement.node, NodeStatements()).add(statement, self.span)
            if self._ranges > _MAX_STATED_RANGES:
                raise TooScatteredError(f"its statements have more than {_MAX_STATED_RANGES} ranges, ask for less time")

    def are_whole(self) -> bool:
        """Return whether nothing that is still to be read could add to them, but for a clock that was set back."""
        return all(node.covers(self.span.since, self.span.until) for node in self.by_node.values())
