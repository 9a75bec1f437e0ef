"""Ask Loki what it has: only what a query returns has arrived."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

PAGE = 5000
"""`loki_max_query_lines` of the role."""

TIMEOUT_S = 120


def lines(url: str, tenant: str, query: str, start_ns: int, end_ns: int) -> Iterator[tuple[int, str, str]]:
    """Yield time (ns), id and text of every stored line in [start, end), oldest first, each stored line once.

    A page begins with the time at which the one before it ended, since several lines may share it; those of that time
    that were seen are passed over. A line whose id was seen with another time or text is yielded again: it is doubled.
    """
    seen: set[tuple[int, str, str]] = set()
    while True:
        page = sorted(
            (int(at), metadata["structuredMetadata"].get("id", ""), text)
            for stream in _asked(url, tenant, query, start_ns, end_ns)
            for at, text, metadata in stream["values"]
        )
        fresh = [line for line in page if line not in seen]
        yield from fresh
        if len(page) < PAGE:
            return
        if not fresh:
            raise RuntimeError(f"more than {PAGE} lines of {tenant} have the time {page[0][0]}")
        start_ns = page[-1][0]
        seen = {line for line in page if line[0] == start_ns}


def newest(url: str, tenant: str, query: str, start_ns: int, end_ns: int, limit: int) -> list[str]:
    """Return the texts of the newest lines, at most `limit`."""
    asked = _asked(url, tenant, query, start_ns, end_ns, limit=limit, direction="backward")
    return [text for stream in asked for _, text, _ in stream["values"]]


def count(url: str, tenants: str, query: str, seconds: int, at: float | None = None) -> int:
    """Return how many lines of the `seconds` before a time (now, unless told) match."""
    asked = {"query": f"sum(count_over_time({query}[{seconds}s]))"} | ({} if at is None else {"time": f"{at:.3f}"})
    answer = _get(f"{url}/loki/api/v1/query?{urllib.parse.urlencode(asked)}", tenants)
    return sum(int(series["value"][1]) for series in answer["data"]["result"])


def metric(url: str, name: str, tenant: str = "") -> float:
    """Return the sum of one of Loki's own counters (for a tenant, or for all); 0 where it was never counted."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=TIMEOUT_S) as answer:
        rows = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines()]
    wanted = f'tenant="{tenant}"' if tenant else ""
    return sum(float(row[1]) for row in rows if row[0].split("{")[0] == name and wanted in row[0])


def _asked(
    url: str, tenant: str, query: str, start_ns: int, end_ns: int, *, limit: int = PAGE, direction: str = "forward"
) -> list[dict[str, Any]]:
    asked = {"query": query, "start": start_ns, "end": end_ns, "limit": limit, "direction": direction}
    answer = _get(f"{url}/loki/api/v1/query_range?{urllib.parse.urlencode(asked)}", tenant)
    return list(answer["data"]["result"])


def _get(url: str, tenants: str) -> dict[str, Any]:
    # Else each line with an id of its own would be a stream of its own in the answer.
    headers = {"X-Scope-OrgID": tenants, "X-Loki-Response-Encoding-Flags": "categorize-labels"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:
        return dict(json.loads(answer.read()))
