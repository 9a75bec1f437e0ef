"""Look at the log buffers once, say when one fills up, and state which lines were taken.

The timer cllmh-logs-watch runs it every five minutes: what it states goes through the journal, so by hand use --json,
which only prints how full the buffers are.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cllmh_node import log
from cllmh_node.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/logs.yml"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only say whether the configuration is right")
    parser.add_argument("--json", action="store_true", help="only print how full the buffers are")


def run(args: argparse.Namespace) -> int:
    """Look once."""
    from cllmh_node.logs.disk_queue import QueueError, read_fill
    from cllmh_node.logs.settings import LogsConfig
    from cllmh_node.logs.watch import look

    config = load_config(args.config, LogsConfig)
    if args.check:
        return 0
    if args.json:
        try:
            fills = [(one, read_fill(one.dir, one.size_bytes)) for one in config.buffers]
        except QueueError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        buffers = [{"name": one.name, "size_bytes": one.size_bytes, **asdict(fill)} for one, fill in fills]
        sys.stdout.write(json.dumps({"buffers": buffers}) + "\n")
        return 0
    log.setup(language=config.language, level=config.log_level)
    look(config)
    return 0
