"""Send what waits in a disk buffer with a configuration that takes no lines, until the buffer is empty.

For a change that would orphan the buffer (its size or directory): the service is stopped meanwhile. Ends with 1 when
nothing has been acknowledged for --patience seconds.
"""

import argparse
import sys
from pathlib import Path

PERSIST_FILE = Path("/var/lib/syslog-ng/syslog-ng.persist")
"""Debian's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--syslog-ng-config", type=Path, required=True, help="configuration with the old buffers")
    parser.add_argument("--persist-file", type=Path, default=PERSIST_FILE, help="default: %(default)s")
    parser.add_argument("--buffer", type=Path, action="append", required=True, help="directory of a queue file")
    parser.add_argument("--patience", type=float, default=30, help="seconds, default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Drain; print how many lines are left."""
    from cllmh_node.logs.drain import DrainError, drain

    try:
        drain(args.syslog_ng_config, args.persist_file, args.buffer, args.patience)
    except DrainError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
