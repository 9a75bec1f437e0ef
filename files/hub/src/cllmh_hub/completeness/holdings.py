"""What was found in the store, by the host id of the node's syslog-ng."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cllmh_hub.completeness.ranges import Found, TooScatteredError
from cllmh_hub.completeness.records import NumberedLine

HOUR = timedelta(hours=1)
_MAX_HOST_IDS = 1000


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


@dataclass(slots=True)
class Holding:
    """The lines of one host id; hours are those of their receipt."""

    node: str | None = None
    """The node's name, which its own lines tell."""
    ids: Found = field(default_factory=Found)
    doubled: dict[datetime, Found] = field(default_factory=dict)
    doubled_lines: dict[datetime, int] = field(default_factory=dict)
    received: dict[datetime, int] = field(default_factory=dict)
    """How many ids each hour has."""


class Holdings:
    """All lines of a site that were found, in whatever order."""

    def __init__(self) -> None:
        self.by_host: dict[str, Holding] = {}

    def add(self, lines: Iterable[NumberedLine]) -> None:
        """Add lines, each once; raise TooScatteredError when their ids do not come from counters."""
        for line in lines:
            holding = self.by_host.get(line.host_id)
            if holding is None:
                if len(self.by_host) >= _MAX_HOST_IDS:
                    raise TooScatteredError(f"its ids are of more than {_MAX_HOST_IDS} host ids")
                holding = self.by_host[line.host_id] = Holding()
            if line.kind == "node" and holding.node is None:
                holding.node = line.host
            hour = hour_of(line.received)
            if holding.ids.add(line.number):
                holding.received[hour] = holding.received.get(hour, 0) + 1
            else:
                holding.doubled.setdefault(hour, Found()).add(line.number)
                holding.doubled_lines[hour] = holding.doubled_lines.get(hour, 0) + 1

    def ids(self, host_id: str) -> Iterable[tuple[int, int]]:
        """Return the ranges that were found of a host id."""
        holding = self.by_host.get(host_id)
        return holding.ids if holding else ()
