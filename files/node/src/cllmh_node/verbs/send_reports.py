"""Send the reports that wait in the spool to the hub.

Runs until it is stopped (the service cllmh-reports), or with --once until the spool is empty.
"""

import argparse
import logging
import signal
import threading
from pathlib import Path

from cllmh_node import log, systemd
from cllmh_node.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/reports.yml"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only say whether the configuration is right")
    parser.add_argument("--once", action="store_true", help="send what waits, then end; exit 1 when some is left")


def run(args: argparse.Namespace) -> int:
    """Send until SIGTERM or SIGINT, or once."""
    from cllmh_node.reports.sender import ReportsConfig, Sender

    config = load_config(args.config, ReportsConfig)
    if args.check:
        return 0
    log.setup(language=config.language, level=config.log_level)
    sender = Sender(config)
    if args.once:
        return 0 if sender.send_waiting() else 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    systemd.notify("READY=1")
    log.event(logging.getLogger(__name__), "reports_started", hub=config.hub_url)
    sender.run(stop, alive=lambda: systemd.notify("WATCHDOG=1"))
    systemd.notify("STOPPING=1")
    return 0
