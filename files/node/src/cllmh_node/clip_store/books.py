"""The store's index, which has a row for every file: without its row, retention would never find a file."""

import logging
from collections.abc import Iterator

from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.damage import set_aside_if_damaged
from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.log import event
from cllmh_node.recordings import Root

logger = logging.getLogger(__name__)

_MAX_CLIP_S = 86400.0
"""No clip is longer, in seconds; a file's mtime is what its node has said."""


def open_index(config: ClipStoreConfig) -> ClipIndex:
    """Open the index; an empty one is built from the files first, as after its loss.

    Raises RetentionError when the store is not there, sqlite3.Error when the index cannot be used.
    """
    with Root(config.clips_dir) as root:
        index = ClipIndex(config.index)
        try:
            if index.is_empty():
                index.add_clips(_rows(root))
        except BaseException:
            index.close()
            raise
    return index


def is_set_aside(config: ClipStoreConfig) -> bool:
    """Set the index aside when it is damaged; return whether it was. Raises sqlite3.Error when that cannot be told."""
    aside = set_aside_if_damaged(config.index)
    if aside is not None:
        event(logger, "index_damaged", level=logging.ERROR, path=config.index, aside=aside)
    return aside is not None


def _rows(root: Root) -> Iterator[ClipRow]:
    """Yield a row for each file; why it was recorded is lost, as for the recorder's own (see `reconcile`)."""
    for clip in root.walk():
        yield ClipRow(
            camera=clip.camera,
            path=clip.path,
            start=clip.start,
            end=min(clip.end, clip.start + _MAX_CLIP_S),
            size_bytes=clip.size_bytes,
            importance="motion",
        )
