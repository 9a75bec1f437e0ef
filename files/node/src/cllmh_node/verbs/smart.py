"""Ask the physical disks below the recordings for their health (SMART), and write it for the HDD monitor.

Needs root and smartctl (package smartmontools). A disk that cannot tell, such as a virtual one, is no error.
"""

import argparse
import sys
from pathlib import Path

from cllmh_node.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/hdd_monitor.yml"), help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="write the configuration's smart_file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Ask once; exit 1 when a disk says that it is failing, or the file could not be written."""
    from cllmh_node.hdd_monitor.config import HddMonitorConfig
    from cllmh_node.hdd_monitor.smart import look, write_smart

    config = load_config(args.config, HddMonitorConfig)
    smart = look(config.recordings_dir)
    if args.write:
        if config.smart_file is None:
            sys.stderr.write(f"{args.config}: smart_file is null, it must name the file to write\n")
            return 1
        try:
            write_smart(config.smart_file, smart)
        except OSError as error:
            sys.stderr.write(f"{config.smart_file}: cannot be written: {error.strerror}\n")
            return 1
    if args.json:
        sys.stdout.write(smart.model_dump_json() + "\n")
    elif not args.write or smart.state == "failing":
        sys.stdout.write(f"{smart.state}{f': {smart.reason}' if smart.reason else ''}\n")
    return 1 if smart.state == "failing" and not args.write else 0
