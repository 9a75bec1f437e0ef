"""A network between a client and a server that pauses once, in the midst of an interleaved packet (RFC 2326, 10.12)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_HEAD = b"$\x00"
_CUT_BYTES = 10
"""So much of a packet comes before the pause: its length, and a part of what follows."""


@contextlib.contextmanager
def pausing(port: int, after_bytes: int, pause_s: float) -> Iterator[int]:
    """Pass one connection on to a port of this host, with a pause after so many bytes; gives the port to connect to."""
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []
    is_over = threading.Event()

    def forward(source: socket.socket, target: socket.socket, after: float) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                passed += len(data)
                at = data.find(_HEAD) + _CUT_BYTES
                if passed > after and _CUT_BYTES <= at < len(data):
                    target.sendall(data[:at])
                    is_over.wait(pause_s)
                    data, after = data[at:], float("inf")
                target.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            client = listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", port))
            ends.extend((client, server))
            threading.Thread(target=forward, args=(client, server, float("inf")), daemon=True).start()
            forward(server, client, after_bytes)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_over.set()
        for end in (listener, *ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
