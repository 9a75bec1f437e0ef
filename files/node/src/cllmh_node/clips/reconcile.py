"""Bringing the index up to the disk: clips of a run that was killed, or of an index that was lost."""

from collections.abc import Iterator
from pathlib import Path

import av
import av.error

from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.clips.naming import clip_start


def index_unknown_clips(index: ClipIndex, recordings_dir: Path, camera: str) -> list[ClipRow]:
    """Add the camera's clips that are on the disk but not in the index; return them."""
    known = index.known_paths(camera)
    added = []
    for path in sorted((recordings_dir / camera).glob("*/*.mp4")):
        relative = path.relative_to(recordings_dir).as_posix()
        start = clip_start(path.name)
        if relative in known or start is None:
            continue
        seconds = playable_seconds(path)
        if seconds is None:
            continue
        row = ClipRow(camera, relative, start, start + seconds, path.stat().st_size, "motion")
        if index.add_clip(row):
            added.append(row)
    return added


def playable_seconds(path: Path) -> float | None:
    """Return how much of a clip can be played, in seconds; None when nothing can."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return None
            stream = container.streams.video[0]
            assert stream.time_base is not None
            ends = [packet_end * float(stream.time_base) for packet_end in _packet_ends(container, stream)]
    except (av.error.FFmpegError, OSError):
        return None
    return max(ends, default=None)


def _packet_ends(container: "av.container.InputContainer", stream: av.VideoStream) -> Iterator[int]:
    for packet in container.demux(stream):
        if packet.pts is not None and packet.size:
            yield packet.pts + (packet.duration or 0)
