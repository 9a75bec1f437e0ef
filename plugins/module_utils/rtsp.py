# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""RTSP (RFC 2326) as far as a DVR must be asked what it offers: requests, login, descriptions.

The one implementation behind the module `rtsp_probe` and `cllmh-node probe`. Python's standard library only.
"""

from __future__ import annotations

import re
import time
from types import TracebackType

from .rtsp_login import MAX_TRIES, LoginGate
from .rtsp_message import Challenge, Response, authorization, choose_challenge, parse_challenges, shorten
from .rtsp_target import RtspError, Target, rtsp_url
from .rtsp_wire import Wire, failure
from .sdp import Media, SdpError, parse_sdp

MAX_URL_CHARS = 2048


class RtspClient:
    """One connection to a DVR, opened at the first request; use it in a `with` block."""

    def __init__(self, target: Target, gate: LoginGate | None = None, until: float | None = None) -> None:
        """Take the DVR, the gate that connections with the same login share, and a monotonic time when all must end."""
        self.target = target
        self.server: str | None = None
        self.wanted_session = False
        self.gate = gate or LoginGate()
        self._until = until
        self._wire: Wire | None = None
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
        if self._wire:
            self._wire.close()
        self._wire, self._challenge = None, None

    def options(self) -> tuple[str, ...]:
        """Ask which requests the DVR knows, without a login; a DVR that wants one, or says nothing, gives none."""
        response = self._exchange("OPTIONS", f"{rtsp_url(self.target, '/')}", "")
        methods = shorten(response.first("public") or "", 400).upper().split(",")
        return tuple(method for method in (text.strip() for text in methods) if re.fullmatch("[A-Z_]{1,20}", method))

    def describe(self, path: str) -> tuple[Media, ...]:
        """Ask what a path offers; takes no session of the DVR. Raises RtspError."""
        return self.description(path)[1]

    def description(self, path: str) -> tuple[str, tuple[Media, ...]]:
        """Ask what a path offers; return the URL that its tracks are relative to, and the tracks."""
        where = f"{self.target.authority}{path}"
        url = rtsp_url(self.target, path)
        response = self.request("DESCRIBE", url, where, "Accept: application/sdp\r\n")
        try:
            media = parse_sdp(response.body)
        except SdpError as error:
            raise RtspError("protocol", f"{where} describes its stream in a way not understood: {error}.") from error
        if not any(item.kind == "video" for item in media):
            raise RtspError("no_video", f"{where} offers no video.")
        return response.first("content-base") or response.first("content-location") or url, media

    def request(self, method: str, url: str, where: str, headers: str = "") -> Response:
        """Send one request, logging in when asked to; `where` names the stream in errors. Raises RtspError.

        `url` may come from the DVR (a track's address): what would change the request is refused.
        """
        if len(url) > MAX_URL_CHARS or not re.fullmatch(r"rtsps?://[\x21-\x7e]+", url):
            raise RtspError("protocol", f"{where} names a track by an address that cannot be right: {shorten(url)!r}.")
        self.wanted_session = method == "SETUP"
        response = self._logged_in(method, url, where, headers)
        if response.status != 200:
            raise self._refusal(response, where, method)
        return response

    def _refusal(self, response: Response, where: str, method: str) -> RtspError:
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
        return RtspError("protocol", f"{where} answered {said} to {method}.")

    def _logged_in(self, method: str, url: str, where: str, headers: str) -> Response:
        """Send one request, logging in when asked to; a nonce that has run out is renewed."""
        reused = self._wire is not None
        try:
            response = self._send(method, url, where, headers)
        except RtspError as error:
            # Some DVRs close a connection after an answer such as 404: that is no failure of the next request.
            if not reused or error.cause != "unreachable":
                raise
            response = self._send(method, url, where, headers)
        for _index in range(2):
            if response.status != 401 or not self.target.username:
                break
            challenge = choose_challenge(parse_challenges(response.all("www-authenticate")))
            if self._challenge and not (_is_stale(response) or self._accepted):
                break  # this very user and password were refused: trying again would lock the account
            if challenge is None:
                offered = shorten("; ".join(response.all("www-authenticate")) or "nothing")
                text = f"{self.target.authority} wants a login by a scheme not understood ({offered})."
                raise RtspError("protocol", text)
            self._challenge, self._nonce_count = challenge, 0
            response = self._send(method, url, where, headers)
        return response

    def next_packet(self, deadline: float) -> tuple[int, bytes] | None:
        """Return the next media packet, (channel, bytes); None at the deadline (a monotonic time). Raises RtspError."""
        try:
            return self._wire.next_frame(deadline) if self._wire else None
        except TimeoutError:
            return None
        except (OSError, ValueError) as error:
            self.close()
            raise failure(self.target, error) from error

    def _send(self, method: str, url: str, where: str, headers: str) -> Response:
        """Send one request, with the login if the DVR has asked for one: only if it was not refused before."""
        if self._challenge is None:
            return self._exchange(method, url, headers)
        try:
            known = self.gate.enter()
        except TimeoutError as error:
            text = f"{where} was not asked: {self.target.authority} gave no answer to a login {MAX_TRIES} times."
            raise RtspError("timeout", text) from error
        if known is False:
            raise self.not_asked()
        right: bool | None = None
        try:
            response = self._exchange(method, url, headers)
            if response.status != 401:
                right = True
            elif self._nonce_count == 1 and not _is_stale(response):
                right = False  # a nonce that was taken before may have run out, which says nothing about the password
        finally:
            self.gate.leave(right)
        self._accepted = self._accepted or right is True
        return response

    def not_asked(self) -> RtspError:
        """Return the error for a stream that is not asked for, since its login was refused."""
        text = f"{self.target.authority} refused user {self.target.username}: wrong name or password, or the account is"
        return RtspError("auth", f"{text} locked. The rest was not asked, so that the account is not locked.")

    def deadline(self, seconds: float | None = None) -> float:
        """Return the monotonic time in `seconds` (default: the timeout of an answer), or when all must end."""
        deadline = time.monotonic() + (self.target.timeout_s if seconds is None else seconds)
        return deadline if self._until is None else min(deadline, self._until)

    def _exchange(self, method: str, url: str, headers: str) -> Response:
        """Send one request and read its answer, within the timeout altogether."""
        deadline = self.deadline()
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
            if self._wire is None:
                self._wire = Wire(self.target, deadline)
            self._sequence += 1
            text = f"{method} {url} RTSP/1.0\r\nCSeq: {self._sequence}\r\nUser-Agent: cllmh\r\n{login}{headers}\r\n"
            self._wire.send(text, deadline)
            response = self._wire.read_response(self._sequence, deadline)
        except (OSError, ValueError) as error:
            self.close()
            raise failure(self.target, error) from error
        self.server = shorten(response.first("server") or "") or self.server
        if (response.first("connection") or "").lower() == "close":
            self._wire.close()
            self._wire = None
        return response


def _is_stale(response: Response) -> bool:
    """Whether a 401 is about the nonce, not about the password."""
    challenge = choose_challenge(parse_challenges(response.all("www-authenticate")))
    return challenge is not None and challenge.parameters.get("stale", "").lower() == "true"
