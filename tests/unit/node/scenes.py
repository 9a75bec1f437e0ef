"""Small camera scenes, encoded as a DVR would, to feed a recorder with: still, noisy, with somebody walking."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from cllmh_node.rtsp.frame import EncodedFrame, StreamInfo

Picture = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 320, 240, 10
BEGINS_AT = 1_767_323_040.0  # 2026-01-02T03:04:00Z


def room(seed: int = 3) -> Picture:
    """A scene with some structure: shelves, a door, a floor."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(60, 180, (HEIGHT // 20, WIDTH // 20))
    return np.kron(coarse, np.ones((20, 20))).astype(np.uint8)


def with_person(picture: Picture, left_px: int, *, grey: int = 235) -> Picture:
    """The scene with somebody standing in it: 20 x 70 pixels, 1.8 % of the picture."""
    shown = picture.copy()
    left, right = max(0, left_px), max(0, min(WIDTH, left_px + 20))
    shown[120:190, left:right] = grey
    return shown


@dataclass(frozen=True)
class Walk:
    """Somebody crosses the scene between two times, in seconds from the scene's begin."""

    begins_s: float
    ends_s: float


def play(seconds: float, *walks: Walk, noise: float = 3.0, seed: int = 5) -> Iterator[Picture]:
    """The frames of a scene: a room, sensor noise (standard deviation in grey levels), and people walking."""
    generator = np.random.default_rng(seed)
    background = room()
    for number in range(round(seconds * FPS)):
        at = number / FPS
        picture = background
        for walk in walks:
            if walk.begins_s <= at < walk.ends_s:
                share = (at - walk.begins_s) / (walk.ends_s - walk.begins_s)
                picture = with_person(picture, round(share * (WIDTH - 20)))
        noisy = picture + generator.normal(0, noise, picture.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def encode(path: Path, pictures: Iterable[Picture], *, gop_s: float = 1.0, fps: int = FPS) -> Path:
    """Encode grey pictures as H.264 with keyframes every `gop_s` seconds, without B-frames, as cameras do."""
    gop = str(round(gop_s * fps))
    options = {"preset": "ultrafast", "crf": "23", "g": gop, "keyint_min": gop, "sc_threshold": "0", "bf": "0"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Camera:
    """A file played as a camera: what the stream is, and its frames with their times."""

    def __init__(self, path: Path, begins_at: float = BEGINS_AT) -> None:
        self._container = av.open(str(path))
        stream = self._container.streams.video[0]
        self._begins_at = begins_at
        self.info = StreamInfo.of(stream)

    def frames(self) -> Iterator[EncodedFrame]:
        """All frames of the file."""
        for packet in self._container.demux(video=0):
            if packet.size and packet.pts is not None:
                at = self._begins_at + packet.pts * float(self.info.time_base)
                yield EncodedFrame(
                    bytes(packet), packet.pts, packet.dts or packet.pts, packet.is_keyframe, at, self.info
                )


def playable_seconds(path: Path) -> float:
    """Decode a clip from the first frame to the last, and return how long it plays."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream) if frame.time is not None]
        return max(times) - min(times) + 1 / float(stream.average_rate or FPS)
