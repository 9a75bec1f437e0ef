"""Account for each camera's time: clip, quiet, off, or a gap with its cause; `unknown` should never be.

Example: cllmh-node coverage --config /etc/cllmh/recorder.yml --since 24h
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from cllmh_node.verbs._listing import Row, add_listing_arguments, listing_config, print_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_listing_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List the stretches."""
    from cllmh_node.clips.coverage import read_coverage
    from cllmh_node.clips.naming import iso_time

    config = listing_config(args)

    def rows() -> Iterator[Row]:
        for stretch in read_coverage(config.index_path, cameras=args.camera, since=args.since, now=time.time()):
            yield {
                "camera": stretch.camera,
                "start": iso_time(stretch.start),
                "end": iso_time(stretch.end),
                "kind": stretch.kind,
                "cause": stretch.cause,
            }

    return print_rows(rows, config, args)
