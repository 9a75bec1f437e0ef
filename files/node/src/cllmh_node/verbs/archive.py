"""Copy clips to the hub or a bucket, verify the copies, and mark the clips safe.

One run sends what is not safe yet and ends; the timer cllmh-archive.timer starts it again. What a run is cut off from,
the next one sends. Exit code 1 when something was refused or could not be verified.
"""

import argparse
import json
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from cllmh_node import log
from cllmh_node.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/archive.yml"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only say whether the configuration is right")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be sent, in this order, and send nothing"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of lines")


def run(args: argparse.Namespace) -> int:
    """Send once."""
    from cllmh_node.archive.rclone import ArchiveError
    from cllmh_node.archive.run import archive, unsafe_clips
    from cllmh_node.archive.settings import ArchiveConfig

    config = load_config(args.config, ArchiveConfig)
    if args.check:
        return 0
    log.setup(language=config.language, level=config.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        if args.dry_run:
            for clip in unsafe_clips(config):
                row = {"path": clip.path, "importance": clip.importance, "bytes": clip.size_bytes}
                text = json.dumps(row) if args.json else f"{clip.path}  {clip.importance}  {clip.size_bytes}"
                sys.stdout.write(f"{text}\n")
            return 0
        result = archive(config, go_on=lambda: not stop.is_set())
    except ArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if args.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    return 1 if result.is_fault else 0
