"""List the recorded clips, oldest first.

Times are UTC. Example: cllmh-node clips --config /etc/cllmh/recorder.yml --camera gate --since 12h
"""

import argparse
from collections.abc import Iterator

from cllmh_node.verbs._listing import Row, add_listing_arguments, listing_config, print_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_listing_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the clips."""
    from cllmh_node.clips.index import read_clips
    from cllmh_node.clips.naming import iso_time

    config = listing_config(args)

    def rows() -> Iterator[Row]:
        for clip in read_clips(config.index_path, cameras=args.camera, since=args.since):
            yield {
                "camera": clip.camera,
                "path": str(config.recordings_dir / clip.path),
                "start": iso_time(clip.start),
                "end": iso_time(clip.end),
                "bytes": clip.size_bytes,
                "importance": clip.importance,
                "labels": list(clip.labels),
            }

    return print_rows(rows, config, args)
