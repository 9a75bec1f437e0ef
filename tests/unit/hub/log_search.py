"""An Elasticsearch that is searched as the real one is: points in time, pages, columns."""

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from loki_server import Pushed
from unit.hub.servers import Server, send

PASSWORD = "geheim"
_LOGIN = "Basic " + b64encode(f"log_reader:{PASSWORD}".encode()).decode()
_CLASSES = {"warning": "warning", "err": "warning", "crit": "critical"}


class FakeLogSearch(Server):
    """Documents by index and id; `mode` is an HTTP status that a search has, silent or well."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(self._answer, tls)
        self.documents: dict[str, dict[str, dict[str, Any]]] = {}
        self.points: dict[str, list[dict[str, Any]]] = {}
        """Those that are open."""
        self.searches: list[dict[str, Any]] = []
        self._opened = 0

    def push(self, site: str, lines: Iterable[Pushed]) -> None:
        """Store lines as the door does: an id that its index has is not stored again."""
        for line in lines:
            at = datetime.fromtimestamp(line.at_ns / 1e9, UTC)
            index = f"cllmh-logs-{_CLASSES.get(line.severity, 'info')}-{at:%Y.%m.%d}"
            document = {"at": at.isoformat(), "rcv": line.rcv, "id": line.id, "site": site, "kind": line.kind}
            document |= {"severity": line.severity, "host": line.host, "message": line.text}
            self.documents.setdefault(index, {}).setdefault(f"{site}:{line.id}", document)

    def _answer(self, _server: Server, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        status, answer = self._say(handler, json.loads(body) if body else {})
        say = {"X_Elastic_Product": "Elasticsearch", "Content_Type": "application/vnd.elasticsearch+json"}
        send(handler, status, json.dumps(answer).encode(), **say)

    def _say(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path = urlsplit(handler.path).path
        if handler.headers["Authorization"] != _LOGIN:
            return 401, {"error": {"type": "security_exception", "reason": "unable to authenticate user"}}
        if path.endswith("/_alias"):
            return 200, {name: {"aliases": {}} for name in self.documents if fnmatchcase(name, path.split("/")[1])}
        if path.endswith("/_pit") and handler.command == "POST":
            return 200, {"id": self._open(path.split("/")[1], body["index_filter"])}
        if path == "/_pit":
            del self.points[body["id"]]
            return 200, {"succeeded": True, "num_freed": 1}
        assert path == "/_search"
        assert "allow_partial_search_results=false" in handler.path  # else the real one leaves out what it cannot read
        self.searches.append(body)
        if self.mode == "silent":
            self.released.wait(10)
        if self.mode.isdecimal():
            return int(self.mode), {"error": {"type": "search_phase_execution_exception", "reason": "shards failed"}}
        return 200, {"pit_id": body["pit"]["id"], "hits": {"hits": list(self._hits(body))}}

    def _open(self, pattern: str, where: Mapping[str, Any]) -> str:
        self._opened += 1
        name = f"point {self._opened}"
        kept = [list(index.values()) for name, index in self.documents.items() if fnmatchcase(name, pattern)]
        kept = [index for index in kept if any(_fits(document, where) for document in index)]
        self.points[name] = [document for index in kept for document in index]
        return name

    def _hits(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        assert body["sort"] == [{"at": "asc"}, {"_shard_doc": "asc"}]
        documents = self.points[body["pit"]["id"]]
        keys = sorted(
            (_milliseconds(document["at"]), number)
            for number, document in enumerate(documents)
            if _fits(document, body["query"])
        )
        after = tuple(body.get("search_after") or (-(2**63), 0))
        for at, number in [key for key in keys if key > after][: body["size"]]:
            document = documents[number]
            hit: dict[str, Any] = {"sort": [at, number]}
            if body["_source"] is False:
                hit["fields"] = _columns(document, body["docvalue_fields"])
            else:
                hit["_source"] = {name: document[name] for name in body["_source"]}
            yield hit


def _columns(document: Mapping[str, Any], wanted: Iterable[str | dict[str, str]]) -> dict[str, list[str]]:
    found = {}
    for field in wanted:
        if isinstance(field, str):
            found[field] = [document[field]]
        elif (at := _milliseconds(document[field["field"]])) is not None:
            stamp = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
            found[field["field"]] = [stamp.replace("+00:00", "Z")]
    return found


def _fits(document: Mapping[str, Any], clause: Mapping[str, Any]) -> bool:
    ((kind, what),) = clause.items()
    if kind == "bool":
        return all(_fits(document, part) for part in what["filter"])
    ((field, wanted),) = what.items()
    if kind == "term":
        return bool(
            wanted in re.findall(r"\w+", document[field].lower()) if field == "message" else wanted == document[field]
        )
    assert kind == "range"
    at = _milliseconds(document[field])
    first, end = _milliseconds(wanted["gte"]), _milliseconds(wanted["lt"])
    return at is not None and first is not None and end is not None and first <= at < end


def _milliseconds(stamp: str) -> int | None:
    """Return a stamp as Elasticsearch keeps it; None for what is none."""
    try:
        return int(datetime.fromisoformat(stamp).timestamp() * 1e6) // 1000
    except ValueError:
        return None
