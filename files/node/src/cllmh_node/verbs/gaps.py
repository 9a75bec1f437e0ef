"""List the gaps: when a camera could not be recorded, and why.

Times are UTC; a gap without an end lasts. Example: cllmh-node gaps --config /etc/cllmh/recorder.yml --since 7d
"""

import argparse
from collections.abc import Iterator

from cllmh_node.verbs._listing import Row, add_listing_arguments, listing_config, print_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_listing_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the gaps."""
    from cllmh_node.clips.index import read_gaps
    from cllmh_node.clips.naming import iso_time

    config = listing_config(args)

    def rows() -> Iterator[Row]:
        for gap in read_gaps(config.index_path, cameras=args.camera, since=args.since):
            yield {
                "camera": gap.camera,
                "start": iso_time(gap.start),
                "end": None if gap.end is None else iso_time(gap.end),
                "cause": gap.cause,
            }

    return print_rows(rows, config, args)
