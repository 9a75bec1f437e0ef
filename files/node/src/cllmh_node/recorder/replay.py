"""What the recorder would have kept of a recorded file."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from cllmh_node.clips.index import ClipIndex, read_clips
from cllmh_node.recorder.ledger import Ledger
from cllmh_node.recorder.pipeline import CameraPipeline
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.watch import Look, Sight
from cllmh_node.rtsp.frame import USUAL_FPS, EncodedFrame, StreamInfo
from cllmh_node.rtsp.session import CameraError

_BEGINS_AT = 946_684_800.0  # any time will do: a file has no date of its own


@dataclass(frozen=True, slots=True)
class Kept:
    """A clip that would have been recorded; seconds from the first frame of the file."""

    start_s: float
    end_s: float
    peak_score: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What was said of one frame that was looked at."""

    at_s: float
    """Seconds from the first frame of the file."""

    sight: Sight
    score: float
    """The part of the picture that the largest area covers, 0..1."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of one file."""

    video: Path
    duration_s: float
    plan: str
    """What was decoded while nothing moved."""

    frames: int
    decoded: int
    """Frames given to the codec, some of them twice."""

    clips: list[Kept]
    seen: list[Seen]


def replay(settings: CameraSettings, video: Path, on_progress: Callable[[float], None] = lambda _share: None) -> Replay:
    """Run a camera's pipeline over a file that PyAV can read, as if the camera had just sent it.

    The clips are made in a folder that is removed at the end. Raises OSError or av.error.FFmpegError when the file
    cannot be read, ValueError when it has no video or no picture in it. `on_progress` is told the part done, 0..1.
    """
    with tempfile.TemporaryDirectory(prefix="cllmh-replay-") as name, av.open(str(video)) as container:
        folder = Path(name)
        if not container.streams.video:
            raise ValueError("it has no video stream")
        info = StreamInfo.of(container.streams.video[0])
        length_s = container.duration / av.time_base if container.duration else 0.0
        index = folder / "index.db"
        pipeline = CameraPipeline(settings, folder, Ledger(ClipIndex(index), None))
        seen: list[Seen] = []

        def on_look(look: Look, at: float) -> None:
            if look.sight is not Sight.NOTHING_NEW:
                seen.append(Seen(at - _BEGINS_AT, look.sight, look.score))

        pipeline.on_look = on_look
        pipeline.connected(info)
        last_at = _BEGINS_AT
        for frame in _frames(container, info):
            try:
                pipeline.feed(frame)
            except CameraError as error:  # damaged for long; a camera would be asked for a new session
                pipeline.lost(error)
                pipeline.connected(info)
            last_at = max(last_at, frame.at)
            if frame.is_keyframe and length_s:
                on_progress(min(1.0, (last_at - _BEGINS_AT) / length_s))
        pipeline.stop()
        if not pipeline.counters.frames:
            raise ValueError("its video stream has no picture")
        clips = [
            Kept(clip.start - _BEGINS_AT, clip.end - _BEGINS_AT, clip.peak_score or 0.0) for clip in read_clips(index)
        ]
        plan, decoded = pipeline.decoding()
        return Replay(video, last_at - _BEGINS_AT, plan, pipeline.counters.frames, decoded, clips, seen)


def _frames(container: av.container.InputContainer, info: StreamInfo) -> Iterator[EncodedFrame]:
    """Yield the file's frames; those without a time stamp, as in raw H.264, follow each other by the frame rate."""
    stream = container.streams.video[0]
    ticks = round(1 / ((stream.guessed_rate or USUAL_FPS) * info.time_base))
    first_pts: int | None = None
    next_pts = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None] or [next_pts]
        pts, dts = stamps[0], stamps[-1]
        next_pts = dts + (packet.duration or ticks)
        first_pts = pts if first_pts is None else first_pts
        at = _BEGINS_AT + (pts - first_pts) * float(info.time_base)
        yield EncodedFrame(bytes(packet), pts, dts, packet.is_keyframe, at, info)
