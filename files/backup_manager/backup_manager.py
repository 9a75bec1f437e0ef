#!/usr/bin/env python3
"""Record the channels of one DVR in parallel for a given time, adapting to the CPU's load. No Ansible, no root.

usage: backup_manager.py [--env-file FILE] [--check] [--dry-run] [--json]

Without --env-file it reads `.env` in this folder, or beside this file. All of it is `cllmh-node backup`; see README.md.
The functions below can be imported too; those that need settings read them from the environment.
"""

import gc
import sys
from pathlib import Path

gc.disable()  # What is imported stays: to look through it for garbage is a fifth of the start.
try:
    from cllmh_node.backup.api import (
        backup_channel,
        get_dynamic_concurrency_limit,
        get_dynamic_max_retries,
        get_dynamic_max_workers,
        get_dynamic_retry_delay,
        get_rtsp_url,
        load_log_messages,
        validate_rtsp_stream,
    )
    from cllmh_node.backup.command import main
    from cllmh_node.backup.settings import find_env_file
except ImportError:
    sys.exit("The package cllmh-node is not installed. In this folder: pip install -r requirements.txt (see README.md)")
gc.enable()

__all__ = [
    "backup_channel",
    "get_dynamic_concurrency_limit",
    "get_dynamic_max_retries",
    "get_dynamic_max_workers",
    "get_dynamic_retry_delay",
    "get_rtsp_url",
    "load_log_messages",
    "validate_rtsp_stream",
]

if __name__ == "__main__":
    env_file = find_env_file(Path.cwd(), Path(__file__).resolve().parent)
    given = [] if env_file is None else ["--env-file", str(env_file)]
    sys.exit(main([*given, *sys.argv[1:]]))
