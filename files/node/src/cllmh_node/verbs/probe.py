"""List what DVRs, NVRs and IP cameras offer: codec, size, frame rate, or what is wrong.

Asks one DVR for its channels, or with --config the recorder's cameras, all at once. Opens no session unless --receive
is given, so the device's viewers are not disturbed. Passwords come from files, never from the command line. Exit code
1 when no stream at all can be had, or one has an error that --fail-on names; the reason is on stderr too.
"""

import argparse
import json
import sys
from pathlib import Path

from cllmh_node.config import ConfigError, read_secret
from cllmh_node.rtsp.dvr import STREAMS, VENDORS
from cllmh_node.rtsp.offer import CAUSES, Offer, Question, table
from cllmh_node.rtsp.probing import Limits, ask_all
from cllmh_node.rtsp.rtsp_target import Target, Tls, port_of
from cllmh_node.rtsp.survey import AUTO, Wanted, survey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("host", nargs="?", help="name or address of the device")
    parser.add_argument("--config", type=Path, help="ask for the cameras of this configuration of the recorder instead")
    parser.add_argument("--port", type=int, help="RTSP port (default: 554, with --tls 322)")
    parser.add_argument("--vendor", choices=(AUTO, *VENDORS), default=AUTO, help="spelling of its paths (%(default)s)")
    parser.add_argument("--path-template", help="path with {channel} and {stream}, for --vendor generic")
    parser.add_argument("--username", help="user of the device; without it no login is tried")
    parser.add_argument("--password-file", type=Path, help="file, mode 0600, with the password on its first line")
    parser.add_argument("--tls", action="store_true", help="ask over RTSPS")
    parser.add_argument("--ca-file", help="certificates that are trusted, PEM, instead of the system's")
    parser.add_argument("--insecure", action="store_true", help="take any certificate; most DVRs sign their own")
    parser.add_argument("--channel", action="append", help="1 or 1-16: ask for these (again for more; default: all)")
    parser.add_argument("--max-channel", type=int, default=16, help="the last one to ask for (default: %(default)s)")
    parser.add_argument("--stream", choices=STREAMS, action="append", help="main or sub (default: both)")
    parser.add_argument("--receive", type=float, default=0, metavar="SECONDS", help="watch each stream for so long")
    parser.add_argument("--connections", type=int, default=16, help="connections to a host (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for each answer (default: %(default)s)")
    parser.add_argument("--total-timeout", type=float, default=120.0, help="seconds for all (default: %(default)s)")
    parser.add_argument("--fail-on", choices=CAUSES, action="append", default=[], help="exit with 1 on this error")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    if (args.host is None) == (args.config is None):
        raise ConfigError("probe: give either a host or --config FILE.")
    try:
        limits = Limits(args.connections, args.total_timeout, args.receive)
        offers = _of_config(args, limits) if args.config else _of_dvr(args, limits)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    lines = [json.dumps(offer.as_dict()) for offer in offers] if args.json else table(offers)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    failed = [offer for offer in offers if offer.error in args.fail_on]
    if not any(offer.error is None for offer in offers):
        failed = failed or list(offers[:1])
    if failed:
        sys.stderr.write(f"{failed[0].message}\n")
    return 1 if failed or not offers else 0


def _of_dvr(args: argparse.Namespace, limits: Limits) -> tuple[Offer, ...]:
    """Ask for the channels of one DVR."""
    tls = Tls(not args.insecure, args.ca_file) if args.tls else None
    password = read_secret(args.password_file) if args.password_file else None
    target = Target(args.host, port_of(args.port, tls), args.username, password, args.timeout, tls)
    wanted = Wanted(args.vendor, args.channel, args.max_channel, args.stream or STREAMS, args.path_template)
    return survey(target, wanted, limits).offers


def _of_config(args: argparse.Namespace, limits: Limits) -> tuple[Offer, ...]:
    """Ask for the main streams of the recorder's cameras."""
    from cllmh_node.config import load_config
    from cllmh_node.recorder.settings import CameraSettings, RecorderConfig

    def question_of(camera: CameraSettings) -> Question:
        password = read_secret(camera.password_file) if camera.password_file else None
        try:
            target = Target(camera.host, camera.port, camera.username, password, args.timeout)
            return Question(camera.name, target, camera.path, camera.channel)
        except ValueError as error:
            raise ConfigError(f"{args.config}: camera {camera.name}: {error}.") from error

    return ask_all([question_of(camera) for camera in load_config(args.config, RecorderConfig).cameras], limits)
