#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send one syslog line as a DVR or a router would, from a given source address. Standard library only.

Formats: ``rfc3164`` (DVRs), ``routeros-bsd`` (RouterOS before 7.18, bsd-syslog=yes), ``routeros`` (RouterOS
7.18 and later, remote-log-format=syslog: an ISO 8601 stamp whose offset has no colon), ``routeros-default``
(RouterOS's own format, which has neither stamp nor host).

Example: ``send_syslog.py --to 10.77.0.21 --from 10.77.0.22 --format rfc3164 --host dvr-a "login admin"``
"""

from __future__ import annotations

import argparse
import socket
import sys
from datetime import UTC, datetime

FACILITIES = {"kern": 0, "user": 1, "daemon": 3, "auth": 4, **{f"local{n}": 16 + n for n in range(8)}}
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FORMATS = ("rfc3164", "routeros-bsd", "routeros", "routeros-default")
TIMEOUT_S = 5


def syslog_line(form: str, priority: int, host: str, tag: str, text: str, at: datetime) -> str:
    """Return the datagram for one message; ``at`` is what the device's clock says."""
    # RFC 3164 pads the day with a blank, not a zero.
    bsd_stamp = f"{at:%b} {at.day:>2} {at:%H:%M:%S}"
    if form == "rfc3164":
        return f"<{priority}>{bsd_stamp} {host} {tag}: {text}"
    if form == "routeros-bsd":
        return f"<{priority}>{bsd_stamp} {host} {tag} {text}"
    if form == "routeros":
        return f"<{priority}>{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}{at:%z} {host} {tag} {text}"
    return f"{tag} {text}"


def send(line: str, to: tuple[str, int], source: str | None, transport: str) -> None:
    """Send one line; TCP uses the newline as frame end (RFC 6587, 3.4.2)."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(TIMEOUT_S)
        if source:
            connection.bind((source, 0))
        connection.connect(to)
        connection.sendall(line.encode() + (b"\n" if transport == "tcp" else b""))


def main() -> int:
    """Command line; exit 1 when the line could not be sent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", required=True, help="address of the syslog server")
    parser.add_argument("--port", type=int, default=514)
    parser.add_argument("--from", dest="source", help="source address (must be one of this machine's)")
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--format", choices=FORMATS, default="rfc3164")
    parser.add_argument("--facility", choices=FACILITIES, default="daemon")
    parser.add_argument("--severity", choices=SEVERITIES, default="info")
    parser.add_argument("--host", default=socket.gethostname(), help="host name in the line")
    parser.add_argument("--tag", default=None, help="program (DVR) or topics (RouterOS, as system,info)")
    parser.add_argument("--at", type=datetime.fromisoformat, help="the device's clock (default: now, UTC)")
    parser.add_argument("text", help="the message")
    options = parser.parse_args()
    tag = options.tag or ("system,info" if options.format.startswith("routeros") else "dvr")
    priority = FACILITIES[options.facility] * 8 + SEVERITIES.index(options.severity)
    at = options.at or datetime.now(UTC)
    line = syslog_line(options.format, priority, options.host, tag, options.text, at)
    try:
        send(line, (options.to, options.port), options.source, options.transport)
    except OSError as error:
        print(f"send_syslog: {options.to}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
