# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""RTSP (RFC 2326) as far as a DVR must be asked what it offers: requests, responses, authentication, SDP.

The one implementation behind the module `rtsp_probe`, `cllmh-node probe` and the recorder's URLs and error texts.
Python's standard library only.

What answers may be broken or hostile: sizes, counts and the time for an answer are limited, texts are kept short, and
a password is in no URL that is sent, no error and no `repr`.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import quote

from .dvr import STREAMS, Answer, Offer, stream_path
from .rtsp_message import (
    MAX_HEAD_BYTES,
    Challenge,
    Response,
    authorization,
    body_size,
    choose_challenge,
    parse_challenges,
    parse_head,
    shorten,
)
from .sdp import Media, SdpError, parse_sdp

MAX_STRAY_BYTES = 1_048_576
"""Media packets and late answers that are skipped before the answer that is waited for."""
MAX_PORT = 65_535
MAX_TIMEOUTS = 3
"""So many answers missing in a row are a broken DVR, not broken channels."""

# These are about the DVR as a whole; the other channels would give the same answer.
_FATAL = ("unreachable", "auth")
_CREDENTIALS = re.compile(r"(rtsps?://)\S*@", re.IGNORECASE)


class RtspError(Exception):
    """A camera could not be asked or gave no usable answer; the text is one sentence that names host and path."""

    def __init__(self, cause: str, text: str) -> None:
        """Take a cause of `dvr.CAUSES` and a sentence, in which credentials in URLs are masked."""
        super().__init__(mask_url(text))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Target:
    """A DVR and how to log in. `timeout_s` is for connecting and for each answer, in seconds."""

    host: str
    port: int = 554
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what would change the meaning of a request."""
        if not re.fullmatch(r"[\w.:%-]{1,255}", self.host):
            raise ValueError(f"host is {self.host!r}, it must be a name or an address")
        if not 0 < self.port <= MAX_PORT:
            raise ValueError(f"port is {self.port}, it must be 1 to {MAX_PORT}")
        if self.username and re.search(r"[\x00-\x1f\x7f]", self.username):
            raise ValueError("username has a control character")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s is {self.timeout_s}, it must be above 0")

    @property
    def authority(self) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def rtsp_url(target: Target, path: str, *, credentials: bool = False) -> str:
    """Return the URL of a path; with `credentials` it holds the percent-encoded password: never show or log it."""
    if not path.startswith("/") or re.search(r"[^\x21-\x7e]", path):
        raise ValueError(f"path is {path!r}, it must begin with / and have neither spaces nor control characters")
    login = ""
    if credentials and target.username:
        login = f"{quote(target.username, safe='')}:{quote(target.password or '', safe='')}@"
    return f"rtsp://{login}{target.authority}{path}"


def mask_url(text: str) -> str:
    """Hide user and password of every RTSP URL in a text, also where an `@` in the password was left as it is."""
    return _CREDENTIALS.sub(r"\1***@", text)


class RtspClient:
    """One connection to a DVR, opened at the first request; use it in a `with` block."""

    def __init__(self, target: Target) -> None:
        """Take the DVR; nothing is sent yet."""
        self.target = target
        self.server: str | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._challenge: Challenge | None = None
        self._nonce_count = 0
        self._accepted = False

    def __enter__(self) -> RtspClient:
        """Give the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._socket:
            self._socket.close()
        self._socket, self._challenge = None, None
        self._buffer.clear()

    def describe(self, path: str) -> tuple[Media, ...]:
        """Ask what a path offers; takes no session of the DVR. Raises RtspError."""
        where = f"{self.target.authority}{path}"
        response = self._request("DESCRIBE", path, "Accept: application/sdp\r\n")
        if response.status != 200:
            raise self._refusal(response, where)
        try:
            media = parse_sdp(response.body)
        except SdpError as error:
            raise RtspError("protocol", f"{where} describes its stream in a way not understood: {error}.") from error
        if not any(item.kind == "video" for item in media):
            raise RtspError("no_video", f"{where} offers no video.")
        return media

    def _refusal(self, response: Response, where: str) -> RtspError:
        """Return the error that a status stands for."""
        said = f"{response.status} {response.reason}".strip()
        user = f"user {self.target.username}" if self.target.username else "a client without a user"
        if response.status == 401 and not self.target.username:
            return RtspError("auth", f"{where} wants a login, and no user name was given (it said {said}).")
        if response.status == 401:
            text = f"{where} refuses {user}: wrong name or password, or the account is locked (it said {said})."
            return RtspError("auth", text)
        if response.status == 403:
            return RtspError("auth", f"{where} does not allow {user} to watch it (it said {said}).")
        if response.status == 404:
            return RtspError("not_found", f"{where} does not exist (the DVR said {said}).")
        if response.status in (453, 500, 503):
            return RtspError("busy", f"{where} has no room for another viewer now (it said {said}).")
        return RtspError("protocol", f"{where} answered {said}.")

    def _request(self, method: str, path: str, headers: str = "") -> Response:
        """Send one request, logging in when asked to; a nonce that has run out is renewed."""
        url = rtsp_url(self.target, path)
        reused = self._socket is not None
        try:
            response = self._exchange(method, url, headers)
        except RtspError as error:
            # Some DVRs close a connection after an answer such as 404: that is no failure of the next request.
            if not reused or error.cause != "unreachable":
                raise
            response = self._exchange(method, url, headers)
        for _ in range(2):
            if response.status != 401 or not self.target.username:
                break
            challenge = choose_challenge(parse_challenges(response.all("www-authenticate")))
            stale = challenge is not None and challenge.parameters.get("stale", "").lower() == "true"
            if self._challenge and not (stale or self._accepted):
                break  # this very user and password were refused: trying again would lock the account
            if challenge is None:
                offered = shorten("; ".join(response.all("www-authenticate")) or "nothing")
                text = f"{self.target.authority} wants a login by a scheme not understood ({offered})."
                raise RtspError("protocol", text)
            self._challenge, self._nonce_count = challenge, 0
            response = self._exchange(method, url, headers)
        self._accepted = self._accepted or (self._challenge is not None and response.status != 401)
        return response

    def _exchange(self, method: str, url: str, headers: str) -> Response:
        """Send one request and read its answer, within the timeout altogether."""
        deadline = time.monotonic() + self.target.timeout_s
        login = ""
        if self._challenge:
            self._nonce_count += 1
            user, password = self.target.username or "", self.target.password or ""
            try:
                value = authorization(self._challenge, method, url, user, password, self._nonce_count)
            except ValueError as error:
                raise RtspError("protocol", f"{self.target.authority} cannot be logged in to: {error}.") from error
            login = f"Authorization: {value}\r\n"
        try:
            if self._socket is None:
                self._socket = socket.create_connection((self.target.host, self.target.port), self.target.timeout_s)
            self._sequence += 1
            text = f"{method} {url} RTSP/1.0\r\nCSeq: {self._sequence}\r\nUser-Agent: cllmh\r\n{login}{headers}\r\n"
            self._socket.sendall(text.encode())
            response = self._read_response(deadline)
        except ValueError as error:
            self.close()
            raise RtspError("protocol", f"{self.target.authority} does not speak RTSP: {error}.") from error
        except TimeoutError as error:
            self.close()
            text = f"{self.target.authority} gave no answer within {self.target.timeout_s:g} s."
            raise RtspError("timeout", text) from error
        except OSError as error:
            self.close()
            reason = error.strerror or str(error) or type(error).__name__
            raise RtspError("unreachable", f"{self.target.authority} cannot be reached: {reason}.") from error
        self.server = shorten(response.first("server") or "") or self.server
        if (response.first("connection") or "").lower() == "close" and self._socket:
            self._socket.close()
            self._socket = None
            self._buffer.clear()
        return response

    def _read_response(self, deadline: float) -> Response:
        """Read up to the answer of the last request; skips media packets and late answers, up to a limit."""
        skipped = 0
        while skipped <= MAX_STRAY_BYTES:
            self._fill(1, deadline)
            first = bytes(self._buffer[:1])
            if first in (b"\r", b"\n"):
                skipped += len(self._take(1))
            elif first == b"$":
                self._fill(4, deadline)
                size = 4 + int.from_bytes(self._buffer[2:4], "big")
                self._fill(size, deadline)
                skipped += len(self._take(size))
            else:
                response = self._read_message(deadline)
                if response.first("cseq") in (None, str(self._sequence)):
                    return response
                skipped += 1 + len(response.body)
        raise ValueError(f"more than {MAX_STRAY_BYTES} bytes before an answer")

    def _read_message(self, deadline: float) -> Response:
        """Read one message with its body."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ValueError(f"headers of more than {MAX_HEAD_BYTES} bytes")
            self._fill(len(self._buffer) + 1, deadline)
        response = parse_head(self._take(end + 4)[:-4])
        size = body_size(response)
        self._fill(size, deadline)
        return Response(response.status, response.reason, response.headers, self._take(size))

    def _take(self, size: int) -> bytes:
        """Remove and return bytes that are in the buffer."""
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self, size: int, deadline: float) -> None:
        """Receive until the buffer holds so many bytes; a server that drips meets the deadline all the same."""
        while len(self._buffer) < size:
            left = deadline - time.monotonic()
            if left <= 0 or self._socket is None:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError("it closed the connection without an answer")
            self._buffer += data


def probe(
    target: Target,
    vendor: str,
    *,
    channels: Sequence[int] | None = None,
    max_channel: int = 16,
    streams: Sequence[str] = STREAMS,
    template: str | None = None,
) -> Answer:
    """Ask for the given channels, or for 1 to `max_channel`, where those that do not exist are left out.

    Raises RtspError when the DVR as a whole cannot be asked, ValueError when the arguments cannot be right.
    """
    wanted = list(channels) if channels else list(range(1, max_channel + 1))
    offers: list[Offer] = []
    timeouts = 0
    with RtspClient(target) as client:
        for channel in wanted:
            for stream in streams:
                offer = _ask(client, channel, stream, stream_path(vendor, channel, stream, template))
                timeouts = timeouts + 1 if offer.error == "timeout" else 0
                if timeouts == MAX_TIMEOUTS:
                    text = f"{target.authority} gave no answer {timeouts} times, {target.timeout_s:g} s each."
                    raise RtspError("timeout", text)
                if offer.error == "not_found" and channels is None:
                    break
                offers.append(offer)
    return Answer(client.server, tuple(offers))


def _ask(client: RtspClient, channel: int, stream: str, path: str) -> Offer:
    """Ask for one stream; what concerns the whole DVR is raised."""
    try:
        media = client.describe(path)
    except RtspError as error:
        if error.cause in _FATAL:
            raise
        return Offer(channel, stream, path, error=error.cause, message=str(error))
    video = next(item for item in media if item.kind == "video")
    audio = next((item.codec for item in media if item.kind == "audio"), None)
    return Offer(channel, stream, path, video.codec, video.width, video.height, video.fps, audio)
