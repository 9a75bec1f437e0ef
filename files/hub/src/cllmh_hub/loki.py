"""Searching the log lines of all sites in Loki, where each site is a tenant."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

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
        parameters: dict[str, str | int] = {
            "query": search.logql(),
            "start": _nanoseconds(search.since),
            "end": _nanoseconds(search.until),
            "limit": search.limit,
            "direction": "backward",
        }
        try:
            with _http() as http:
                response = http.get(
                    f"{self._url}/loki/api/v1/query_range",
                    params=parameters,
                    headers={"X-Scope-OrgID": "|".join(search.sites)},
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
        try:
            return _lines(response.json()["data"]["result"])
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(502, "loki_failed", "The log store's answer cannot be understood.") from error


def _lines(streams: list[dict[str, Any]]) -> list[LogLineAnswer]:
    """Return the lines of Loki's streams, which hold labels and structured metadata alike, newest first."""
    found = [(int(value[0]), value[1], stream["stream"]) for stream in streams for value in stream["values"]]
    found.sort(key=lambda line: line[0], reverse=True)
    return [
        LogLineAnswer(
            at=datetime.fromtimestamp(nanoseconds / 1e9, UTC),
            site=labels.get("site", ""),
            host=labels.get("host", ""),
            kind=labels.get("kind", ""),
            severity=labels.get("severity", ""),
            app=labels.get("app", ""),
            message=message,
            id=labels.get("id", ""),
        )
        for nanoseconds, message, labels in found
    ]


def _http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # Loki is on our own machine or network: no proxy
    return session


def _nanoseconds(moment: datetime) -> str:
    return str((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000)
