"""What the verbs that list rows of the index have in common."""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cllmh_node.config import ConfigError, load_config

if TYPE_CHECKING:
    from cllmh_node.recorder.settings import RecorderConfig

_AGO = re.compile(r"^(\d+)(s|min|h|d)$")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}

Row = Mapping[str, object]


def add_listing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a list of the recorder's rows."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the recorder's configuration")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--camera", action="append", default=[], metavar="NAME", help="only this camera (repeatable)")
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="only what ends after it: ISO 8601 (UTC where it names no zone) or an age such as 30min, 12h, 7d",
    )


def moment(text: str) -> float:
    """Return the unix time that `text` means; raise ArgumentTypeError."""
    ago = _AGO.match(text)
    try:
        if ago:
            return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
        when = datetime.fromisoformat(text)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is before the year 1") from None
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither ISO 8601 such as 2026-11-22T03:00:00Z nor an age such as 30min, 12h or 7d"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def listing_config(args: argparse.Namespace) -> RecorderConfig:
    """Load the recorder's configuration."""
    # Not at the top: the other verbs must not wait for the recorder's settings to load.
    from cllmh_node.recorder.settings import RecorderConfig

    return load_config(args.config, RecorderConfig)


def print_rows(read: Callable[[], Iterable[Row]], config: RecorderConfig, args: argparse.Namespace) -> int:
    """Print rows as JSON lines or as a table; return the exit code.

    Raises ConfigError when there is no index, or `--camera` asks for one that neither it nor the configuration has.
    """
    index = config.index_path
    try:
        _check_cameras(config, args)
        if not index.exists():
            raise ConfigError(f"{index}: there is no index yet, the recorder has not run with this configuration")
        if args.json:
            for row in read():
                sys.stdout.write(json.dumps(row) + "\n")
        else:
            _print_table(list(read()))
        sys.stdout.flush()
    except sqlite3.Error as error:
        sys.stderr.write(f"{index}: cannot be read: {error} (user id {os.geteuid()})\n")
        return 1
    return 0


def _check_cameras(config: RecorderConfig, args: argparse.Namespace) -> None:
    from cllmh_node.clips.index import is_known_camera

    names = [camera.name for camera in config.cameras]
    index = config.index_path
    for name in args.camera:  # clips may outlive their camera
        if name not in names and not (index.exists() and is_known_camera(index, name)):
            raise ConfigError(
                f"--camera: {name}: nothing was recorded of it, and it is not in {args.config}, which has: "
                f"{', '.join(names)}"
            )


def _print_table(rows: list[Row]) -> None:
    if not rows:
        sys.stdout.write("none\n")
        return
    lines = [list(rows[0]), *[[_cell(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ",".join(str(item) for item in value) or "-"
    return str(value)
