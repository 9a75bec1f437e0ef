"""Reading all lines of a site from Elasticsearch, page by page of one point in time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time
from typing import Any

from elasticsearch import ApiError as Refusal
from elasticsearch import ConnectionTimeout, TransportError

from cllmh_hub.completeness.holdings import HOUR
from cllmh_hub.completeness.pages import Page
from cllmh_hub.completeness.records import STATEMENT, NumberedLine, Statement
from cllmh_hub.completeness.statements import Span
from cllmh_hub.config import ElasticsearchReader
from cllmh_hub.elasticsearch_client import connect
from cllmh_hub.errors import ApiError
from cllmh_hub.log_keeper.config import PATTERN
from cllmh_hub.log_keeper.days import parse

_TIMEOUT_S = 20
_KEPT_OPEN = "2m"  # from one page to the next
_LINES = 5000
_STATEMENTS = 500  # of at most 20 kB each
_FIELDS = ("id", "rcv", "host", "kind")
# From the columns: the documents themselves, which are compressed, are not looked at.
_COLUMNS: dict[str, Any] = {
    "source": False,
    "stored_fields": "_none_",
    "docvalue_fields": [{"field": "rcv", "format": "strict_date_time"}, "id", "host", "kind"],
}


class ElasticsearchPages:
    """The lines of `site`; a page has at most `limit` lines. See `Pages`."""

    def __init__(self, config: ElasticsearchReader, site: str, limit: int = _LINES) -> None:
        self.site = site
        self._limit = limit
        self._client = connect(
            config,
            request_timeout=_TIMEOUT_S,
            max_retries=len(config.urls) - 1,  # once with each machine of the cluster
        )

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def kept_since(self, _now: datetime) -> datetime | None:
        """Return since when the store has days of the class that goes first; see `Pages`."""
        with _troubles_told():
            names = self._client.indices.get_alias(index=PATTERN.replace("*", "info-*"))
        oldest = next(iter(parse(dict.fromkeys(names, 0))), None)
        # A line may be dated an hour before its receipt, and so be in the day before.
        return datetime.combine(oldest.day, time(), UTC) + HOUR if oldest else None

    def lines(self, start: datetime, end: datetime, received: Sequence[Span] = ()) -> Iterator[Page]:
        """Yield each numbered line of [start, end); see `Pages`."""
        where = []
        if received:  # one range for all: what comes between them besides is little
            first, last = min(span.since for span in received), max(span.until for span in received)
            where = [{"range": {"rcv": _range(first, last)}}]
        for hits in self._all(where, start, end, size=self._limit, **_COLUMNS):
            found = [_line(hit.get("fields", {})) for hit in hits]
            read_to = end if len(hits) < self._limit else datetime.fromtimestamp(hits[-1]["sort"][0] // 1000, UTC)
            yield Page([line for line in found if line], found.count(None), read_to)

    def statements(self, start: datetime, end: datetime) -> Iterator[list[Statement | None]]:
        """Yield the nodes' statements of [start, end); see `Pages`."""
        word = STATEMENT.strip().partition("=")[2]
        where = [{"term": {"kind": "node"}}, {"term": {"message": word}}]
        for hits in self._all(where, start, end, size=min(self._limit, _STATEMENTS), source=["host", "message"]):
            told = [(str(hit["_source"].get("host")), str(hit["_source"].get("message"))) for hit in hits]
            yield [Statement.parse(host, text) for host, text in told if text.startswith(STATEMENT)]

    def _all(
        self, where: Sequence[Mapping[str, Any]], start: datetime, end: datetime, *, size: int, **what: Any
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the hits of [start, end), oldest first; the last page has less than `size`, perhaps none."""
        span = {"range": {"at": _range(start, end)}}
        query = {"bool": {"filter": [{"term": {"site": self.site}}, span, *where]}}
        with self._point_in_time(span) as point:
            after = None
            while True:
                with _troubles_told():
                    answer = self._client.search(
                        pit={"id": point, "keep_alive": _KEPT_OPEN},
                        query=query,
                        sort=[{"at": "asc"}, {"_shard_doc": "asc"}],
                        search_after=after,
                        size=size,
                        track_total_hits=False,
                        # Or what a part that is away does not say would be called missing.
                        allow_partial_search_results=False,
                        **what,
                    )
                hits: list[dict[str, Any]] = answer["hits"]["hits"]
                yield hits
                if len(hits) < size:
                    return
                after = hits[-1]["sort"]

    @contextmanager
    def _point_in_time(self, span: Mapping[str, Any]) -> Iterator[str]:
        """Keep the indices that may have something of `span` as they are now."""
        with _troubles_told():
            point: str = self._client.open_point_in_time(index=PATTERN, keep_alive=_KEPT_OPEN, index_filter=span)["id"]
        try:
            yield point
        finally:
            with suppress(Refusal, TransportError):  # it ends by itself
                self._client.close_point_in_time(id=point)


def _line(columns: Mapping[str, Sequence[Any]]) -> NumberedLine | None:
    name, rcv, host, kind = (str(columns.get(field, [""])[0]) for field in _FIELDS)
    return NumberedLine.parse(f"{name} {rcv} {host}", kind)


def _range(start: datetime, end: datetime) -> dict[str, str]:
    """Return [start, end) as Elasticsearch takes it, which knows milliseconds."""
    return {"gte": start.isoformat(timespec="milliseconds"), "lt": end.isoformat(timespec="milliseconds")}


@contextmanager
def _troubles_told() -> Iterator[None]:
    """Raise the API's errors instead of the client's."""
    try:
        yield
    except ConnectionTimeout as error:
        raise ApiError(
            504, "elasticsearch_timeout", "Elasticsearch did not answer in time; ask for a shorter span."
        ) from error
    except TransportError as error:
        raise ApiError(502, "elasticsearch_unreachable", "Elasticsearch cannot be reached.") from error
    except Refusal as error:
        said = f"Elasticsearch answered {error.status_code}: {error.message}"[:300]
        raise ApiError(502, "elasticsearch_failed", said) from error
