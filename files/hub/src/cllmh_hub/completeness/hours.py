"""Statements and holdings, joined hour by hour."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cllmh_hub.completeness.holdings import HOUR, Holdings
from cllmh_hub.completeness.ranges import Range, count, without
from cllmh_hub.completeness.records import name_of
from cllmh_hub.completeness.statements import NodeStatements, Span, Statements
from cllmh_hub.contract.completeness import HourState, IdsAnswer, NodeHourAnswer

MAX_RANGES = 1000
"""Ranges that an hour lists; the counts are of all."""


class Hours:
    """The hours of `site`, which has `nodes`, as they are known at `now`; before `kept_since` lines are deleted."""

    def __init__(self, site: str, nodes: Sequence[str], now: datetime, kept_since: datetime | None) -> None:
        self._site = site
        self._nodes = nodes
        self._now = now
        self._kept_since = kept_since

    def rows(self, span: Span, stated: Statements, held: Holdings) -> list[NodeHourAnswer]:
        """Return the hours of each node that is configured or was found, in order."""
        only = self._nodes[0] if len(self._nodes) == 1 else None
        stating = {host_id: node for node, own in stated.by_node.items() for host_id in own.host_ids()}
        names = {
            host_id: stating.get(host_id) or holding.node or only or host_id
            for host_id, holding in held.by_host.items()
        }
        rows = []
        for node in sorted({*stated.by_node, *names.values()}):
            own = stated.by_node.get(node) or NodeStatements()
            hosts = sorted({*own.host_ids(), *(host_id for host_id, name in names.items() if name == node)})
            rows += [self._row(node, hour, hosts, own, held) for hour in span.hours() if hour < self._now]
        return rows

    def _row(
        self, node: str, hour: datetime, hosts: Sequence[str], own: NodeStatements, held: Holdings
    ) -> NodeHourAnswer:
        ids = own.ids(hour)
        missing = {host_id: without(ranges, held.ids(host_id)) for host_id, ranges in ids.items()}
        of_hosts = [(host_id, held.by_host[host_id]) for host_id in hosts if host_id in held.by_host]
        stated, missing_count = (sum(count(ranges) for ranges in found.values()) for found in (ids, missing))
        received = sum(holding.received.get(hour, 0) for _, holding in of_hosts)
        return NodeHourAnswer(
            site=self._site,
            node=node,
            hour=hour,
            state=self._state(hour, own, missing_count),
            stated=stated,
            stored=stated - missing_count,
            ids=_shown(ids),
            missing=_shown(missing),
            missing_count=missing_count,
            doubled=_shown({host: list(holding.doubled.get(hour, ())) for host, holding in of_hosts}),
            doubled_count=sum(holding.doubled_lines.get(hour, 0) for _, holding in of_hosts),
            unstated=max(0, received - (stated - missing_count)),
        )

    def _state(self, hour: datetime, own: NodeStatements, missing_count: int) -> HourState:
        if missing_count:
            return "expired" if self._kept_since and hour < self._kept_since else "missing"
        if own.covers(hour, hour + HOUR):
            return "complete"
        return "unproven" if own.newest and own.newest >= hour + HOUR else "open"


def _shown(found: dict[str, list[Range]]) -> list[IdsAnswer]:
    return list(_first_ranges(found))[:MAX_RANGES]


def _first_ranges(found: dict[str, list[Range]]) -> Iterator[IdsAnswer]:
    for host_id, ranges in found.items():
        for first, last in ranges[:MAX_RANGES]:
            yield IdsAnswer(first=name_of(host_id, first), last=name_of(host_id, last), count=last - first + 1)
