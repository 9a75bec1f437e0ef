"""List what a DVR, NVR or IP camera offers: channels, codec, size, frame rate, or what is wrong.

Asks over one connection and opens no session, so the device's viewers are not disturbed. The password comes from a
file, never from the command line. Exit code 1 when the device as a whole cannot be asked; the reason is on stderr.
"""

import argparse
import json
import sys
from pathlib import Path

from cllmh_node.config import ConfigError
from cllmh_node.rtsp.dvr import STREAMS, VENDORS, table
from cllmh_node.rtsp.protocol import RtspError, Target, probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("host", help="name or address of the device")
    parser.add_argument("--port", type=int, default=554, help="RTSP port (default: %(default)s)")
    parser.add_argument("--vendor", choices=VENDORS, required=True, help="how the device spells its paths")
    parser.add_argument("--path-template", help="path with {channel} and {stream}, for --vendor generic")
    parser.add_argument("--username", help="user of the device; without it no login is tried")
    parser.add_argument("--password-file", type=Path, help="file with the password on its first line")
    parser.add_argument("--channel", type=int, action="append", help="ask for this one (again for more; default: all)")
    parser.add_argument("--max-channel", type=int, default=16, help="the last one to ask for (default: %(default)s)")
    parser.add_argument("--stream", choices=STREAMS, action="append", help="main or sub (default: both)")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for each answer (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    try:
        target = Target(args.host, args.port, args.username, _read_password(args.password_file), args.timeout)
        answer = probe(
            target,
            args.vendor,
            channels=args.channel,
            max_channel=args.max_channel,
            streams=args.stream or STREAMS,
            template=args.path_template,
        )
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    except RtspError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lines = [json.dumps(offer.as_dict()) for offer in answer.offers] if args.json else table(answer.offers)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _read_password(file: Path | None) -> str | None:
    """Return the first line of the password file."""
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
