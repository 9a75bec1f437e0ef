"""The verbs `cllmh-hub log-door serve` and `check`."""

import argparse
import runpy
import sys
from pathlib import Path

from cllmh_hub.config_file import load_config
from cllmh_hub.log_door.config import DEFAULT_CONFIG, LogDoorConfig


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `log-door` to the verbs of the command line."""
    door = verbs.add_parser("log-door", help="take the log lines of nodes")
    actions = door.add_subparsers(dest="action", metavar="ACTION", required=True)

    serve = actions.add_parser("serve", help="take lines until it is told to stop")
    _add_config(serve)
    serve.add_argument("--bind", default="unix:log-door.sock", help="unix:PATH (default: %(default)s)")
    serve.add_argument("--threads", type=int, default=64, help="batches at once (default: %(default)s)")
    serve.set_defaults(run=_serve)

    check = actions.add_parser("check", help="say whether a configuration file is right")
    _add_config(check)
    check.set_defaults(run=_check)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="configuration (default: %(default)s)"
    )


def _serve(args: argparse.Namespace) -> int:
    load_config(args.config, LogDoorConfig)  # a wrong file is one clear sentence here, a stack trace in gunicorn
    sys.argv = [
        "gunicorn",
        *("--bind", args.bind),
        # One process: its counters are the door's, and its work is a few percent of a core.
        *("--workers", "1", "--worker-class", "gthread", "--threads", str(args.threads)),
        # A batch may wait 20 s for its store.
        *("--timeout", "60", "--graceful-timeout", "25"),
        *("--umask", "0117"),  # a unix socket of mode 0660: only nginx, by its group, and we
        "--no-control-socket",
        f"cllmh_hub.log_door.app:create_app_from({str(args.config)!r})",
    ]
    runpy.run_module("gunicorn", run_name="__main__")  # ends by SystemExit
    return 0


def _check(args: argparse.Namespace) -> int:
    load_config(args.config, LogDoorConfig)
    sys.stdout.write(f"{args.config}: right\n")
    return 0
