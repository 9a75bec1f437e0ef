#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A cheap RTSP source for measurements: many cameras at real time, with exact counts of what was sent.

Each frame is made into RTP packets once, for all cameras that show it, and sent with one write; sequence numbers and
time stamps are a function of the frame's number, so a stream never breaks. No authentication, video only, RTP over the
RTSP connection on channels 0 and 1. A new client begins at its camera's next keyframe. Paths are ``/CLIENT/CAMERA``:
whatever connects names itself, so that each recorder's connections and frames are counted apart.

Usage: ``source.py SPEC.json``; SPEC is ``{"cameras": {NAME: {"plan": [[FILE, TIMES], ...], "fps": F, "delay_s": D}}}``
(H.264 or H.265, Annex B; a third number takes so many of a file's first frames; the plan's files follow each other,
then all begins anew; ``delay_s`` shifts a camera against the others).
Prints ``{"port", "t0"}``: frame N of a camera is sent at unix time t0 + delay_s + N / fps. Then each line ``report`` on
its standard input is answered with the counts, as one line of JSON; ``hold`` stops all sending first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
import termios
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.fake_dvr import CLOCK_HZ, PAYLOAD_TYPE, AccessUnit, Footage, sdp

SSRC = 0x0C11A1A0
MOST_UNSENT_BYTES = 8_000_000
"""A client that leaves so much unread is cut, as a DVR does; at 4 Mbit/s it is 16 s behind then."""

_KEPT_FRAMES = 512  # packetised frames kept for cameras that show them a little later
_GRID_S = 0.005  # cameras are sent together when their delays differ by less


class Track:
    """The frames of a plan, endless; the RTP packets of each are made when it is first asked for."""

    def __init__(self, footage: Footage, units: list[AccessUnit], fps: float) -> None:
        """`footage` describes the stream; `units` are its frames."""
        self.footage = footage
        self.fps = fps
        self._units = units
        self._packets_before = [0]
        for unit in units:
            self._packets_before.append(self._packets_before[-1] + len(unit.payloads))
        self._made: OrderedDict[int, bytes] = OrderedDict()

    def is_keyframe(self, number: int) -> bool:
        """Whether a decoder can begin at a frame."""
        return self._units[number % len(self._units)].keyframe

    def payloads(self, number: int) -> tuple[bytes, ...]:
        """Return a frame's RTP payloads."""
        return self._units[number % len(self._units)].payloads

    def packets(self, number: int) -> bytes:
        """Return a frame's RTP packets as they are written to a connection."""
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = self._packetise(number)
            if len(self._made) > _KEPT_FRAMES:
                self._made.popitem(last=False)
        return made

    def _packetise(self, number: int) -> bytes:
        rounds, at = divmod(number, len(self._units))
        sequence = rounds * self._packets_before[-1] + self._packets_before[at]
        stamp = round(number * CLOCK_HZ / self.fps) & 0xFFFFFFFF
        payloads = self._units[at].payloads
        out = []
        for index, payload in enumerate(payloads):
            kind = PAYLOAD_TYPE | (0x80 if index == len(payloads) - 1 else 0)
            number16 = (sequence + index) & 0xFFFF
            out += [struct.pack(">cBHBBHII", b"$", 0, 12 + len(payload), 0x80, kind, number16, stamp, SSRC), payload]
        return b"".join(out)


@dataclass
class Count:
    """What one client got of one camera."""

    connections: int = 0
    """Streams begun, over all time."""

    sent: int = 0
    """Frames written."""

    cut: int = 0
    """Connections cut because the client did not read."""

    first: int | None = None
    """Number of the first frame of the present (or last) connection."""

    last: int | None = None
    """Number of the last frame sent."""


@dataclass(eq=False)
class Client:
    """A playing connection."""

    transport: asyncio.Transport
    count: Count
    first: int
    """It gets frames from this number on; a keyframe."""

    def unread_bytes(self) -> int:
        """Bytes that the client has not taken yet, in this process and in the kernel."""
        if self.transport.is_closing():
            return 0
        waiting = bytearray(4)
        with contextlib.suppress(OSError):
            ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
        return int(self.transport.get_write_buffer_size() + struct.unpack("i", waiting)[0])


@dataclass(eq=False)
class Camera:
    """One camera of the source."""

    track: Track
    delay_s: float
    clients: dict[Client, None] = field(default_factory=dict)


