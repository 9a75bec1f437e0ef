"""Structured log lines, the same for node and hub: `event=clip_closed camera=gate seconds=12.4 msg="text"`.

The texts are in `log_messages.json` beside this file: event key -> text in English (`en`) and Indonesian (`id`),
with the fields' names in braces. The line's fields stay the same in both languages, so that searches do too.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any

_PLAIN = re.compile(r"[\w.:/+@%-]+")
_SYSLOG_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_SYSLOG_DEBUG = 7


@cache
def messages() -> dict[str, dict[str, str]]:
    """Return the catalogue: event key -> {language: text}."""
    text = resources.files(__package__ or "").joinpath("log_messages.json").read_text(encoding="utf-8")
    catalogue: dict[str, dict[str, str]] = json.loads(text)
    return catalogue


ExcInfo = bool | BaseException | None | tuple[type[BaseException], BaseException, TracebackType | None]


def event(
    logger: logging.Logger, key: str, *, level: int = logging.INFO, exc_info: ExcInfo = False, **fields: object
) -> None:
    """Log the event `key`; fields that are None are left out of the line."""
    given = {name: value for name, value in fields.items() if value is not None}
    logger.log(level, key, exc_info=exc_info, extra={"cllmh_event": key, "cllmh_fields": given})


def setup(*, language: str = "en", level: str = "info") -> None:
    """Send all log lines of this process to stderr.

    Under systemd each line begins with its priority (sd-daemon's `<6>`) and has no time, the journal adds both.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(StructuredFormatter(language=language, to_journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class StructuredFormatter(logging.Formatter):
    """Turns a record into one line; never more, whatever the fields hold."""

    def __init__(
        self,
        *,
        language: str = "en",
        to_journal: bool = False,
        bare: bool = False,
        catalogue: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`bare`: without time and level, for those who add them. `catalogue`: other texts than `messages`."""
        super().__init__()
        self._language = language
        self._to_journal = to_journal
        self._bare = bare
        self._catalogue = catalogue

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as `event=... field=value ... msg="text"`."""
        key: str | None = getattr(record, "cllmh_event", None)
        fields: dict[str, object] = getattr(record, "cllmh_fields", {})
        if key is None:  # a library's own record
            pairs: dict[str, object] = {"event": "message", "logger": record.name, "msg": self.text(record)}
        else:
            pairs = {"event": key, **fields, "msg": self.text(record)}
        if record.exc_info or record.exc_text:  # a text alone came from another process
            pairs["trace"] = record.exc_text or self.formatException(record.exc_info or (None, None, None))
        line = " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
        if self._to_journal:
            return f"<{syslog_level(record.levelno)}>{line}"
        if self._bare:
            return line
        stamp = _iso(datetime.fromtimestamp(record.created, UTC))
        return f"{stamp} {record.levelname.lower()} {line}"

    def text(self, record: logging.LogRecord) -> str:
        """Return the text for people; where there is none that can be used, the event's key with its values."""
        key: str | None = getattr(record, "cllmh_event", None)
        if key is None:
            return record.getMessage()
        fields: dict[str, object] = getattr(record, "cllmh_fields", {})
        catalogue = messages() if self._catalogue is None else self._catalogue
        try:
            return catalogue[key][self._language].format_map(
                _Shown({name: _plain(value) for name, value in fields.items()})
            )
        except (LookupError, ValueError, AttributeError):
            return " ".join([key, *(f"{name}={_quoted(value)}" for name, value in fields.items())])


class _Shown(dict[str, str]):
    """Fields for a text; one that the event lacks shows as a dash instead of failing the log call."""

    def __missing__(self, name: str) -> str:
        return "-"


def _plain(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case datetime():
            return _iso(value)
        case Path():
            return os.fspath(value)
        case list() | tuple() | set():
            return ",".join(_plain(item) for item in value)
    return str(value)


def _quoted(value: Any) -> str:
    text = _plain(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def syslog_level(level: int) -> int:
    """Return the severity of RFC 5424 of a level of Python's logging."""
    return next((number for least, number in _SYSLOG_LEVELS if level >= least), _SYSLOG_DEBUG)
