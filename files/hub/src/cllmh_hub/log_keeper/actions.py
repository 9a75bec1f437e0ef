"""What the verbs do that speak to the store."""

import argparse
import json
import logging
import sys
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from cllmh_hub import log
from cllmh_hub.config_file import load_config
from cllmh_hub.log_keeper import keeper
from cllmh_hub.log_keeper.config import LogKeeperConfig
from cllmh_hub.services import utc_now

_EXIT_FAILED = 1
_logger = logging.getLogger(__name__)


def act(args: argparse.Namespace) -> int:
    """Do `args.action` and return the exit code; an error of the store is one line of the log."""
    config = load_config(args.config, LogKeeperConfig)
    log.setup(language=config.language, level=config.log_level)
    with keeper.connect(config, args.password_file) as store:
        try:
            return _ACTIONS[args.action](store, config, args)
        except (ApiError, TransportError, keeper.KeeperError) as error:
            log.event(_logger, "log_keeper_failed", level=logging.ERROR, action=args.action, error=str(error))
            return _EXIT_FAILED


def _apply(store: Elasticsearch, config: LogKeeperConfig, _args: argparse.Namespace) -> int:
    changed = keeper.apply(store, config)
    sys.stdout.write(f"changed: {', '.join(changed)}\n" if changed else "unchanged\n")
    return 0


def _run(store: Elasticsearch, config: LogKeeperConfig, _args: argparse.Namespace) -> int:
    keeper.apply(store, config)
    keeper.delete_days(store, config, utc_now())
    keeper.take_snapshot(store, config, utc_now())
    return 0


def _status(store: Elasticsearch, config: LogKeeperConfig, args: argparse.Namespace) -> int:
    found = keeper.status(store, config, utc_now(), nodes=args.nodes)
    _print(found.as_dict())
    return _EXIT_FAILED if found.problems else 0


def _snapshots(store: Elasticsearch, _config: LogKeeperConfig, _args: argparse.Namespace) -> int:
    for snapshot in keeper.snapshots(store):
        start = snapshot.start.isoformat()
        days = sorted(snapshot.indices)
        _print({"name": snapshot.name, "state": snapshot.state, "start": start, "indices": days})
    return 0


def _restore(store: Elasticsearch, _config: LogKeeperConfig, args: argparse.Namespace) -> int:
    _print(keeper.restore(store, args.snapshot, args.index))
    return 0


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


_ACTIONS = {"apply": _apply, "run": _run, "status": _status, "snapshots": _snapshots, "restore": _restore}
