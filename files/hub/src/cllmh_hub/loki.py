"""Searching the log lines of all sites in Loki, where each site is a tenant."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import requests
import yaml

from cllmh_hub.contract.answers import LogLineAnswer
from cllmh_hub.errors import ApiError

_CONNECT_TIMEOUT_S = 3
_SEARCH_TIMEOUT_S = 20
_READY_TIMEOUT_S = 2
_REGEXP_CHARACTERS = re.compile(r"([\\.+*?()|\[\]{}^$])")
_QUOTED_CHARACTERS = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; an empty field is no condition."""

    sites: Sequence[str]
    since: datetime
    until: datetime
    limit: int
    kind: str | None = None
    severities: Sequence[str] = ()
    text: str | None = None

    def logql(self) -> str:
        """Return the query; every value in it is quoted."""
        conditions = [f"job={quote('cctv')}", f"site=~{_any_of(self.sites)}"]
        if self.kind:
            conditions.append(f"kind={quote(self.kind)}")
        if self.severities:
            conditions.append(f"severity=~{_any_of(self.severities)}")
        query = "{" + ", ".join(conditions) + "}"
        if self.text:
            query += f" |~ {quote('(?i)' + literal(self.text))}"
        return query


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored line; labels and structured metadata stand side by side."""

    at_ns: int
    text: str
    labels: dict[str, str]


def quote(text: str) -> str:
    """Return `text` as a LogQL string, whose rules are Go's."""
    return '"' + "".join(_QUOTED_CHARACTERS.get(character, character) for character in text) + '"'


def literal(text: str) -> str:
    """Return a regular expression (RE2) that matches exactly `text`."""
    return _REGEXP_CHARACTERS.sub(r"\\\1", text)


def _any_of(values: Sequence[str]) -> str:
    return quote("|".join(literal(value) for value in values))


class Loki:
    """Loki's HTTP API at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def is_ready(self) -> bool:
        """Return whether Loki takes and answers requests; raise requests' errors when it cannot be asked."""
        with _http() as http:
            return http.get(f"{self._url}/ready", timeout=_READY_TIMEOUT_S).ok

    def search(self, search: Search) -> list[LogLineAnswer]:
        """Return matching lines, newest first; raise ApiError when Loki cannot or will not answer."""
        found = self.entries(
            search.logql(),
            tenants=search.sites,
            start_ns=nanoseconds(search.since),
            end_ns=nanoseconds(search.until),
            limit=search.limit,
            direction="backward",
        )
        return [_line(entry) for entry in found]

    def entries(
        self,
        query: str,
        *,
        tenants: Sequence[str],
        start_ns: int,
        end_ns: int,
        limit: int,
        direction: Literal["forward", "backward"],
    ) -> list[Entry]:
        """Return at most `limit` lines of [start, end) in the order of their time; raise ApiError as `search` does."""
        parameters: dict[str, str | int] = {
            "query": query,
            "start": str(start_ns),
            "end": str(end_ns),
            "limit": limit,
            "direction": direction,
        }
        response = self._get("/loki/api/v1/query_range", parameters, tenants)
        try:
            streams: list[dict[str, Any]] = response.json()["data"]["result"]
            found = [Entry(int(at), text, stream["stream"]) for stream in streams for at, text in stream["values"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(502, "loki_failed", "The log store's answer cannot be understood.") from error
        found.sort(key=lambda entry: entry.at_ns, reverse=direction == "backward")
        return found

    def limits(self) -> dict[str, Any]:
        """Return `limits_config` of Loki's own configuration; raise ApiError as `search` does."""
        try:
            limits = yaml.safe_load(self._get("/config", {}, ()).text)["limits_config"]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise ApiError(502, "loki_failed", "The log store's configuration cannot be understood.") from error
        return dict(limits)

    def _get(self, path: str, parameters: dict[str, str | int], tenants: Sequence[str]) -> requests.Response:
        try:
            with _http() as http:
                response = http.get(
                    f"{self._url}{path}",
                    params=parameters,
                    headers={"X-Scope-OrgID": "|".join(tenants)} if tenants else {},
                    timeout=(_CONNECT_TIMEOUT_S, _SEARCH_TIMEOUT_S),
                )
        except requests.Timeout as error:
            raise ApiError(
                504, "loki_timeout", "The log store did not answer in time; ask for a shorter span."
            ) from error
        except requests.RequestException as error:
            raise ApiError(502, "loki_unreachable", "The log store cannot be reached.") from error
        if response.status_code == 400:
            raise ApiError(400, "search_refused", f"The log store refuses this search: {response.text.strip()[:300]}")
        if not response.ok:
            raise ApiError(502, "loki_failed", f"The log store answered {response.status_code}.")
        return response


def _line(entry: Entry) -> LogLineAnswer:
    labels = entry.labels
    return LogLineAnswer(
        at=datetime.fromtimestamp(entry.at_ns / 1e9, UTC),
        site=labels.get("site", ""),
        host=labels.get("host", ""),
        kind=labels.get("kind", ""),
        severity=labels.get("severity", ""),
        app=labels.get("app", ""),
        message=entry.text,
        id=labels.get("id", ""),
    )


def _http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # Loki is on our own machine or network: no proxy
    return session


def nanoseconds(moment: datetime) -> int:
    """Return a time as Loki counts it, since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
