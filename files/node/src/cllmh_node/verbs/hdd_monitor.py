"""Watch the recordings' disk, make room on it, and answer /health, /disk, /room, /files and more over HTTP."""

import argparse
from pathlib import Path

from cllmh_node import log
from cllmh_node.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/hdd_monitor.yml"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only say whether the configuration is right")
    parser.add_argument("--listen", metavar="HOST:PORT", help="listen here instead of what is configured")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    from cllmh_node.hdd_monitor.config import HddMonitorConfig
    from cllmh_node.hdd_monitor.service import serve

    config = load_config(args.config, HddMonitorConfig)
    if args.check:
        return 0
    log.setup(language=config.language, level=config.log_level)
    serve(config, args.listen)
    return 0
