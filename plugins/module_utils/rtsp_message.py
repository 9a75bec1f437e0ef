# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""RTSP answers and logins as text (RFC 2326, RFC 7235, RFC 7616): parse what a DVR said, compute what it asks for.

What answers may be broken or hostile: sizes and counts are limited. Python's standard library only, no input or output.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from .sdp import MAX_SDP_BYTES

MAX_HEAD_BYTES = 16_384
MAX_HEADERS = 64

_STATUS_LINE = re.compile(r"RTSP/1\.[01] +([0-9]{3})(?: +(.*))?")
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_SCHEME = re.compile(r"(?:^|,)\s*(Digest|Basic)\b\s*", re.IGNORECASE)
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, headers in order with lower-case names, body."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        return next(iter(self.all(name)), None)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme of a WWW-Authenticate header; `parameters` have lower-case names."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """The hash of a Digest challenge, in capitals (MD5 where none is named)."""
        return self.parameters.get("algorithm", "MD5").upper()


def shorten(text: str, size: int = 80) -> str:
    """Return a foreign text fit for an error: printable, on one line, short."""
    clean = "".join(char if char.isprintable() else "?" for char in text[: size + 1])
    return clean if len(clean) <= size else f"{clean[:size]}..."


def parse_head(head: bytes) -> Response:
    """Parse status line and headers; raises ValueError that says what is wrong."""
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError(f"headers of more than {MAX_HEAD_BYTES} bytes")
    status_line, *lines = head.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if not match:
        raise ValueError(f"it begins with {shorten(status_line)!r}")
    if len(lines) > MAX_HEADERS:
        raise ValueError(f"more than {MAX_HEADERS} headers")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header without a colon: {shorten(line)!r}")
        headers.append((name.strip().lower(), value.strip()))
    return Response(int(match[1]), shorten(match[2] or ""), tuple(headers))


def body_size(response: Response) -> int:
    """Return the Content-Length; raises ValueError when it is no number or too large."""
    text = response.first("content-length") or "0"
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MAX_SDP_BYTES:
        raise ValueError(f"Content-Length {shorten(text)!r} is not a number up to {MAX_SDP_BYTES}")
    return int(text)


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """Parse WWW-Authenticate values; one may hold several challenges (RFC 7235, 4.1)."""
    challenges = []
    for value in values:
        starts = list(_SCHEME.finditer(value))
        for number, start in enumerate(starts, 1):
            end = starts[number].start() if number < len(starts) else len(value)
            pairs = _PARAMETER.findall(value, start.end(), end)
            parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in pairs}
            challenges.append(Challenge(start[1].lower(), parameters))
    return challenges


def choose_challenge(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the strongest scheme that is understood: Digest SHA-256, Digest MD5, Basic; None if there is none."""
    for algorithm in ("SHA-256", "MD5"):
        for challenge in challenges:
            fits = challenge.scheme == "digest" and challenge.algorithm.removesuffix("-SESS") == algorithm
            if fits and {"realm", "nonce"} <= challenge.parameters.keys():
                return challenge
    return next((challenge for challenge in challenges if challenge.scheme == "basic"), None)


def authorization(
    challenge: Challenge, method: str, uri: str, username: str, password: str, count: int = 1, cnonce: str = ""
) -> str:
    """Return the Authorization value: Basic (RFC 7617), or Digest with or without qop (RFC 7616, RFC 2069).

    `count` is how often this nonce was used, `cnonce` the client's own nonce (made up when empty).
    """
    if challenge.scheme == "basic":
        return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"
    given = challenge.parameters
    function = _HASHES[challenge.algorithm.removesuffix("-SESS")]

    def digest(*parts: str) -> str:
        return function(":".join(parts).encode()).hexdigest()

    cnonce = cnonce or secrets.token_hex(8)
    secret = digest(username, given["realm"], password)
    if challenge.algorithm.endswith("-SESS"):
        secret = digest(secret, given["nonce"], cnonce)
    asked = digest(method, uri)
    fields = {"username": username, "realm": given["realm"], "nonce": given["nonce"], "uri": uri}
    bare = f", algorithm={given['algorithm']}" if "algorithm" in given else ""
    if "qop" in given:
        if "auth" not in re.split(r"[\s,]+", given["qop"].lower()):
            raise ValueError(f"the only quality of protection offered is {shorten(given['qop'])!r}, not auth")
        fields["response"] = digest(secret, given["nonce"], f"{count:08x}", cnonce, "auth", asked)
        fields["cnonce"] = cnonce
        bare += f", qop=auth, nc={count:08x}"
    else:
        fields["response"] = digest(secret, given["nonce"], asked)
        if challenge.algorithm.endswith("-SESS"):
            fields["cnonce"] = cnonce
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    escaped = [(name, re.sub(r'(["\\])', r"\\\1", value)) for name, value in fields.items()]
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in escaped) + bare
