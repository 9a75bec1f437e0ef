"""The source of the benchmarks: exact counts, and a stream that never breaks."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

from bench.source import Camera, Source, Track
from fakes.fake_dvr import AccessUnit, Footage

UNITS = [AccessUnit((b"\x65" * 10, b"\x65" * 5), True), AccessUnit((b"\x41" * 7,), False)]


@contextlib.contextmanager
def play(footage: Footage, units: list[AccessUnit]) -> Iterator[tuple[int, Source]]:
    """Run a source with one camera, `gate`, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    source = Source({"gate": Camera(Track(footage, units, footage.fps), 0.0)}, time.time())
    try:
        yield asyncio.run_coroutine_threadsafe(source.serve(), loop).result(5), source
    finally:
        asyncio.run_coroutine_threadsafe(source.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def headers(track: Track, number: int) -> list[tuple[int, int, bool]]:
    """Each packet's (sequence number, time stamp, is the frame's last)."""
    data, found = track.packets(number), []
    while data:
        size = struct.unpack(">xxH", data[:4])[0]
        _, kind, sequence, stamp, _ = struct.unpack(">BBHII", data[4:16])
        found.append((sequence, stamp, bool(kind & 0x80)))
        data = data[4 + size :]
    return found


def test_sequence_numbers_and_time_stamps_go_on_where_the_footage_begins_anew() -> None:
    track = Track(Footage("H264", 10.0, tuple(UNITS), ()), UNITS, 10.0)
    assert headers(track, 0) == [(0, 0, False), (1, 0, True)]
    assert headers(track, 1) == [(2, 9000, True)]
    assert headers(track, 2) == [(3, 18000, False), (4, 18000, True)]
    assert headers(track, 2 * 21_845 + 1)[0][0] == (21_845 * 3 + 2) & 0xFFFF


def test_a_client_is_told_what_the_stream_is_and_gets_every_frame_from_a_keyframe_on() -> None:
    with play(Footage("H264", 50.0, tuple(UNITS), (b"\x67\x42\x00\x1e", b"\x68\xce")), UNITS) as (port, source):
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            for number, method in enumerate(("DESCRIBE", "SETUP", "PLAY")):
                client.sendall(f"{method} rtsp://127.0.0.1:{port}/me/gate RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
            data = b""
            while data.count(b"$\0\0") < 20:
                data += client.recv(65_536)
        assert b"m=video" in data
        assert b"RTSP/1.0 200 OK" in data
        count = source.counts["me/gate"]
    assert (count.connections, count.first is not None and count.first % 2) == (1, 0)
    assert count.sent >= 13  # twenty packets are at least thirteen frames
