#!/usr/bin/env python3
"""The HDD monitor alone: watch a recordings folder, make room on its disk, answer over HTTP. No Ansible, no root.

usage: hdd_monitor.py [--config FILE] [--listen HOST:PORT] [--check]

Without --config it reads hdd_monitor.yml beside this file. All of it is `cllmh-node hdd-monitor`; see README.md.
"""

import sys
from pathlib import Path

try:
    from cllmh_node.cli import main
except ImportError:
    sys.exit("The package cllmh-node is not installed. In this folder: pip install ../node (see README.md)")

if __name__ == "__main__":
    sys.exit(main(["hdd-monitor", "--config", str(Path(__file__).with_name("hdd_monitor.yml")), *sys.argv[1:]]))
