# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""One TCP or TLS connection to a DVR, and the RTSP messages and media packets on it (RFC 2326, 10.12).

What answers may be broken or hostile: sizes, counts and the time for an answer are limited.
Python's standard library only.
"""

from __future__ import annotations

import socket
import ssl
import time

from .rtsp_message import MAX_HEAD_BYTES, Response, body_size, parse_head, shorten
from .rtsp_target import RtspError, Target

MAX_STRAY_BYTES = 1_048_576
"""Media packets and late answers that are skipped before the answer that is waited for."""


class Wire:
    """A connection. All raises TimeoutError at its deadline (monotonic), OSError, or ValueError for nonsense."""

    def __init__(self, target: Target, deadline: float) -> None:
        """Connect, for RTSPS with TLS."""
        self._buffer = bytearray()
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket = socket.create_connection((target.host, target.port), left_s)
        try:
            # Small requests that wait for answers: Nagle's algorithm would only delay them.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.tls is not None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._socket = target.tls.context().wrap_socket(self._socket, server_hostname=target.host)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, text: str, deadline: float) -> None:
        """Send a request."""
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        self._socket.sendall(text.encode())

    def next_frame(self, deadline: float) -> tuple[int, bytes]:
        """Return the next interleaved packet, (channel, bytes), of a stream that plays; skips what is between them.

        Raises TimeoutError at the deadline (a monotonic time), OSError or ValueError when the connection fails.
        """
        skipped = 0
        while skipped <= MAX_STRAY_BYTES:
            self._fill(4, deadline)
            if self._buffer[0] == ord("$"):
                channel, size = self._buffer[1], int.from_bytes(self._buffer[2:4], "big")
                self._fill(4 + size, deadline)
                return channel, self._take(4 + size)[4:]
            if self._buffer[:4] == b"RTSP":
                skipped += 1 + len(self._read_message(deadline).body)
            else:
                skipped += len(self._take(1))
        raise ValueError(f"more than {MAX_STRAY_BYTES} bytes between two packets")

    def read_response(self, sequence: int, deadline: float) -> Response:
        """Read up to the answer to request number `sequence`; skips media packets and late answers, up to a limit."""
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
                if response.first("cseq") in (None, str(sequence)):
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
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError("it closed the connection without an answer")
            self._buffer += data


def failure(target: Target, error: OSError | ValueError) -> RtspError:
    """Return what a failed exchange is called."""
    where = target.authority
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{where} has a certificate that is not trusted ({shorten(error.verify_message)})"
        return RtspError(
            "protocol", f"{why}: most DVRs sign their own. Give it as ca_file if it bears this name, or do not check."
        )
    if isinstance(error, ssl.SSLError):
        return RtspError("protocol", f"{where} does not speak TLS as wanted: {shorten(error.reason or str(error))}.")
    if isinstance(error, UnicodeError):
        return RtspError("unreachable", f"{where} cannot be reached: this is no name of a host.")
    if isinstance(error, TimeoutError):
        return RtspError("timeout", f"{where} gave no answer within {target.timeout_s:g} s.")
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return RtspError("unreachable", f"{where} cannot be reached: {reason}.")
    return RtspError("protocol", f"{where} does not speak RTSP: {error}.")