class Source:
    """All cameras, their clients and the counts."""

    def __init__(self, cameras: dict[str, Camera], t0: float) -> None:
        """`t0`: unix time of frame 0 of a camera without delay."""
        self.held = False
        self.cameras = cameras
        self.t0 = t0
        self.counts: dict[str, Count] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def serve(self, address: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and send; return the port."""
        server = await asyncio.start_server(self._connection, address, port)
        groups: dict[tuple[int, int], list[Camera]] = {}
        for camera in self.cameras.values():
            groups.setdefault((id(camera.track), round(camera.delay_s / _GRID_S)), []).append(camera)
        self._tasks = [asyncio.create_task(self._send(group)) for group in groups.values()]
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop sending and listening, and cut all connections."""
        if self._server is not None:
            self._server.close()
        for camera in self.cameras.values():
            for client in camera.clients:
                client.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def report(self) -> dict[str, dict[str, int | None]]:
        """Return the counts by ``CLIENT/CAMERA``, with what is playing and unread now."""
        rows: dict[str, dict[str, int | None]] = {
            name: {**vars(count), "playing": 0, "unread_bytes": 0} for name, count in self.counts.items()
        }
        for camera in self.cameras.values():
            for client in camera.clients:
                (name,) = [name for name, count in self.counts.items() if count is client.count]
                rows[name]["playing"] = (rows[name]["playing"] or 0) + 1
                rows[name]["unread_bytes"] = (rows[name]["unread_bytes"] or 0) + client.unread_bytes()
        return rows

    def number_at(self, camera: Camera, at: float) -> int:
        """Return the number of the camera's next frame at a unix time."""
        return max(0, int((at - self.t0 - camera.delay_s) * camera.track.fps) + 1)

    async def _send(self, group: list[Camera]) -> None:
        """Send to cameras that show the same frame at the same time."""
        track, delay_s = group[0].track, group[0].delay_s
        number = self.number_at(group[0], time.time())
        while True:
            await asyncio.sleep(max(0.0, self.t0 + delay_s + number / track.fps - time.time()))
            packets: bytes | None = None
            for camera in group:
                for client in tuple(camera.clients):
                    if number < client.first or self.held:
                        continue
                    if packets is None:
                        packets = track.packets(number)
                    self._write(camera, client, packets, number)
            number += 1

    def _write(self, camera: Camera, client: Client, packets: bytes, number: int) -> None:
        if client.transport.is_closing():
            camera.clients.pop(client, None)
            return
        if client.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            client.count.cut += 1
            client.transport.abort()
            return
        client.transport.write(packets)
        client.count.sent += 1
        client.count.last = number

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client's requests."""
        playing: tuple[Camera, Client] | None = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while True:
                head = await reader.readexactly(1)
                if head == b"$":  # RTCP of the client
                    await reader.readexactly(struct.unpack(">xH", await reader.readexactly(3))[0])
                    continue
                text = (head + await reader.readuntil(b"\r\n\r\n")).decode()
                method, url, _ = text.split(" ", 2)
                cseq = text.lower().split("cseq:", 1)[1].split("\r\n", 1)[0].strip()
                name = "/".join(url.removeprefix("rtsp://").split("/")[1:3])
                camera = self.cameras.get(name.split("/")[-1])
                if camera is None:
                    writer.write(f"RTSP/1.0 404 Not Found\r\nCSeq: {cseq}\r\n\r\n".encode())
                    continue
                body = sdp(camera.track.footage, None) if method == "DESCRIBE" else ""
                lines = [f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: bench;timeout=60"]
                if method == "SETUP":
                    lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
                if method == "OPTIONS":
                    lines += ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"]
                if body:
                    lines += [f"Content-Base: {url}/", "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
                if method == "PLAY" and playing is None:
                    playing = camera, self._begin(name, camera, writer.transport)
                if method == "TEARDOWN":
                    break
        if playing is not None:
            playing[0].clients.pop(playing[1], None)
        writer.close()

    def _begin(self, name: str, camera: Camera, transport: asyncio.Transport) -> Client:
        first = self.number_at(camera, time.time())
        while not camera.track.is_keyframe(first):
            first += 1
        count = self.counts.setdefault(name, Count())
        count.connections += 1
        count.first = first
        client = Client(transport, count, first)
        transport.set_write_buffer_limits(MOST_UNSENT_BYTES * 2)
        camera.clients[client] = None
        return client


def load(spec: dict[str, object]) -> dict[str, Camera]:
    """Make the cameras of a specification; files and plans that are used more than once are loaded once."""
    footage: dict[tuple[str, float], Footage] = {}
    tracks: dict[str, Track] = {}
    cameras: dict[str, Camera] = {}
    given: dict[str, dict[str, object]] = spec["cameras"]  # type: ignore[assignment]
    for name, camera in given.items():
        plan: list[tuple[Any, ...]] = camera["plan"]  # type: ignore[assignment]
        fps = float(str(camera["fps"]))
        key = json.dumps([plan, fps])
        if key not in tracks:
            units: list[AccessUnit] = []
            for file, times, *first in plan:
                if (file, fps) not in footage:
                    footage[file, fps] = Footage.load(Path(file), fps)
                units += list(footage[file, fps].units[: first[0] if first else None]) * times
            tracks[key] = Track(footage[plan[0][0], fps], units, fps)
        cameras[name] = Camera(tracks[key], float(str(camera.get("delay_s", 0))))
    return cameras


async def main() -> None:
    """Serve until the standard input ends."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cameras = load(spec)
    source = Source(cameras, time.time())
    port = await source.serve(port=int(spec.get("port", 0)))
    print(json.dumps({"port": port, "t0": source.t0}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        source.held = source.held or line.strip() == b"hold"
        print(json.dumps(source.report()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
