"""`cllmh-hub logs complete`: the proof on the command line, one site after the other."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cllmh_hub.completeness.proof import prove
from cllmh_hub.completeness.statements import Span
from cllmh_hub.completeness.stores import STORES, pages_of
from cllmh_hub.config import HubConfig, Site
from cllmh_hub.config_file import ConfigError, load_config
from cllmh_hub.contract.completeness import CompletenessAnswer, NodeHourAnswer
from cllmh_hub.contract.times import iso_ms
from cllmh_hub.errors import ApiError
from cllmh_hub.loki import Loki
from cllmh_hub.services import utc_now

EXIT_OK = 0
EXIT_INCOMPLETE = 1
EXIT_STORE = 3

_AGO = re.compile(r"(\d{1,6})(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}
_HEAD = ("site", "node", "hour (UTC)", "stated", "stored", "state", "ids")
_SHOWN_RANGES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    for option, default, which in (("--since", "24h", "first"), ("--until", "0min", "last")):
        parser.add_argument(
            option,
            type=_moment,
            default=default,
            metavar="TIME",
            help=f"the {which} hour: ISO 8601 (UTC where it names no zone) or an age such as 90min, 12h, 7d "
            "(default: %(default)s)",
        )
    parser.add_argument("--site", action="append", default=[], metavar="NAME", help="only this site (repeatable)")
    parser.add_argument("--node", action="append", default=[], metavar="NAME", help="only this node (repeatable)")
    parser.add_argument("--store", choices=STORES, default=STORES[0], help="who is asked (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for each node and hour")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the proof; raise ConfigError when it cannot be asked for."""
    config = load_config(args.config, HubConfig)
    sites = _chosen(config, args)
    now = utc_now()
    if args.since >= min(args.until, now):
        raise ConfigError(f"--since {iso_ms(args.since)}: must be before --until and before now")
    span = Span.around(args.since, min(args.until, now))
    loki = Loki(str(config.loki_url))
    code = EXIT_OK
    table = _Table(sites)
    for site in sites:
        nodes = [node.name for node in site.nodes]
        try:
            with pages_of(args.store, site, config, loki) as pages:
                answer = prove(pages, nodes, span, now=now)
        except ApiError as error:
            sys.stderr.write(f"{site.name}: {error.message}\n")
            return EXIT_STORE
        items = [item for item in answer.items if not args.node or item.node in args.node]
        if any(item.state == "missing" or item.doubled_count for item in items):
            code = EXIT_INCOMPLETE
        for line in (item.model_dump_json() for item in items) if args.json else table.lines(answer, items):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return code


def _moment(text: str) -> datetime:
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither ISO 8601 such as 2026-11-22T03:00:00Z nor an age such as 90min, 12h or 7d"
        ) from None


def _chosen(config: HubConfig, args: argparse.Namespace) -> list[Site]:
    """Return the sites that are asked for; raise ConfigError for a name that is not in the configuration."""
    nodes = {node.name: site.name for site, node in config.nodes()}
    for option, names, known in (("--site", args.site, [s.name for s in config.sites]), ("--node", args.node, nodes)):
        for name in names:
            if name not in known:
                raise ConfigError(f"{option}: {name}: is not in {args.config}, which has: {', '.join(known)}")
    wanted = set(args.site) or {site.name for site in config.sites}
    if args.node:
        wanted &= {nodes[name] for name in args.node}
    return [site for site in config.sites if site.name in wanted]


class _Table:
    """Rows as people read them; columns are as wide as the configuration's names need."""

    def __init__(self, sites: Sequence[Site]) -> None:
        names = [site.name for site in sites], [node.name for site in sites for node in site.nodes]
        self._widths = [max(8, *(len(name) for name in column), 0) for column in names]
        self._head: str | None = self._row(*_HEAD)

    def lines(self, answer: CompletenessAnswer, items: Sequence[NodeHourAnswer]) -> Iterator[str]:
        """Yield the lines of one site."""
        if self._head:
            yield self._head
            self._head = None
        for item in items:
            hour = f"{item.hour:%Y-%m-%d %H}:00"
            ids = ", ".join(f"{part.first} to {_number(part.last)}" for part in item.ids[:_SHOWN_RANGES])
            more = f" and {len(item.ids) - _SHOWN_RANGES} more ranges" if len(item.ids) > _SHOWN_RANGES else ""
            yield self._row(
                item.site, item.node, hour, str(item.stated), str(item.stored), item.state, (ids or "-") + more
            )
            yield from (f"    {text}" for text in _remarks(item))
        if answer.unreadable:
            yield f"{answer.unreadable} lines with an id or statement that no node of ours writes"

    def _row(self, *cells: str) -> str:
        widths = (*self._widths, 16, 8, 8, 8, 1)
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def _remarks(item: NodeHourAnswer) -> Iterator[str]:
    for what, ranges, total in (
        ("missing", item.missing, item.missing_count),
        ("doubled", item.doubled, item.doubled_count),
    ):
        for part in ranges:
            yield f"{what} {part.first} to {_number(part.last)} ({part.count})"
        if what == "missing" and (hidden := total - sum(part.count for part in ranges)):
            yield f"missing {hidden} more, in ranges that are not shown"
    if item.unstated:
        yield f"{item.unstated} more lines are stored that the node did not state"


def _number(name: str) -> str:
    return name.partition("@")[2]
