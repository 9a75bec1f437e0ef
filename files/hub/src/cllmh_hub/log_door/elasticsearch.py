"""Batches for Elasticsearch: each line is decided on its own, because a bulk that says 200 may have stored none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from elasticsearch import ApiError, TransportError

from cllmh_hub.elasticsearch_client import connect
from cllmh_hub.log_door.batch import NOT_JSON, Cause, DeadLetter, Outcome, StoreBusyError
from cllmh_hub.log_door.config import ElasticsearchConfig

# A node waits 30 s for its answer.
_TIMEOUT_S = 20
# Elasticsearch takes 100 MB; what is more than this only makes it slow.
_MAX_BULK_BYTES = 4 * 1024 * 1024
# Elasticsearch takes 512, of which the site takes some.
_MAX_ID_BYTES = 400
# Classes of the role elasticsearch, whose indices are kept for different times.
_CLASSES = {
    **dict.fromkeys(("debug", "info", "notice"), "info"),
    **dict.fromkeys(("warning", "err"), "warning"),
    **dict.fromkeys(("crit", "alert", "emerg"), "critical"),
}
# Errors of an item that speak of the index or of who writes, not of the line: it is taken when that is put right.
_NOT_THE_LINES_FAULT = frozenset(
    {"cluster_block_exception", "index_closed_exception", "index_not_found_exception", "validation_exception"}
)
# The client's own bulk() would write each line anew.
_HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}
_encoder = msgspec.json.Encoder()


class Line(msgspec.Struct, frozen=True):
    """What the door must know of a document; the index's template decides about the other fields."""

    id: str
    at: datetime
    site: str
    severity: str
    rcv: datetime | None = None


_line_decoder = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a bulk: where to, and the document as it was sent."""

    index: str
    id: str
    document: bytes


class ElasticsearchStore:
    """The cluster of `config`."""

    name = "elasticsearch"
    media_type = "application/x-ndjson"

    def __init__(self, config: ElasticsearchConfig, *, connections: int, now: Callable[[], datetime]) -> None:
        self._config = config
        self._now = now
        self._client = connect(
            config,
            connections_per_node=connections,
            request_timeout=_TIMEOUT_S,
            # Once with each machine of the cluster; then the node comes again.
            max_retries=len(config.urls) - 1,
        )

    def put(self, site: str, body: bytes) -> Outcome:
        """Store a batch; see `Store`."""
        operations, dead_letters = read_documents(body, site, self._config, self._now())
        outcome = Outcome(dead_letters=dead_letters)
        for part in _parts(operations):
            self._put(part, outcome)
        return outcome

    def _put(self, operations: Sequence[Operation], outcome: Outcome) -> None:
        bulk = b"".join(
            b"%b\n%b\n" % (_encoder.encode({"create": {"_index": line.index, "_id": line.id}}), line.document)
            for line in operations
        )
        try:
            answer: Any = self._client.perform_request("POST", "/_bulk", headers=_HEADERS, body=bulk)
        except ApiError as error:
            raise StoreBusyError(
                f"{error.status_code} {error.message}"[:500], status=429 if error.status_code == 429 else 503
            ) from error
        except TransportError as error:
            causes = "; ".join(str(cause) for cause in error.errors)
            raise StoreBusyError(f"{error.message} {causes}"[:500]) from error
        for operation, item in zip(operations, answer["items"], strict=True):
            refusal = _refusal(item["create"])
            if refusal is None:
                outcome.stored += 1
            else:
                outcome.dead_letters.append(DeadLetter(operation.document, "refused", refusal))


def read_documents(
    body: bytes, site: str, config: ElasticsearchConfig, now: datetime
) -> tuple[list[Operation], list[DeadLetter]]:
    """Return what in a body, one document a line, is of `site` and has its place, and the rest."""
    operations: list[Operation] = []
    dead: list[DeadLetter] = []
    oldest, newest = (
        now - timedelta(hours=config.oldest_line_hours),
        now + timedelta(minutes=config.newest_line_minutes),
    )
    for document in body.split(b"\n"):
        if not document.strip():
            continue
        cause: Cause = "malformed"
        try:
            line = _line_decoder.decode(document)
            if not 0 < len(line.id.encode()) <= _MAX_ID_BYTES:
                reason = f"id has {len(line.id.encode())} bytes, 1 to {_MAX_ID_BYTES} are allowed"
            elif line.severity not in _CLASSES:
                reason = f"severity is {line.severity!r}, allowed are {', '.join(_CLASSES)}"
            elif line.site != site:
                cause, reason = "foreign", f"site is {line.site!r}, the certificate says {site!r}"
            else:
                index = f"cllmh-logs-{_CLASSES[line.severity]}-{_day(line, oldest, newest, now)}"
                # With the site, so that no site can take the ids of another before that writes them.
                operations.append(Operation(index, f"{site}:{line.id}", document))
                continue
        except NOT_JSON as error:
            reason = str(error)
        dead.append(DeadLetter(document, cause, reason))
    return operations, dead


def _day(line: Line, oldest: datetime, newest: datetime, now: datetime) -> str:
    """Return the line's UTC day or, when that cannot be, the day of receipt.

    A wrong clock would make an index for each day since 1970.
    """
    for moment in (line.at, line.rcv):
        if moment is not None and moment.tzinfo is not None and oldest <= moment <= newest:
            return moment.astimezone(UTC).strftime("%Y.%m.%d")
    return now.strftime("%Y.%m.%d")


def _refusal(item: dict[str, Any]) -> str | None:
    """Return None for a line that is stored, or why it never will be; raise StoreBusyError when it may be later."""
    status: int = item["status"]
    if status in (200, 201, 409):  # 409: it is there already, from a try that was not answered
        return None
    error = item.get("error", {})
    kind, text = error.get("type", ""), f"{error.get('type')}: {error.get('reason')}"
    if cause := error.get("caused_by"):
        text += f" ({cause.get('reason')})"
    if status == 400 and kind not in _NOT_THE_LINES_FAULT:
        return text[:500]
    raise StoreBusyError(f"{status} {text}"[:500], status=429 if status == 429 else 503)


def _parts(operations: Iterable[Operation]) -> Iterable[list[Operation]]:
    """Yield them in bulks of a size that Elasticsearch likes."""
    part: list[Operation] = []
    size = 0
    for operation in operations:
        if part and size + len(operation.document) > _MAX_BULK_BYTES:
            yield part
            part, size = [], 0
        part.append(operation)
        size += len(operation.document)
    if part:
        yield part
