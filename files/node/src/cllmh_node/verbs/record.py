"""Record cameras when something moves, in the foreground, until SIGTERM or Ctrl-C.

Example: cllmh-node record --config /etc/cllmh/recorder.yml
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the recorder's configuration")
    parser.add_argument("--check", action="store_true", help="only say whether the configuration is right")


def run(args: argparse.Namespace) -> int:
    """Run the recorder."""
    from cllmh_node import log
    from cllmh_node.config import load_config
    from cllmh_node.recorder.settings import RecorderConfig

    config = load_config(args.config, RecorderConfig)
    if args.check:
        return 0
    from cllmh_node.recorder.service import RecorderService

    log.setup(language=config.language, level=config.log_level)
    return RecorderService(config).run()
