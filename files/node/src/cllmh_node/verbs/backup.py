"""Record the channels of one DVR in parallel for a given time: the Backup Manager.

Everything is told by environment variables, or by a file `.env` in this folder (docs/backup.md lists them).
Exit code 0 when all channels are recorded, 1 when some are not, 2 for a wrong configuration, 3 when the health check
fails.

Examples:
  cllmh-node backup --dry-run         what would be done
  cllmh-node backup --json            one JSON object at the end
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="variables, instead of .env in this folder")
    parser.add_argument("--check", action="store_true", help="only say whether the variables are right")
    parser.add_argument("--dry-run", action="store_true", help="show URLs (password masked), workers and files")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output at the end")


def run(args: argparse.Namespace) -> int:
    """Run once, or again and again with LOOP."""
    from cllmh_node.backup.command import backup
    from cllmh_node.backup.settings import find_env_file, from_environment

    settings = from_environment(args.env_file or find_env_file(Path.cwd()))
    if args.check:
        return 0
    return backup(settings, dry_run=args.dry_run, as_json=args.json)
