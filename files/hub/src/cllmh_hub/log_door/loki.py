"""Batches for Loki: checked, cut to size, and taken apart when Loki refuses one."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import urllib3

from cllmh_hub.log_door.batch import NOT_JSON, Cause, DeadLetter, Outcome, StoreBusyError

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


_push_decoder = msgspec.json.Decoder(Push)
_unchecked_decoder = msgspec.json.Decoder(_UncheckedPush)
_stream_decoder = msgspec.json.Decoder(Stream)
_encoder = msgspec.json.Encoder()


class LokiStore:
    """Loki at `url`, where each site is a tenant."""

    name = "loki"
    media_type = "application/json"

    def __init__(self, url: str, *, connections: int) -> None:
        self._pool = urllib3.connection_from_url(url, maxsize=connections, retries=False, timeout=_TIMEOUT)

    def put(self, site: str, body: bytes) -> Outcome:
        """Store a batch; see `Store`."""
        streams, dead_letters = read_push(body, site)
        outcome = Outcome(dead_letters=dead_letters)
        self._put(site, streams, outcome)
        return outcome

    def _put(self, site: str, streams: Sequence[Stream], outcome: Outcome) -> None:
        """Push the streams; halve what is too large or refused until the lines are found that Loki does not want.

        It has stored the others of a batch that it refuses; stored again, they are the same lines.
        """
        if not streams:
            return
        # What was read is written anew: nothing reaches Loki that was not looked at, such as a key given twice.
        body = _encoder.encode(Push(streams=list(streams)))
        refusal = None
        if len(body) <= _MAX_PUSH_BYTES or _is_one_line(streams):
            refusal = self._push(site, body)
            if refusal is None:
                outcome.stored += sum(len(stream.values) for stream in streams)
                return
        halves = _halves(streams)
        if halves is None:
            outcome.dead_letters.append(DeadLetter(_encoder.encode(streams[0]), "refused", refusal or ""))
            return
        for half in halves:
            self._put(site, half, outcome)

    def _push(self, site: str, body: bytes) -> str | None:
        """Return None when Loki took all of it, or why it refuses some of it for ever."""
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": site}
        try:
            response = self._pool.urlopen("POST", "/loki/api/v1/push", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise StoreBusyError(f"{type(error).__name__}: {error}") from error
        if response.status in (200, 204):
            return None
        text = response.data.decode(errors="replace").strip()[:500]
        if response.status == 400:
            return text
        raise StoreBusyError(
            f"{response.status} {text}",
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


def _is_one_line(streams: Sequence[Stream]) -> bool:
    return len(streams) == 1 and len(streams[0].values) <= 1


def _halves(streams: Sequence[Stream]) -> tuple[list[Stream], list[Stream]] | None:
    """Return two parts, of the streams or of the one stream's lines; None for a single line."""
    if _is_one_line(streams):
        return None
    if len(streams) > 1:
        middle = len(streams) // 2
        return list(streams[:middle]), list(streams[middle:])
    [stream] = streams
    middle = len(stream.values) // 2
    return [Stream(stream.stream, stream.values[:middle])], [Stream(stream.stream, stream.values[middle:])]


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> int:
    """Return what the store asks for, within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(int(asked), _MAX_RETRY_AFTER_S) if asked.isdecimal() else 5
