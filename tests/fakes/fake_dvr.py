#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A simulated DVR: raw H.264/H.265 files as endless RTSP channels (RTP over the RTSP connection, RFC 2326).

Standard library only, so that it runs on a bare Debian with python3. All clients and all DVRs share one
time line: the position in a file's loop is the unix time modulo its length, whoever asks and whenever.
A new stream begins at the next keyframe. A channel that was not given does not exist (404).

Example: ``fake_dvr.py --port 554 --username admin --password-file PASSWORD --vendor dahua
--channel 1=channel1.h264 --channel 2=channel2.h264``

Faults for tests: ``--max-sessions`` (453 beyond it), ``--stall CHANNEL=SECONDS`` (the picture stops, the
connection stays), ``--drop CHANNEL=SECONDS`` (the connection is cut), ``--silent`` (accepts, never answers).
More of them, such as time stamps that jump, are other schedules of what is sent when: `schedules.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import heapq
import hmac
import logging
import re
import secrets
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOG = logging.getLogger("fake_dvr")
CLOCK_HZ = 90_000  # RTP clock of video, RFC 6184 and RFC 7798
PAYLOAD_TYPE = 96
MAX_PAYLOAD_BYTES = 1400
SENDER_REPORT_S = 5.0
NTP_EPOCH_OFFSET_S = 2_208_988_800  # 1900 to 1970, RFC 868
SLOW_CLIENT_S = 10.0
AUTH_SCHEMES = ("digest", "digest-noqop", "digest-sha256", "basic", "none")
HANG = 0
"""The status of a request that is never answered."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Stream Not Found",
    405: "Method Not Allowed",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
PATHS = {
    "dahua": re.compile(r"^/cam/realmonitor\?(?=.*\bchannel=(?P<channel>\d+))(?=.*\bsubtype=(?P<sub>\d+))", re.I),
    "hikvision": re.compile(r"^/Streaming/Channels/(?P<channel>\d+)0(?P<sub>\d)(\?.*)?$", re.I),
}


@dataclass(frozen=True)
class AccessUnit:
    """One picture: its RTP payloads (cut to MAX_PAYLOAD_BYTES) and whether decoding can start here."""

    payloads: tuple[bytes, ...]
    keyframe: bool


@dataclass(frozen=True)
class Footage:
    """One encoded file, loaded whole: ``units`` in decoding order, ``parameters`` as SPS, PPS (VPS first)."""

    codec: str
    fps: float
    units: tuple[AccessUnit, ...]
    parameters: tuple[bytes, ...]
    shifts: tuple[int, ...] = ()
    """With B-frames: by how many pictures each unit is shown later than its place in the file says."""

    @classmethod
    def load(cls, path: Path, fps: float) -> Footage:
        """Read an Annex B file; its timing is ``fps``, whatever its own headers say."""
        nals = [nal.rstrip(b"\0") for nal in path.read_bytes().split(b"\0\0\1")[1:]]
        if not nals:
            raise ValueError(f"{path}: not a raw H.264 or H.265 (Annex B) file")
        codec = "H265" if nals[0][:2] in (b"\x40\x01", b"\x46\x01") else "H264"
        parameters: dict[int, bytes] = {}
        units: list[AccessUnit] = []
        pending: list[bytes] = []
        has_picture = keyframe = False
        for nal in [*nals, b""]:
            kind, picture, first, key = classify(codec, nal) if nal else (-1, False, False, False)
            if has_picture and (not picture or first):  # the next access unit begins
                units.append(AccessUnit(tuple(p for n in pending for p in packetise(codec, n)), keyframe))
                pending, has_picture, keyframe = [], False, False
            if kind in ((32, 33, 34) if codec == "H265" else (7, 8)):
                parameters.setdefault(kind, nal)
            if kind != (35 if codec == "H265" else 9):  # cameras send no access unit delimiters
                pending.append(nal)
            has_picture, keyframe = has_picture or picture, keyframe or key
        if not units or not units[0].keyframe:
            raise ValueError(f"{path}: no raw H.264 or H.265 stream that begins with a keyframe")
        return cls(codec, fps, tuple(units), tuple(parameters[kind] for kind in sorted(parameters)))

    def format_parameters(self) -> str:
        """The ``a=fmtp`` values that let a client decode from the first packet."""
        encoded = [base64.b64encode(nal).decode() for nal in self.parameters]
        if self.codec == "H265":
            return ";".join(f"sprop-{name}={value}" for name, value in zip(("vps", "sps", "pps"), encoded, strict=True))
        profile = self.parameters[0][1:4].hex().upper()
        return f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={','.join(encoded)}"


def classify(codec: str, nal: bytes) -> tuple[int, bool, bool, bool]:
    """Return a NAL unit's (type, is part of a picture, is its first slice, is part of a keyframe)."""
    if codec == "H265":
        kind = nal[0] >> 1 & 0x3F
        return kind, kind < 32, kind < 32 and bool(nal[2] & 0x80), 16 <= kind <= 21
    kind = nal[0] & 0x1F
    return kind, kind in (1, 5), kind in (1, 5) and bool(nal[1] & 0x80), kind == 5


def packetise(codec: str, nal: bytes) -> list[bytes]:
    """Cut a NAL unit into RTP payloads: itself when it fits, else FU-A (RFC 6184) or FU (RFC 7798)."""
    if len(nal) <= MAX_PAYLOAD_BYTES:
        return [nal]
    if codec == "H265":
        head, kind, body = bytes([nal[0] & 0x81 | 49 << 1, nal[1]]), nal[0] >> 1 & 0x3F, nal[2:]
    else:
        head, kind, body = bytes([nal[0] & 0xE0 | 28]), nal[0] & 0x1F, nal[1:]
    size = MAX_PAYLOAD_BYTES - 3  # less the fragment's own header; always at least two pieces
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    marks = [0x80, *[0] * (len(pieces) - 2), 0x40]
    return [head + bytes([mark | kind]) + piece for mark, piece in zip(marks, pieces, strict=True)]


@dataclass(frozen=True)
class Audio:
    """A sound track: RTP payloads that are sent in a loop, each of ``ticks`` of the RTP clock."""

    payload_type: int
    clock_hz: int
    ticks: int
    payloads: tuple[bytes, ...]
    attributes: tuple[str, ...] = ()
    """Lines of the description: ``rtpmap`` and ``fmtp`` of a dynamic payload type."""


PCMA = Audio(8, 8000, 160, (b"\xd5" * 160,))
"""Silence in G.711 A-law, 20 ms a packet (RFC 3551)."""


@dataclass(frozen=True)
class Sample:
    """What is sent at the unix time ``due``: a picture (track 0) or some sound (track 1)."""

    due: float
    stamp: int
    payloads: tuple[bytes, ...]
    track: int = 0


Schedule = Callable[[Footage], Iterator[Sample]]


def on_the_time_line(footage: Footage, now: float | None = None) -> Iterator[Sample]:
    """Yield the loop from the next keyframe on, for ever, at the shared time line."""
    units, fps = footage.units, footage.fps
    at = int((time.time() if now is None else now) * fps) + 1  # pictures since 1970: the same for every client
    while not units[at % len(units)].keyframe:
        at += 1
    first = at
    while True:
        shown = at - first + (footage.shifts[at % len(units)] if footage.shifts else 0)
        yield Sample(at / fps, round(shown * CLOCK_HZ / fps), units[at % len(units)].payloads)
        at += 1


def sound(audio: Audio, now: float) -> Iterator[Sample]:
    """Yield the sound from the unix time ``now`` on, for ever."""
    number = 0
    while True:
        payload = audio.payloads[number % len(audio.payloads)]
        yield Sample(now + number * audio.ticks / audio.clock_hz, number * audio.ticks, (payload,), 1)
        number += 1


@dataclass
class FakeDvr:
    """What the DVR offers and how it misbehaves; ``channels`` maps (channel, is sub-stream) to footage."""

    channels: dict[tuple[int, bool], Footage]
    username: str
    password: str
    vendor: str = "any"
    auth: str = "digest"
    max_sessions: int = 64
    session_timeout_s: int = 60
    stall_after_s: dict[int, float] = field(default_factory=dict)
    drop_after_s: dict[int, float] = field(default_factory=dict)
    silent: bool = False
    latency_s: float = 0.0
    """Every answer comes so much later."""

    max_connections: int = 10_000
    """Those beyond it are answered 503 and closed."""

    hang: frozenset[int] = frozenset()
    """Channels whose description is never answered."""

    refuse: dict[int, int] = field(default_factory=dict)
    """Channel -> status that its description is refused with."""

    refuse_sub: dict[int, int] = field(default_factory=dict)
    """The same for its sub-stream alone."""

    logins_refused: int = 0
    """How often a wrong user or password came: real DVRs lock the account after a few."""

    most_connections: int = 0
    """How many there were at a time."""

    audio: Audio | None = None
    tls: ssl.SSLContext | None = None
    schedules: dict[int, Schedule] = field(default_factory=dict)
    sender_reports: bool = True
    rtcp_keeps_alive: bool = True
    connections: set[Session] = field(default_factory=set)
    sessions: set[Session] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def named(self, url: str) -> tuple[int, bool] | None:
        """Return (channel, is sub-stream) of an RTSP URL in this vendor's spelling, or None."""
        path = re.sub(r"^rtsps?://[^/]*", "", re.sub(r"(/|/trackID=\d)$", "", url))
        for vendor, pattern in PATHS.items():
            match = pattern.match(path) if self.vendor in (vendor, "any") else None
            if match:
                return int(match["channel"]), match["sub"] != ("0" if vendor == "dahua" else "1")
        return None

    def find(self, url: str) -> tuple[int, Footage] | None:
        """Return (channel, footage) of an RTSP URL, or None; a sub-stream that was not given shows the main stream."""
        named = self.named(url)
        footage = named and (self.channels.get(named) or self.channels.get((named[0], False)))
        return (named[0], footage) if named and footage else None

    def refusal(self, url: str) -> int | None:
        """Return the status that the description of an RTSP URL is refused with, None when it is not."""
        channel, is_sub = self.named(url) or (-1, False)
        return self.refuse_sub.get(channel) if is_sub and channel in self.refuse_sub else self.refuse.get(channel)

    async def serve(self, address: str, port: int) -> asyncio.Server:
        """Start listening; port 0 takes a free one."""
        return await asyncio.start_server(
            lambda r, w: Session(self, r, w).run(), address, port, limit=2**16, ssl=self.tls
        )


@dataclass(eq=False)
class Session:
    """One client connection, with at most one playing stream (and its sound)."""

    dvr: FakeDvr
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    stream: tuple[int, Footage] | None = None
    rtp_channels: dict[int, int] = field(default_factory=dict)
    asked_at: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer requests until the client leaves, falls silent, or breaks the protocol."""
        peer = self.writer.get_extra_info("peername")
        full = len(self.dvr.connections) >= self.dvr.max_connections
        self.dvr.connections.add(self)
        self.dvr.most_connections = max(self.dvr.most_connections, len(self.dvr.connections))
        try:
            while True:
                async with asyncio.timeout(self.asked_at + self.dvr.session_timeout_s - time.monotonic()):
                    head = await self.reader.readexactly(1)
                    if head == b"$":  # interleaved RTCP of the client: a sign of life, nothing more
                        size = struct.unpack(">xH", await self.reader.readexactly(3))[0]
                        await self.reader.readexactly(size)
                        self.asked_at = time.monotonic() if self.dvr.rtcp_keeps_alive else self.asked_at
                        continue
                    text = head + await self.reader.readuntil(b"\r\n\r\n")
                self.asked_at = time.monotonic()
                if self.dvr.silent:
                    continue
                request, *lines = text.decode("utf-8", "replace").rstrip().split("\r\n")
                headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
                await self.reader.readexactly(int(headers.get("content-length", "0")))
                method, _, rest = request.partition(" ")
                await asyncio.sleep(self.dvr.latency_s)
                status, extra, body = (503, [], "") if full else self.answer(method, rest.split(" ")[0], headers)
                LOG.info("%s:%s %s %s -> %s", *peer[:2], method, rest.split(" ")[0], status)
                self.dvr.requests.append(f"{method} {status}")
                if status == HANG:
                    continue
                self.reply(status, headers.get("cseq", "0"), extra, body)
                await self.writer.drain()
                if method == "PLAY" and status == 200 and self.task is None:
                    self.task = asyncio.create_task(self.play())
                if full or (method == "TEARDOWN" and status == 200):
                    return
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            TimeoutError,
            ConnectionError,
            ValueError,
        ) as end:
            LOG.info("%s:%s left: %s", *peer[:2], type(end).__name__)
        finally:
            self.dvr.connections.discard(self)
            self.dvr.sessions.discard(self)
            if self.task:
                self.task.cancel()
            self.writer.close()

    def answer(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, list[str], str]:
        """Decide on one request: (status, extra header lines, body)."""
        if method == "OPTIONS":
            methods = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
            return 200, [f"Public: {methods}"], ""
        if method not in ("DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"):
            return 405, [], ""
        if not self.authorized(method, url, headers.get("authorization", "")):
            self.dvr.logins_refused += "authorization" in headers
            return 401, [f"WWW-Authenticate: {self.challenge()}"], ""
        if method == "DESCRIBE":
            found = self.dvr.find(url)
            if found and found[0] in self.dvr.hang:
                return HANG, [], ""
            refusal = self.dvr.refusal(url)
            if refusal is not None:
                self.dvr.logins_refused += refusal == 401
                return refusal, [f"WWW-Authenticate: {self.challenge()}"] if refusal == 401 else [], ""
            lines = ["Content-Type: application/sdp", f"Content-Base: {url}/"]
            return (200, lines, sdp(found[1], self.dvr.audio)) if found else (404, [], "")
        if method == "SETUP":
            return self.setup(url, headers.get("transport", ""))
        if self not in self.dvr.sessions or headers.get("session", "").split(";")[0] != self.name:
            return 454, [], ""
        lines = [f"Session: {self.name}"]
        return 200, [*lines, "Range: npt=0.000-"] if method == "PLAY" else lines, ""

    def setup(self, url: str, transport: str) -> tuple[int, list[str], str]:
        """Take a place for the stream: TCP interleaved only."""
        found = self.dvr.find(url)
        if found is None:
            return 404, [], ""
        named = re.search(r"/trackID=([01])$", url)
        track = int(named[1]) if named else 0
        if track in self.rtp_channels:
            return 455, [], ""
        if "TCP" not in transport.upper():
            return 461, [], ""
        if self not in self.dvr.sessions and len(self.dvr.sessions) >= self.dvr.max_sessions:
            return 453, [], ""
        match = re.search(r"interleaved=(\d{1,3})", transport)
        self.rtp_channels[track] = min(int(match[1]), 254) if match else 2 * track
        self.stream = found
        self.dvr.sessions.add(self)
        channels = f"{self.rtp_channels[track]}-{self.rtp_channels[track] + 1}"
        line = f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}"
        return 200, [line, f"Session: {self.name};timeout={self.dvr.session_timeout_s}"], ""

    def challenge(self) -> str:
        """The WWW-Authenticate value of this DVR's scheme."""
        if self.dvr.auth == "basic":
            return 'Basic realm="fake-dvr"'
        extra = {"digest": ', qop="auth"', "digest-sha256": ', qop="auth", algorithm=SHA-256'}.get(self.dvr.auth, "")
        return f'Digest realm="fake-dvr", nonce="{self.nonce}"{extra}'

    def authorized(self, method: str, url: str, header: str) -> bool:
        """Check Basic (RFC 7617) or Digest (RFC 7616, and RFC 2069 without qop) credentials."""
        user, password = self.dvr.username, self.dvr.password
        if self.dvr.auth == "none":
            return True
        scheme, _, value = header.partition(" ")
        if self.dvr.auth == "basic":
            expected = base64.b64encode(f"{user}:{password}".encode()).decode()
            return scheme.lower() == "basic" and hmac.compare_digest(value.encode(), expected.encode())
        given = {k.lower(): a or b for k, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]*))', value)}
        if scheme.lower() != "digest" or given.get("nonce") != self.nonce or given.get("uri") != url:
            return False
        function = hashlib.sha256 if self.dvr.auth == "digest-sha256" else hashlib.md5

        def digest(text: str) -> str:
            return function(text.encode()).hexdigest()

        middle = self.nonce
        if self.dvr.auth != "digest-noqop":
            middle = ":".join([self.nonce, given.get("nc", ""), given.get("cnonce", ""), given.get("qop", "")])
        expected = digest(f"{digest(f'{user}:fake-dvr:{password}')}:{middle}:{digest(f'{method}:{url}')}")
        qop_ok = given.get("qop") == (None if self.dvr.auth == "digest-noqop" else "auth")
        same = hmac.compare_digest(given.get("response", "").encode(), expected.encode())
        return qop_ok and given.get("username") == user and same

    def reply(self, status: int, cseq: str, extra: list[str], body: str) -> None:
        """Write one response."""
        lines = [f"RTSP/1.0 {status} {REASONS[status]}", f"CSeq: {cseq}", "Server: fake-dvr", *extra]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def play(self) -> None:
        """Send what the schedule says until the client leaves or a fault is due."""
        assert self.stream is not None
        channel, footage = self.stream
        began = time.monotonic()
        tracks = {number: Track(at) for number, at in self.rtp_channels.items()}
        stall_s, drop_s = self.dvr.stall_after_s.get(channel, 1e9), self.dvr.drop_after_s.get(channel, 1e9)
        samples = self.dvr.schedules.get(channel, on_the_time_line)(footage)
        if self.dvr.audio is not None and 1 in tracks:
            samples = heapq.merge(samples, sound(self.dvr.audio, time.time()), key=lambda sample: sample.due)
        with contextlib.suppress(ConnectionError):
            for sample in samples:
                await asyncio.sleep(max(0.0, sample.due - time.time()))
                played_s = time.monotonic() - began
                if played_s > drop_s:
                    self.writer.transport.abort()
                    return
                if played_s > stall_s:
                    return
                kind = self.dvr.audio.payload_type if self.dvr.audio and sample.track else PAYLOAD_TYPE
                self.writer.write(tracks[sample.track].packets(sample, kind, reports=self.dvr.sender_reports))
                try:
                    # Not wait_for, which forgets now and then, until Python 3.12, that it was cancelled: no stall then.
                    async with asyncio.timeout(SLOW_CLIENT_S):
                        await self.writer.drain()
                except TimeoutError:
                    LOG.info("cut a client that does not read")
                    self.writer.transport.abort()
                    return


@dataclass
class Track:
    """One RTP stream of a session, interleaved in the connection as ``channel`` and, its RTCP, ``channel + 1``."""

    channel: int
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    offset: int = field(default_factory=lambda: secrets.randbits(32))
    sent: int = 0
    octets: int = 0
    reported: float = -1e9

    def packets(self, sample: Sample, kind: int, *, reports: bool) -> bytes:
        """Return a sample's RTP packets, after a sender report when one is due."""
        stamp = (sample.stamp + self.offset) & 0xFFFFFFFF
        out = []
        if reports and abs(sample.due - self.reported) >= SENDER_REPORT_S:
            out.append(self.sender_report(sample.due, stamp))
            self.reported = sample.due
        for number, payload in enumerate(sample.payloads, 1):
            marker = 0x80 if number == len(sample.payloads) else 0
            head = struct.pack(">BBHII", 0x80, kind | marker, self.sequence & 0xFFFF, stamp, self.ssrc)
            out += [struct.pack(">cBH", b"$", self.channel, 12 + len(payload)), head, payload]
            self.sequence, self.sent, self.octets = self.sequence + 1, self.sent + 1, self.octets + len(payload)
        return b"".join(out)

    def sender_report(self, unix: float, stamp: int) -> bytes:
        """RTCP SR (RFC 3550, 6.4.1), interleaved: which wall clock time belongs to which RTP time."""
        seconds = int(unix)
        values = (
            seconds + NTP_EPOCH_OFFSET_S,
            int((unix - seconds) * 2**32),
            stamp,
            self.sent,
            self.octets & 0xFFFFFFFF,
        )
        report = struct.pack(">BBHIIIIII", 0x80, 200, 6, self.ssrc, *values)
        return struct.pack(">cBH", b"$", self.channel + 1, len(report)) + report


def sdp(footage: Footage, audio: Audio | None) -> str:
    """Describe a video track, and a sound track if there is one, the way DVRs do."""
    lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=Media Server", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
    lines += [f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", "a=control:trackID=0", f"a=framerate:{footage.fps:.6f}"]
    lines += [f"a=rtpmap:{PAYLOAD_TYPE} {footage.codec}/{CLOCK_HZ}"]
    lines += [f"a=fmtp:{PAYLOAD_TYPE} {footage.format_parameters()}", "a=recvonly"]
    if audio:
        lines += [f"m=audio 0 RTP/AVP {audio.payload_type}", "a=control:trackID=1", *audio.attributes, "a=recvonly"]
    return "\r\n".join(lines) + "\r\n"


@contextlib.contextmanager
def running(dvr: FakeDvr, address: str = "127.0.0.1") -> Iterator[int]:
    """Run a DVR in a thread of this process, for tests; gives its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-dvr")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(dvr.serve(address, 0), loop).result(10)

    async def stop() -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for session in list(dvr.connections):
            session.writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def numbered(value: str) -> tuple[int, str]:
    """Parse ``NUMBER=VALUE``."""
    number, _, rest = value.partition("=")
    if not number.isdigit() or not rest:
        raise argparse.ArgumentTypeError(f"{value!r} is not CHANNEL=VALUE")
    return int(number), rest


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=554)
    parser.add_argument("--username", default="admin")
    parser.add_argument("--password-file", type=Path, required=True, help="file with the password on one line")
    parser.add_argument("--vendor", choices=(*PATHS, "any"), default="any", help="which URL spelling is answered")
    parser.add_argument("--auth", choices=AUTH_SCHEMES, default="digest")
    parser.add_argument("--channel", type=numbered, action="append", required=True, metavar="N=FILE")
    parser.add_argument("--substream", type=numbered, action="append", default=[], metavar="N=FILE")
    parser.add_argument("--fps", type=float, default=10.0, help="frames/s of the files (default: 10)")
    parser.add_argument("--max-sessions", type=int, default=64)
    parser.add_argument("--session-timeout", type=int, default=60, help="cut clients silent for so many seconds")
    parser.add_argument("--stall", type=numbered, action="append", default=[], metavar="N=SECONDS")
    parser.add_argument("--drop", type=numbered, action="append", default=[], metavar="N=SECONDS")
    parser.add_argument("--silent", action="store_true", help="accept connections, never answer")
    return parser.parse_args()


async def serve_forever(options: argparse.Namespace) -> None:
    """Build the DVR of the command line and serve it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = [(n, False, f) for n, f in options.channel] + [(n, True, f) for n, f in options.substream]
    files = {file: Footage.load(Path(file), options.fps) for file in {file for _, _, file in given}}
    dvr = FakeDvr(
        channels={(number, sub): files[file] for number, sub, file in given},
        username=options.username,
        password=options.password_file.read_text(encoding="utf-8").rstrip("\r\n"),
        vendor=options.vendor,
        auth=options.auth,
        max_sessions=options.max_sessions,
        session_timeout_s=options.session_timeout,
        stall_after_s={number: float(seconds) for number, seconds in options.stall},
        drop_after_s={number: float(seconds) for number, seconds in options.drop},
        silent=options.silent,
    )
    server = await dvr.serve(options.address, options.port)
    LOG.info("ready: %d files, %s, %s, port %d", len(files), options.vendor, options.auth, options.port)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(serve_forever(parse_arguments()))
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        sys.exit(f"fake_dvr: {error}")
