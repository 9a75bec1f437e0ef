"""Make room in a recordings folder, by the HDD monitor's configuration or by rules given here.

Examples:
  cllmh-node prune --check                                    what would go by /etc/cllmh/hdd_monitor.yml
  cllmh-node prune --root /mnt/cctv --max-used-percent 80     walk the dated folders, oldest first

Rules about single cameras and classes are in the configuration; those given here are about all recordings.
Without --index a folder given by --root is walked: then no clip is known to be pinned.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cllmh_node import log
from cllmh_node.config import ConfigError, load_config
from cllmh_node.recordings import RetentionError, Root
from cllmh_node.reports import Spool
from cllmh_node.reports.deleted import report_deleted
from cllmh_node.retention import Deletion, Outcome, Policy, plan, prune

if TYPE_CHECKING:
    from cllmh_node.hdd_monitor.config import HddMonitorConfig

_RULES = ("min_free_bytes", "max_used_percent", "max_bytes", "max_age_s", "min_age_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", type=Path, default=Path("/etc/cllmh/hdd_monitor.yml"), help="default: %(default)s")
    source.add_argument("--root", type=Path, help="the recordings folder, instead of a configuration")
    parser.add_argument("--index", type=Path, help="the recorder's index of clips, with --root")
    parser.add_argument("--mount-point", type=Path, metavar="DIR", help="refuse unless the disk is mounted here")
    parser.add_argument("--min-free-bytes", type=int, metavar="N", help="keep this much free")
    parser.add_argument("--max-used-percent", type=float, metavar="P", help="use at most this part of the disk")
    parser.add_argument("--max-bytes", type=int, metavar="N", help="all recordings take at most this")
    parser.add_argument("--max-age-s", type=float, metavar="S", help="delete what ended longer ago")
    parser.add_argument("--min-age-s", type=float, metavar="S", help="never delete what ended less than this ago")
    parser.add_argument("--check", action="store_true", help="say what would go and delete nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Prune once; exit 1 when it was refused or not all could be deleted."""
    log.setup()
    rules = {name: value for name in _RULES if (value := getattr(args, name)) is not None}
    try:
        if args.root is not None:
            return _prune(args, args.root, args.index, Policy(**rules), None)
        config = _config(args)
        policy = replace(config.retention.policy(), **rules)
        args.mount_point = args.mount_point or config.mount_point
        spool = None if config.spool_dir is None else Spool(config.spool_dir)
        return _prune(args, config.recordings_dir, config.index, policy, spool)
    except RetentionError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _config(args: argparse.Namespace) -> "HddMonitorConfig":
    """Return the HDD monitor's configuration."""
    from cllmh_node.hdd_monitor.config import HddMonitorConfig

    if args.index is not None:
        raise ConfigError("--index goes with --root; the configuration has its own")
    return load_config(args.config, HddMonitorConfig)


def _prune(args: argparse.Namespace, path: Path, index: Path | None, policy: Policy, spool: Spool | None) -> int:
    """Plan, or plan and act, and print what came of it."""
    if args.check:
        with Root(path, args.mount_point) as root:
            outcome = Outcome.promised(plan(root, policy, index))
    else:
        outcome = prune(path, policy, index, mount_point=args.mount_point)
        if spool is not None:
            report_deleted(spool, outcome)
    if args.json:
        sys.stdout.write(json.dumps(_as_dict(outcome, check=args.check)) + "\n")
    else:
        _print(outcome, check=args.check)
    return 1 if outcome.failed or outcome.index_problem else 0


def _as_dict(outcome: Outcome, *, check: bool) -> dict[str, Any]:
    """Return the outcome as JSON has it."""
    return {
        "check": check,
        "plan": [_line(deletion) for deletion in outcome.planned],
        "deleted": [_line(deletion) for deletion in outcome.deleted],
        "missing": list(outcome.missing),
        "failed": [{"path": path, "reason": reason} for path, reason in outcome.failed],
        "index_problem": outcome.index_problem,
        "freed_bytes": outcome.freed_bytes,
        "freed_inodes": outcome.freed_inodes,
        "short_bytes": outcome.short_bytes,
        "short_files": outcome.short_files,
        "before": asdict(outcome.before),
        "after": asdict(outcome.after),
    }


def _line(deletion: Deletion) -> dict[str, Any]:
    """Return one deletion as JSON has it."""
    clip = deletion.clip
    return {"path": clip.path, "bytes": clip.size_bytes, "importance": clip.importance, "reason": deletion.reason}


def _print(outcome: Outcome, *, check: bool) -> None:
    """Print one line a clip, then a summary."""
    verb = "would delete" if check else "deleted"
    size_bytes = 0
    for deletion in outcome.deleted:
        clip = deletion.clip
        size_bytes += clip.size_bytes
        sys.stdout.write(f"{verb} {clip.path} {clip.size_bytes} {clip.importance} {deletion.reason}\n")
    for path, reason in outcome.failed:
        sys.stderr.write(f"failed {path}: {reason}\n")
    if outcome.index_problem:
        sys.stderr.write(f"{outcome.index_problem}\n")
    sys.stdout.write(f"{verb} {len(outcome.deleted)} clips, {size_bytes} bytes; free: {outcome.after.free_bytes}\n")
    if outcome.short_bytes or outcome.short_files:
        short = f"{outcome.short_bytes} bytes and {outcome.short_files} files"
        sys.stderr.write(f"{short} more were asked for than may be deleted\n")
