"""The proof: what the nodes state that they took, against what the store has."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cllmh_hub.completeness.holdings import HOUR, Holdings, hour_of
from cllmh_hub.completeness.hours import Hours
from cllmh_hub.completeness.pages import Pages
from cllmh_hub.completeness.ranges import TooScatteredError, without
from cllmh_hub.completeness.records import Statement
from cllmh_hub.completeness.statements import Span, Statements
from cllmh_hub.contract.completeness import CompletenessAnswer
from cllmh_hub.errors import ApiError

_AROUND = timedelta(hours=1)
"""The time under which a line is stored is at most so much before or after its receipt, but for the journal's."""

_AFTER = timedelta(hours=6)
"""Statements are read at least so far behind the span: one that was made after the clock was set back adds to it."""

_DAY = timedelta(days=1)
_REQUEST_S = 40  # the gateway waits for 60 s


def prove(
    pages: Pages, nodes: Sequence[str], span: Span, *, now: datetime, budget_s: float | None = None
) -> CompletenessAnswer:
    """Return each hour of `span` of each node of the pages' site, as the store has it now.

    After `budget_s` of reading lines, and when one hour is whole, the answer ends before its span does and says where
    to go on. Raises ApiError when the store cannot be asked, when one hour takes longer than a request may, or when ids
    come from no counter.
    """
    try:
        return _Proof(pages, nodes, now).of(span, budget_s)
    except TooScatteredError as error:
        raise ApiError(502, "ids_scattered", f"Nothing can be proved for site {pages.site}: {error}.") from error


class _Proof:
    def __init__(self, pages: Pages, nodes: Sequence[str], now: datetime) -> None:
        self._pages = pages
        self._nodes = nodes
        self._now = now
        self._unreadable = 0
        self._held = Holdings()

    def of(self, span: Span, budget_s: float | None) -> CompletenessAnswer:
        stated = self._statements(span)
        end = max([span.until + _AROUND, *(at + _AROUND for at in _last_times(stated))])
        read_to = self._read(span.since - _AROUND, end, budget_s)
        until = span.until if read_to >= end else min(span.until, hour_of(read_to - _AROUND))
        if until <= span.since:
            raise ApiError(
                504, "too_many_lines", "One hour's lines cannot be read in time; use `cllmh-hub logs complete`."
            )
        self._look_for_late_lines(stated, Span(span.since, until))
        hours = Hours(self._pages.site, self._nodes, self._now, self._pages.kept_since(self._now))
        return CompletenessAnswer(
            items=hours.rows(Span(span.since, until), stated, self._held),
            unreadable=self._unreadable,
            asked_at=self._now,
            next=until if until < span.until else None,
        )

    def _statements(self, span: Span) -> Statements:
        """Read the statements about the span, of which the last may have come long after it."""
        stated = Statements(span, self._nodes)
        start, end = span.since, self._now + _AROUND
        while start < end and not (stated.are_whole() and start > span.until + _AFTER):
            for found in self._pages.statements(start, min(end, start + HOUR)):
                stated.add(statement for statement in found if statement)
                self._unreadable += found.count(None)
            start += HOUR
        return stated

    def _read(self, start: datetime, end: datetime, budget_s: float | None) -> datetime:
        """Read the lines of [start, end); return how far that came."""
        began = time.monotonic()
        enough = start + _AROUND + HOUR + _AROUND
        for page in self._pages.lines(start, end):
            self._held.add(page.lines)
            self._unreadable += page.unreadable
            if budget_s is not None:
                taken_s = time.monotonic() - began
                if taken_s > _REQUEST_S or (taken_s > budget_s and page.read_to >= enough):
                    return page.read_to
        return end

    def _look_for_late_lines(self, stated: Statements, span: Span) -> None:
        """Look for what is missing among the lines whose own time is long before their receipt, day by day."""
        end = span.since - _AROUND
        while True:
            lacking = [item for item in self._lacking(stated, span) if item.first_at and item.first_at < end]
            if not lacking:
                return
            oldest = min(item.first_at for item in lacking if item.first_at)
            start = max(oldest, end - _DAY)
            received = list(dict.fromkeys(Span.around(item.start, item.end) for item in lacking))
            for page in self._pages.lines(start, end, received):
                self._held.add(page.lines)
            end = start

    def _lacking(self, stated: Statements, span: Span) -> Iterator[Statement]:
        for node in stated.by_node.values():
            for hour in span.hours():
                for statement in node.by_hour.get(hour, ()):
                    if any(without(sorted(ids), self._held.ids(host)) for host, ids in statement.ids.items()):
                        yield statement


def _last_times(stated: Statements) -> Iterator[datetime]:
    for node in stated.by_node.values():
        for statements in node.by_hour.values():
            yield from (statement.last_at for statement in statements if statement.last_at)
