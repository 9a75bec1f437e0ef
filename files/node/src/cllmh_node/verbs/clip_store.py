"""The hub's store of clips: take clips in from a node (sshd runs this), or make room by policy.

Examples:
  cllmh-node clip-store prune                  delete by the policy of /etc/cllmh/clip_store.yml
  cllmh-node clip-store door --site site-a     what the key of site-a's node may do; see authorized_keys
"""

import argparse
import os
import re
import sqlite3
import sys
import time
from pathlib import Path

from cllmh_node import log
from cllmh_node.config import ConfigError, load_config

_SITE = re.compile(r"^[a-z0-9-]+$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument(
        "action", choices=["prune", "door", "check"], help="check: only say whether the configuration is right"
    )
    parser.add_argument("--config", type=Path, default=Path("/etc/cllmh/clip_store.yml"), help="default: %(default)s")
    parser.add_argument("--site", help="the site that is at the door")


def run(args: argparse.Namespace) -> int:
    """Do it once; exit 1 when it was refused."""
    from cllmh_node.clip_store.door import RefusedError, serve
    from cllmh_node.clip_store.room import prune_store
    from cllmh_node.clip_store.settings import ClipStoreConfig
    from cllmh_node.recordings import BusyError, RetentionError

    config = load_config(args.config, ClipStoreConfig)
    if args.action == "check":
        return 0
    log.setup(language=config.language, level=config.log_level)
    try:
        if args.action == "prune":
            prune_store(config, time.time())
        else:
            if not _SITE.match(args.site or ""):
                raise ConfigError(f"--site: {args.site!r}: must be a site's name, in small letters, digits and hyphens")
            serve(config, args.site, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    except BusyError:
        return 0  # what the other pruner does is as good
    except (RefusedError, RetentionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except sqlite3.Error as error:
        sys.stderr.write(f"{config.index}: the index of clips cannot be used: {error}\n")
        return 1
    return 0
