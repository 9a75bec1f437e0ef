"""Bringing the index up to the disk: clips of a run that was killed, of an index that was lost, or deleted by hand."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error

from cllmh_node.clips.index import ClipIndex, ClipRow, Importance
from cllmh_node.clips.mp4_length import HeadersError, seconds_by_headers
from cllmh_node.clips.naming import clip_start
from cllmh_node.log import event
from cllmh_node.recordings import MARKER

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Mended:
    """What was done for one camera."""

    added: list[ClipRow] = field(default_factory=list)
    """Files that had no row."""

    removed: list[str] = field(default_factory=list)
    """Paths of rows that had no file."""

    unplayable: list[str] = field(default_factory=list)
    """Paths of files without a single frame, which were deleted."""


def mend(
    index: ClipIndex,
    recordings_dir: Path,
    camera: str,
    *,
    written_before: float = float("inf"),
    stopping: Callable[[], bool] = lambda: False,
) -> Mended:
    """Bring a camera's rows and files together. A file whose row is there is not opened.

    Files that were changed at the unix time `written_before` or later belong to this run and are left alone.
    `stopping` is asked before each file that has to be opened.
    """
    done = Mended()
    known = index.known_paths(camera)
    found = set()
    for path in _clip_files(recordings_dir / camera):
        relative = f"{camera}/{path.parent.name}/{path.name}"
        found.add(relative)
        if relative in known or relative in (index.open_clip(camera) or ()):
            continue
        if stopping():
            return done
        _mend_file(index, recordings_dir, relative, written_before, done)
    # Without the marker this is not the disk that the rows speak of.
    if (recordings_dir / MARKER).exists():
        done.removed = [path for path in known - found if not (recordings_dir / path).exists()]
        index.remove_clips(done.removed)
    return done


def mend_newest_clip(index: ClipIndex, recordings_dir: Path, camera: str) -> ClipRow | None:
    """Give the newest clip of a camera its row, when the index has lost all of them; return it."""
    folder = recordings_dir / camera
    days = sorted((day.name for day in folder.iterdir() if day.is_dir()), reverse=True) if folder.is_dir() else []
    for day in days:
        names = sorted(
            (path.name for path in (folder / day).iterdir() if clip_start(path.name) is not None), reverse=True
        )
        for name in names:
            row = mend_clip(index, recordings_dir, f"{camera}/{day}/{name}")
            if row is not None:
                return row
    return None


def mend_clip(index: ClipIndex, recordings_dir: Path, path: str, importance: Importance = "motion") -> ClipRow | None:
    """Give the clip at `path` below the recordings directory its row; return it, None when nothing of it plays."""
    done = Mended()
    if (recordings_dir / path).exists():
        _mend_file(index, recordings_dir, path, float("inf"), done, importance)
    return done.added[0] if done.added else None


def _mend_file(
    index: ClipIndex,
    recordings_dir: Path,
    relative: str,
    written_before: float,
    done: Mended,
    importance: Importance = "motion",
) -> None:
    path = recordings_dir / relative
    camera = relative.split("/", 1)[0]
    start = clip_start(path.name)
    try:
        found = path.stat()
        if start is None or found.st_mtime >= written_before:
            return
        seconds = playable_seconds(path)
        if seconds == 0.0:
            path.unlink()
            done.unplayable.append(relative)
            event(logger, "clip_unplayable", level=logging.WARNING, camera=camera, path=relative, bytes=found.st_size)
    except FileNotFoundError:  # retention was faster
        return
    except OSError as error:
        event(logger, "clip_not_mended", level=logging.WARNING, camera=camera, path=relative, text=error.strerror)
        return
    if seconds is None:
        text = "it cannot be played"
        event(logger, "clip_not_mended", level=logging.WARNING, camera=camera, path=relative, text=text)
    if not seconds:
        return
    row = ClipRow(camera, relative, start, start + seconds, found.st_size, importance)
    if index.add_clip(row):
        done.added.append(row)


def _clip_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a camera's folder that are named like clips."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as days:
        names = sorted(day.name for day in days if day.is_dir(follow_symlinks=False))
    for name in names:
        with os.scandir(folder / name) as files:
            yield from (folder / name / file.name for file in files if clip_start(file.name) is not None)


def playable_seconds(path: Path) -> float | None:
    """Return how much of a clip can be played, in seconds.

    0.0 when it is a recording without a single frame; None when it is not a recording of ours. Raises OSError.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if not head.strip(b"\0"):
        return 0.0  # nothing, or the zeros that a power cut can leave
    if head[4:8] != b"ftyp":
        return None
    try:
        return seconds_by_headers(path)
    except HeadersError:
        return _seconds_by_frames(path)


def _seconds_by_frames(path: Path) -> float | None:
    """Return the length of the frames that are there; only for what has no more than its first second."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return None
            stream = container.streams.video[0]
            assert stream.time_base is not None  # an MP4 has it
            frames = [packet for packet in container.demux(stream) if packet.size and not packet.is_corrupt]
            ends = [packet.pts + (packet.duration or 0) for packet in frames if packet.pts is not None]
            return float(max(ends, default=0) * stream.time_base)
    except av.error.FFmpegError:
        return None
