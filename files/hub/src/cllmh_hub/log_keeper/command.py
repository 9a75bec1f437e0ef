"""The verbs `cllmh-hub log-keeper apply`, `run`, `status`, `snapshots`, `restore` and `check`."""

import argparse
import sys
from pathlib import Path

from cllmh_hub.command_line import add_config
from cllmh_hub.config_file import load_config
from cllmh_hub.log_keeper.config import DEFAULT_CONFIG, PATTERN, LogKeeperConfig

_ACTIONS = {
    "apply": "put the index template and the snapshot repository into place",
    "run": "delete days that are over, take a snapshot if one is due",
    "status": "print how the store is; exit 1 when something is wrong",
    "snapshots": "print the snapshots, the newest last",
    "restore": "bring days back that are in a snapshot and not in the store",
    "check": "say whether a configuration file is right",
}


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `log-keeper` to the verbs of the command line."""
    parser = verbs.add_parser("log-keeper", help="look after the log lines in Elasticsearch")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    made = {name: actions.add_parser(name, help=text) for name, text in _ACTIONS.items()}
    for name, action in made.items():
        add_config(action, DEFAULT_CONFIG)
        action.set_defaults(run=_check if name == "check" else _with_store)
        if name != "check":
            action.add_argument("--password-file", type=Path, metavar="FILE", help="instead of the configuration's")
    made["status"].add_argument("--nodes", type=int, default=1, metavar="N", help="machines there should be")
    made["restore"].add_argument("snapshot", nargs="?", default="latest", help="its name (default: %(default)s)")
    made["restore"].add_argument("--index", default=PATTERN, metavar="PATTERN", help="days (default: %(default)s)")


def _with_store(args: argparse.Namespace) -> int:
    # Elasticsearch's client takes a second to load, for which the other verbs do not wait.
    from cllmh_hub.log_keeper.actions import act

    return act(args)


def _check(args: argparse.Namespace) -> int:
    load_config(args.config, LogKeeperConfig)
    sys.stdout.write(f"{args.config}: right\n")
    return 0
