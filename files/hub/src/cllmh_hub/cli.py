"""The command line `cllmh-hub VERB`.

Exit codes: 0 done, 1 not done, or log lines are missing or doubled, 2 wrong usage or configuration, 3 the log store
cannot be asked.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from cllmh_hub import __version__
from cllmh_hub.command_line import add_config, serve
from cllmh_hub.completeness import command as completeness
from cllmh_hub.config import DEFAULT_CONFIG, HubConfig
from cllmh_hub.config_file import ConfigError, load_config
from cllmh_hub.log_door import command as log_door
from cllmh_hub.log_keeper import command as log_keeper

EXIT_OK = 0
EXIT_USAGE = 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="cllmh-hub", description="The CLLMH hub.")
    parser.add_argument("--version", action="version", version=f"cllmh-hub {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    api = verbs.add_parser("serve", help="run the API until it is told to stop")
    add_config(api, DEFAULT_CONFIG)
    api.add_argument("--bind", default="127.0.0.1:8000", help="HOST:PORT or unix:PATH (default: %(default)s)")
    api.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    api.add_argument("--threads", type=int, default=16, help="requests at once in each process (default: %(default)s)")
    api.set_defaults(run=_serve)

    check = verbs.add_parser("check-config", help="say whether a configuration file is right")
    add_config(check, DEFAULT_CONFIG)
    check.set_defaults(run=_check_config)

    openapi = verbs.add_parser("openapi", help="print the OpenAPI document")
    openapi.set_defaults(run=_openapi)

    log_door.add_verbs(verbs)
    log_keeper.add_verbs(verbs)

    logs = verbs.add_parser("logs", help="questions about the log lines of the sites")
    complete = logs.add_subparsers(dest="question", metavar="QUESTION", required=True).add_parser(
        "complete", help="prove by the log store that no line is missing and none is doubled, by node and hour"
    )
    add_config(complete, DEFAULT_CONFIG)
    completeness.add_arguments(complete)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    return code


def openapi_text() -> str:
    """Return the OpenAPI document as it is kept in files/hub/openapi.json."""
    from cllmh_hub.app import create_api

    return json.dumps(create_api().api_doc, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _serve(args: argparse.Namespace) -> int:
    load_config(args.config, HubConfig)
    # Videos stream as long as they play; the time-out only ends a worker that hangs altogether. Loaded before its
    # workers are forked, a wrong users file ends the start, instead of workers that die for ever.
    options = ("--timeout", "60", "--graceful-timeout", "10", "--preload")
    serve("cllmh_hub.app", args.config, args.bind, workers=args.workers, threads=args.threads, options=options)
    return EXIT_OK


def _check_config(args: argparse.Namespace) -> int:
    config = load_config(args.config, HubConfig)
    nodes = list(config.nodes())
    sys.stdout.write(f"{args.config}: right, {len(config.sites)} sites, {len(nodes)} nodes\n")
    return EXIT_OK


def _openapi(_args: argparse.Namespace) -> int:
    sys.stdout.write(openapi_text())
    return EXIT_OK
