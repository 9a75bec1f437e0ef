# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Watch a stream for some seconds: SETUP and PLAY over the RTSP connection, count what comes, TEARDOWN.

Python's standard library only.
"""

from __future__ import annotations

import time

from .rtp import Received, RtpCounter
from .rtsp import RtspClient
from .rtsp_target import RtspError
from .sdp import Media
from .sps import Picture, SpsError, read_sps

MAX_RECEIVE_S = 600.0


def receive(client: RtspClient, base: str, video: Media, where: str, seconds: float) -> tuple[Received, Picture | None]:
    """Watch a track; return the figures and what its own parameter sets say of the picture. Raises RtspError.

    It takes one of the DVR's sessions for that long. `base` is the URL that the track's address is relative to.
    """
    url = track_url(base, video.control)
    response = client.request("SETUP", url, where, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
    session = (response.first("session") or "").split(";")[0].strip()
    if not session.isascii() or not session.isprintable() or not 0 < len(session) <= 256:
        raise RtspError("protocol", f"{where} opened a session without a name that could be used.")
    header = f"Session: {session}\r\n"
    try:
        client.request("PLAY", base, where, f"{header}Range: npt=0.000-\r\n")
        counter, watched_s = _count(client, video.codec, seconds)
    finally:
        _end(client, base, where, header)
    if not counter.packets:
        raise RtspError("no_video", f"{where} plays, but sent no video within {client.target.timeout_s:g} s.")
    return counter.result(watched_s), _picture(counter)


def track_url(base: str, control: str | None) -> str:
    """Return the address of a track (RFC 2326, C.1.1); DVRs mean it to be appended, whatever the base ends in."""
    if control is None or control == "*":
        return base
    if control.lower().startswith(("rtsp://", "rtsps://")):
        return control
    return f"{base.rstrip('/')}/{control.lstrip('/')}"


def _count(client: RtspClient, codec: str, seconds: float) -> tuple[RtpCounter, float]:
    """Count the packets of `seconds` from the first one on, which has the timeout of an answer to come."""
    counter = RtpCounter(codec)
    deadline = client.deadline()
    began = None
    while (packet := client.next_packet(deadline)) is not None:
        if packet[0] != 0:
            continue  # RTCP
        if began is None:
            began = time.monotonic()
            deadline = client.deadline(seconds)
        counter.add(packet[1])
        if time.monotonic() >= deadline:
            break  # a stream that is faster than it is read never meets the deadline of a read
    return counter, 0.0 if began is None else time.monotonic() - began


def _end(client: RtspClient, base: str, where: str, header: str) -> None:
    """Give the session back; a DVR that does not say so has lost it with the connection."""
    try:
        client.request("TEARDOWN", base, where, header)
    except RtspError:
        client.close()


def _picture(counter: RtpCounter) -> Picture | None:
    """Return what the last SPS says, if one came."""
    nal = counter.parameter_sets.get(7 if counter.codec == "H264" else 33)
    try:
        return read_sps(counter.codec, nal) if nal else None
    except SpsError:
        return None
