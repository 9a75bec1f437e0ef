"""Reading all lines of a site from Loki, page by page."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cllmh_hub.completeness.pages import Page
from cllmh_hub.completeness.records import STATEMENT, NumberedLine, Statement
from cllmh_hub.completeness.statements import Span
from cllmh_hub.errors import ApiError
from cllmh_hub.loki import Entry, Loki, nanoseconds, quote

_SLOT_NS = 3_600_000_000_000  # a question about more would make Loki open chunks whose lines do not fit on the page
_DIGITS = "0123456789abcdef"
_ID_DIGITS = 16
_MANY_HOURS = 48  # of which the days make a shorter expression
_DURATION = re.compile(r"(\d+)(y|w|d|h|ms|m|s)")
_SECONDS = {"y": 365 * 86400, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


class LokiPages:
    """The lines of `site`; a page has at most `limit` lines, Loki's own limit when None. See `Pages`."""

    def __init__(self, loki: Loki, site: str, limit: int | None = None) -> None:
        self.site = site
        self._loki = loki
        self._limits = loki.limits()
        self._limit = limit or int(self._limits.get("max_entries_limit_per_query") or 5000)

    def kept_since(self, now: datetime) -> datetime | None:
        """Return when lines were received of which Loki has not begun to delete the first; None when it keeps all."""
        periods = [self._limits.get("retention_period")]
        periods += [stream["period"] for stream in self._limits.get("retention_stream") or []]
        kept = [age for period in periods if (age := _duration(period))]
        return now - min(kept) if kept else None

    def lines(self, start: datetime, end: datetime, received: Sequence[Span] = ()) -> Iterator[Page]:
        """Yield each numbered line of [start, end); see `Pages`."""
        beginnings = "|".join(sorted({beginning for span in received for beginning in _beginnings(span)}))
        where = f'| rcv=~"(?:{beginnings}).*" ' if received else ""
        # Of the line itself nothing is needed; few labels make few streams, and the answer a tenth as large.
        query = f'{self._selector()} | id!="" {where}| line_format "{{{{.id}}}} {{{{.rcv}}}} {{{{.host}}}}"'
        for entries, read_to_ns in self._all(query, nanoseconds(start), nanoseconds(end)):
            lines = [
                line for entry in entries if (line := NumberedLine.parse(entry.text, entry.labels.get("kind", "")))
            ]
            yield Page(lines, len(entries) - len(lines), datetime.fromtimestamp(read_to_ns // 10**9, UTC))

    def statements(self, start: datetime, end: datetime) -> Iterator[list[Statement | None]]:
        """Yield the nodes' statements of [start, end); see `Pages`."""
        query = (
            f'{self._selector("node")} |= {quote(STATEMENT)} | id!="" | line_format "{{{{.host}}}} {{{{__line__}}}}"'
        )
        for entries, _ in self._all(query, nanoseconds(start), nanoseconds(end)):
            texts = [entry.text.partition(" ") for entry in entries]
            yield [Statement.parse(host, text) for host, _, text in texts if text.startswith(STATEMENT)]

    def _selector(self, kind: str | None = None) -> str:
        kinds = f", kind={quote(kind)}" if kind else ""
        return f'{{job="cctv", site={quote(self.site)}{kinds}}}'

    def _all(self, query: str, start_ns: int, end_ns: int) -> Iterator[tuple[list[Entry], int]]:
        """Yield the entries of [start, end), oldest first, and up to when all are read.

        Loki's pages end at a number of lines, in the middle of those of one nanosecond: the next page begins with that
        nanosecond again, and what was there already is left out.
        """
        while start_ns < end_ns:
            slot_ns = min(end_ns, start_ns + _SLOT_NS)
            seen: set[tuple[int, str, str, str]] = set()
            while start_ns < slot_ns:
                found = self._ask(query, start_ns, slot_ns)
                new = [entry for entry in found if not seen or _key(entry) not in seen]
                if len(found) < self._limit:
                    yield new, slot_ns
                    start_ns = slot_ns
                elif found[-1].at_ns > start_ns:
                    start_ns = found[-1].at_ns
                    yield new, start_ns
                    seen = {_key(entry) for entry in found if entry.at_ns == start_ns}
                else:
                    for part in self._one_nanosecond(query, start_ns, ""):
                        yield [entry for entry in part if _key(entry) not in seen], start_ns
                    start_ns += 1
                    seen = set()

    def _one_nanosecond(self, query: str, at_ns: int, ending: str) -> Iterator[list[Entry]]:
        """Yield all entries of a nanosecond that has more than a page, by the last digits of their ids."""
        for digit in _DIGITS:
            tail = digit + ending
            by_tail = query.replace(' | id!=""', f' | id=~"(?s).*{tail}"', 1)
            found = self._ask(by_tail, at_ns, at_ns + 1)
            if len(found) < self._limit or len(tail) == _ID_DIGITS:
                yield found
            else:
                yield from self._one_nanosecond(query, at_ns, tail)

    def _ask(self, query: str, start_ns: int, end_ns: int) -> list[Entry]:
        return self._loki.entries(
            f"{query} | keep kind, severity",
            tenants=[self.site],
            start_ns=start_ns,
            end_ns=end_ns,
            limit=self._limit,
            direction="forward",
        )


def _beginnings(received: Span) -> list[str]:
    """Return how `rcv` begins in the lines of a span."""
    hours = received.hours()
    if len(hours) < _MANY_HOURS:
        return [f"{hour:%Y-%m-%dT%H}" for hour in hours]
    return sorted({f"{hour:%Y-%m-%d}" for hour in hours})


def _key(entry: Entry) -> tuple[int, str, str, str]:
    return entry.at_ns, entry.text, entry.labels.get("severity", ""), entry.labels.get("kind", "")


def _duration(text: Any) -> timedelta | None:
    """Return a duration as Loki writes it (`30d`, `1w3d12h`); None for 0. Raise ApiError for what is none."""
    parts = _DURATION.findall(str(text or "0s"))
    if "".join(number + unit for number, unit in parts) != str(text or "0s"):
        raise ApiError(502, "loki_failed", f"The log store's configuration has a retention of {text!r}.")
    return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts)) or None
