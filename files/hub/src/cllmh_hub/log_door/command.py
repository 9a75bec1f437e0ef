"""The verbs `cllmh-hub log-door serve` and `check`."""

import argparse
import sys

from cllmh_hub import command_line
from cllmh_hub.config_file import load_config
from cllmh_hub.log_door.config import DEFAULT_CONFIG, LogDoorConfig


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `log-door` to the verbs of the command line."""
    door = verbs.add_parser("log-door", help="take the log lines of nodes")
    actions = door.add_subparsers(dest="action", metavar="ACTION", required=True)

    serve = actions.add_parser("serve", help="take lines until it is told to stop")
    command_line.add_config(serve, DEFAULT_CONFIG)
    serve.add_argument("--bind", default="unix:log-door.sock", help="unix:PATH (default: %(default)s)")
    serve.add_argument("--threads", type=int, default=64, help="batches at once (default: %(default)s)")
    serve.set_defaults(run=_serve)

    check = actions.add_parser("check", help="say whether a configuration file is right")
    command_line.add_config(check, DEFAULT_CONFIG)
    check.set_defaults(run=_check)


def _serve(args: argparse.Namespace) -> int:
    load_config(args.config, LogDoorConfig)
    # One process: its counters are the door's, and its work is a few percent of a core. A batch may wait 20 s for its
    # store.
    options = ("--timeout", "60", "--graceful-timeout", "25")
    command_line.serve(
        "cllmh_hub.log_door.app", args.config, args.bind, workers=1, threads=args.threads, options=options
    )
    return 0


def _check(args: argparse.Namespace) -> int:
    load_config(args.config, LogDoorConfig)
    sys.stdout.write(f"{args.config}: right\n")
    return 0
