"""Batches for Loki: checked, cut to size, and taken apart when Loki refuses one."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec
import urllib3

from cllmh_hub.log_door.batch import NOT_JSON, Cause, DeadLetter, Outcome, StoreBusyError
from cllmh_hub.log_door.disk import Disk

# A node waits 30 s for its answer.
_TIMEOUT = urllib3.Timeout(connect=3, read=20)
# Loki's distributor hands a push on by gRPC, in messages of at most 4 MiB.
_MAX_PUSH_BYTES = 1024 * 1024
_MAX_RETRY_AFTER_S = 60


class Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Loki's streams are told apart by: these labels and no others."""

    job: Literal["cctv"]
    site: str
    kind: Literal["node", "dvr", "router"]
    severity: Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines with the same labels. The lines are not looked into: they are the sender's, and Loki checks them."""

    stream: Labels
    values: list[msgspec.Raw]


class Push(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a push."""

    streams: list[Stream]


class _UncheckedPush(msgspec.Struct, frozen=True):
    streams: list[msgspec.Raw]


# "5 errors like: entry for stream ...; 2 errors like: ...", and "total ignored: 2 out of 3 for stream: ...".
_REFUSED_BY_DISTRIBUTOR = re.compile(r"(\d+) errors like: ")
_REFUSED_BY_INGESTER = re.compile(r"total ignored: (\d+) out of \d+ for stream")

_push_decoder = msgspec.json.Decoder(Push)
_unchecked_decoder = msgspec.json.Decoder(_UncheckedPush)
_stream_decoder = msgspec.json.Decoder(Stream)
_encoder = msgspec.json.Encoder()


class LokiStore:
    """Loki at `url`, where each site is a tenant."""

    name = "loki"
    media_type = "application/json"

    def __init__(self, url: str, *, connections: int, disk: Disk | None = None) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._taken_apart: set[str] = set()
        self._pool = urllib3.connection_from_url(url, maxsize=connections, retries=False, timeout=_TIMEOUT)

    def put(self, site: str, body: bytes) -> Outcome:
        """Store a batch; see `Store`."""
        streams, dead_letters = read_push(body, site)
        outcome = Outcome(dead_letters=dead_letters)
        parts = self._try(site, streams, outcome)
        if parts:
            with self._alone(site):
                while parts:
                    parts = self._try(site, parts[0], outcome) + parts[1:]
        return outcome

    def _try(self, site: str, streams: list[Stream], outcome: Outcome) -> list[list[Stream]]:
        """Push the streams; return the parts to try on their own when they are too large or Loki dislikes some of them.

        It has stored the others of a batch that it refuses; stored again, they are the same lines.
        """
        lines = sum(len(stream.values) for stream in streams)
        if lines == 0:
            return []
        # What was read is written anew: nothing reaches Loki that was not looked at, such as a key given twice.
        body = _encoder.encode(Push(streams=streams))
        if len(body) <= _MAX_PUSH_BYTES or lines == 1:
            refusal = self._push(site, body)
            if refusal is None:
                outcome.stored += lines
                return []
            if lines == 1 or _refused_lines(refusal) == lines:
                outcome.dead_letters += [DeadLetter(line, "refused", refusal[:500]) for line in _each_line(streams)]
                return []
        return _parts(streams)

    @contextmanager
    def _alone(self, site: str) -> Iterator[None]:
        """Take one batch of a site apart at a time: a site that sends bad ones only shall not keep others waiting."""
        with self._lock:
            if site in self._taken_apart:
                raise StoreBusyError(f"another batch of {site} is being taken apart", status=429)
            self._taken_apart.add(site)
        try:
            yield
        finally:
            with self._lock:
                self._taken_apart.remove(site)

    def _push(self, site: str, body: bytes) -> str | None:
        """Return None when Loki took all of it, or why it refuses some of it for ever."""
        if self._disk:
            self._disk.check()
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": site}
        try:
            response = self._pool.urlopen("POST", "/loki/api/v1/push", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise StoreBusyError(f"{type(error).__name__}: {error}") from error
        if response.status in (200, 204):
            if self._disk:  # it may have filled meanwhile; what comes again is the same lines
                self._disk.check()
            return None
        text = response.data.decode(errors="replace").strip()
        if response.status == 400:
            return text
        raise StoreBusyError(
            f"{response.status} {text[:500]}",
            status=429 if response.status == 429 else 503,
            retry_after_s=_retry_after_s(response),
        )


def read_push(body: bytes, site: str) -> tuple[list[Stream], list[DeadLetter]]:
    """Return what in a push is of `site` and well-formed, and the rest."""
    try:
        streams = _push_decoder.decode(body).streams
        if all(stream.stream.site == site for stream in streams):
            return streams, []
        raw_streams = [msgspec.Raw(_encoder.encode(stream)) for stream in streams]
    except NOT_JSON as error:
        try:
            raw_streams = _unchecked_decoder.decode(body).streams
        except NOT_JSON:
            return [], [DeadLetter(body, "malformed", str(error))]
    return _sorted_out(raw_streams, site)


def _sorted_out(raw_streams: Sequence[msgspec.Raw], site: str) -> tuple[list[Stream], list[DeadLetter]]:
    good: list[Stream] = []
    dead: list[DeadLetter] = []
    for raw in raw_streams:
        cause: Cause = "malformed"
        try:
            stream = _stream_decoder.decode(raw)
            if stream.stream.site == site:
                good.append(stream)
                continue
            cause, reason = "foreign", f"the label site is {stream.stream.site!r}, the certificate says {site!r}"
        except NOT_JSON as error:
            reason = str(error)
        dead.append(DeadLetter(bytes(raw), cause, reason))
    return good, dead


def _refused_lines(refusal: str) -> int:
    """Return how many lines Loki says it refuses, 0 when it does not say; when it is all, none is tried alone."""
    counts = _REFUSED_BY_DISTRIBUTOR.findall(refusal) or _REFUSED_BY_INGESTER.findall(refusal)
    return sum(int(count) for count in counts)


def _each_line(streams: Sequence[Stream]) -> list[bytes]:
    return [_encoder.encode(Stream(stream.stream, [value])) for stream in streams for value in stream.values]


def _parts(streams: Sequence[Stream]) -> list[list[Stream]]:
    """Return the lines of each set of labels, or the halves of a single set: Loki counts refused lines by stream."""
    lines: dict[Labels, list[msgspec.Raw]] = {}
    for stream in streams:
        lines.setdefault(stream.stream, []).extend(stream.values)
    if len(lines) > 1:
        return [[Stream(labels, values)] for labels, values in lines.items()]
    [(labels, values)] = lines.items()
    middle = len(values) // 2
    return [[Stream(labels, values[:middle])], [Stream(labels, values[middle:])]]


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> int:
    """Return what the store asks for, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(int(asked), _MAX_RETRY_AFTER_S) if asked.isdecimal() else 5
