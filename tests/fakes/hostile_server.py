"""Servers that answer RTSP in bad faith, each with its own trick: what a recorder must survive."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

_SDP = (
    b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    b"a=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
)


def _read_request(client: socket.socket) -> int:
    """Return the CSeq of the next request; raises OSError when the client has gone."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = client.recv(4096)
        if not piece:
            raise ConnectionError("the client has gone")
        text += piece
    line = next(line for line in text.split(b"\r\n") if line.lower().startswith(b"cseq:"))
    return int(line.split(b":")[1])


def _answer(client: socket.socket, headers: bytes = b"", body: bytes = b"") -> None:
    sequence = _read_request(client)
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    client.sendall(b"RTSP/1.0 200 OK\r\nCSeq: %d\r\n%s%s\r\n%s" % (sequence, headers, length, body))


def _play(client: socket.socket, description: bytes = _SDP) -> None:
    """Go through the whole handshake."""
    _answer(client, b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
    _answer(client, b"Content-Type: application/sdp\r\n", description)
    _answer(client, b"Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
    _answer(client, b"Session: 1\r\n")


def says_nothing(client: socket.socket) -> None:
    """Take the connection and wait."""
    while client.recv(4096):
        pass


def endless_headers(client: socket.socket) -> None:
    """Never end the head of an answer."""
    sequence = _read_request(client)
    client.sendall(b"RTSP/1.0 200 OK\r\nCSeq: %d\r\n" % sequence)
    while True:
        client.sendall(b"X-More: " + b"y" * 500 + b"\r\n")


def slow_loris(client: socket.socket) -> None:
    """Send a byte of an answer now and then, so that no single read takes long."""
    _read_request(client)
    for byte in b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 10_000:
        client.sendall(bytes([byte]))
        if threading.Event().wait(0.05):
            return


def body_that_never_ends(client: socket.socket) -> None:
    """Announce a description of 2 GB and send it."""
    _answer(client)
    sequence = _read_request(client)
    head = b"RTSP/1.0 200 OK\r\nCSeq: %d\r\nContent-Type: application/sdp\r\nContent-Length: 2000000000\r\n\r\n"
    client.sendall(head % sequence)
    while True:
        client.sendall(b"a" * 65_536)


def description_of_garbage(client: socket.socket) -> None:
    """Describe the stream in 60 kB of nonsense."""
    _answer(client)
    _answer(client, b"Content-Type: application/sdp\r\n", b"m=video x y z\r\na=fmtp:" + bytes(range(1, 256)) * 240)


def redirects_for_ever(client: socket.socket) -> None:
    """Send the client on to this very server, again and again."""
    port = client.getsockname()[1]
    while True:
        sequence = _read_request(client)
        location = b"rtsp://127.0.0.1:%d/again" % port
        client.sendall(b"RTSP/1.0 302 Moved\r\nCSeq: %d\r\nLocation: %s\r\n\r\n" % (sequence, location))


def lengths_that_lie(client: socket.socket) -> None:
    """After PLAY send interleaved frames of 65535 bytes, in other channels too, that hold noise."""
    _play(client)
    while True:
        client.sendall(b"$\x00\xff\xff" + b"\x80\x60" + bytes(65_533) + b"$\x07\xff\xff" + b"\xff" * 65_535)


def one_nal_unit_without_end(client: socket.socket) -> None:
    """After PLAY send fragments of one NAL unit and never its end."""
    _play(client)
    sequence = 0
    while True:
        sequence = sequence + 1 & 0xFFFF
        rtp = (
            b"\x80\x60"
            + sequence.to_bytes(2, "big")
            + bytes(4)
            + b"abcd"
            + b"\x7c"
            + (b"\x85" if sequence == 1 else b"\x05")
        )
        client.sendall(b"$\x00" + (len(rtp) + 1400).to_bytes(2, "big") + rtp + b"z" * 1400)


def _send_for_ever(client: socket.socket, payload: bytes) -> None:
    """Send a packet of payload type 96 ten times a second."""
    sequence = 0
    while not threading.Event().wait(0.1):
        sequence = sequence + 1 & 0xFFFF
        rtp = struct.pack(">BBHI4s", 0x80, 0x80 | 96, sequence, sequence * 9000, b"abcd") + payload
        client.sendall(b"$\x00" + len(rtp).to_bytes(2, "big") + rtp)


def another_codec(client: socket.socket) -> None:
    """Send VP8."""
    _play(client, _SDP.replace(b"H264", b"VP8"))
    _send_for_ever(client, b"\x10\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00" + bytes(100))


def unknown_codec(client: socket.socket) -> None:
    """Send a codec that nobody knows."""
    _play(client, _SDP.replace(b"H264", b"FOO"))
    _send_for_ever(client, bytes(100))


def only_sound(client: socket.socket) -> None:
    """Offer no video."""
    _play(client, _SDP.replace(b"m=video", b"m=audio").replace(b"H264/90000", b"L16/8000"))
    _send_for_ever(client, bytes(100))


Trick = Callable[[socket.socket], None]
TRICKS: tuple[Trick, ...] = (
    says_nothing,
    endless_headers,
    slow_loris,
    body_that_never_ends,
    description_of_garbage,
    redirects_for_ever,
    lengths_that_lie,
    one_nal_unit_without_end,
    another_codec,
    unknown_codec,
    only_sound,
)


@contextlib.contextmanager
def hostile(trick: Trick) -> Iterator[int]:
    """Run a server that plays one trick on every client; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            trick(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                clients.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
