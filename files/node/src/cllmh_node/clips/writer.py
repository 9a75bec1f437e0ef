"""Writing one clip, by stream copy.

The file is a fragmented MP4 while it grows (about one second a fragment), so that a crash leaves it readable to the
last fragment, and it plays while it is written. At the end it becomes a plain MP4, which players seek in at once.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import av
import av.error

from cllmh_node.clips.file import ClipFile
from cllmh_node.clips.naming import clip_path
from cllmh_node.rtsp.frame import USUAL_FPS, EncodedFrame, StreamInfo

FRAGMENT_S = 1.0


@dataclass(frozen=True, slots=True)
class ClosedClip:
    """A clip that is complete on the disk."""

    path: PurePosixPath
    """Below the recordings directory."""

    start: float
    """Unix seconds (UTC) of the first frame."""

    end: float
    """Unix seconds (UTC) of the end of the last frame."""

    size_bytes: int

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.end - self.start


class ClipWriter:
    """One clip that grows. OSError from any method means that the disk refuses; then call `abandon`."""

    def __init__(
        self,
        recordings_dir: Path,
        camera: str,
        info: StreamInfo,
        start: float,
        need_room: Callable[[], None] = lambda: None,
    ) -> None:
        """Create the file of a clip that starts at the unix time `start`; `need_room` is called when the disk is full.

        After an OSError from here there is nothing to abandon.
        """
        self.path = clip_path(camera, start)
        self.start = round(start, 3)  # as precise as the file's name
        self.frames = 0
        full_path = recordings_dir / self.path
        self._time_base = info.time_base
        self._frame_ticks = max(1, round(1 / (info.fps or USUAL_FPS) / float(info.time_base)))
        self._first_pts = 0
        self._end_pts = 0
        self._last_dts: int | None = None
        self._file = _create(full_path, need_room)
        self._seen_sync = self._file.synced_at
        self.synced_s = 0.0
        """So much of the clip is surely on the disk, in seconds, whatever becomes of it."""
        self._audio = info.audio
        self._audio_shift: int | None = None
        self._audio_dts = -1
        try:
            self._add_streams(info)
        except BaseException:
            self._file.refuse(OSError(errno.EIO, os.strerror(errno.EIO)))
            with contextlib.suppress(OSError):
                self._file.finish()
            raise

    def _add_streams(self, info: StreamInfo) -> None:
        options = {"movflags": "hybrid_fragmented", "frag_duration": str(round(FRAGMENT_S * 1_000_000))}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream = self._container.add_stream_from_template(info.template)
        self._stream.codec_context.extradata = info.extradata or None
        self._stream.codec_context.width, self._stream.codec_context.height = info.width, info.height
        if info.audio is not None:
            self._sound = self._container.add_stream_from_template(info.audio.template)

    @property
    def seconds(self) -> float:
        """How long the clip is by now."""
        return (self._end_pts - self._first_pts) * float(self._time_base)

    @property
    def size_bytes(self) -> int:
        """How many bytes the disk has taken by now."""
        return self._file.size_bytes

    def write(self, frame: EncodedFrame) -> None:
        """Add a frame; the first one must be a keyframe."""
        if frame.is_audio:
            self._write_audio(frame)
            return
        if not self.frames:
            self._first_pts = frame.pts
        # Cameras repeat time stamps now and then; a file's must increase.
        dts = frame.dts if self._last_dts is None else max(frame.dts, self._last_dts + 1)
        pts = max(frame.pts, dts)
        packet = av.Packet(frame.data)
        packet.pts, packet.dts = pts - self._first_pts, dts - self._first_pts
        packet.time_base = self._time_base
        packet.is_keyframe = frame.is_keyframe
        packet.stream = self._stream
        self._container.mux_one(packet)
        if self.frames:
            self._frame_ticks = max(1, dts - (self._last_dts or 0))
        self._last_dts = dts
        self._end_pts = max(self._end_pts, pts + self._frame_ticks)
        self.frames += 1
        self._file.sync_if_due()
        if self._file.synced_at != self._seen_sync:
            self._seen_sync = self._file.synced_at
            self.synced_s = max(0.0, self.seconds - 2 * FRAGMENT_S)  # FFmpeg holds the unfinished fragment

    def _write_audio(self, frame: EncodedFrame) -> None:
        """Add some sound, which has a clock of its own: the first piece begins when it was taken."""
        if self._audio is None or not self.frames:
            return
        if self._audio_shift is None:
            offset_s = frame.at - self.start
            if offset_s < 0:  # before the first picture
                return
            self._audio_shift = round(offset_s / self._audio.time_base) - frame.pts
        packet = av.Packet(frame.data)
        self._audio_dts = max(frame.pts + self._audio_shift, self._audio_dts + 1)
        packet.pts = packet.dts = self._audio_dts
        packet.time_base = self._audio.time_base
        packet.is_keyframe = True
        packet.stream = self._sound
        self._container.mux_one(packet)

    def close(self) -> ClosedClip:
        """Finish the file and sync it."""
        self._container.close()
        size_bytes = self._file.finish()
        return ClosedClip(self.path, self.start, self.start + self.seconds, size_bytes)

    def abandon(self) -> ClosedClip:
        """Leave the file as it is, readable to its last fragment, after the disk refused to take more."""
        self._file.refuse(OSError(errno.EIO, os.strerror(errno.EIO)))
        with contextlib.suppress(OSError, av.error.FFmpegError):  # the same refusal again, known already
            self._container.close()
        with contextlib.suppress(OSError):
            self._file.finish()
        return ClosedClip(self.path, self.start, self.start + self.seconds, self._file.size_bytes)


def _create(path: Path, need_room: Callable[[], None]) -> ClipFile:
    """Make a clip's file and its folders."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        return ClipFile(path, need_room)
    except FileNotFoundError:  # a day's folder that was empty until now: retention was faster
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        return ClipFile(path, need_room)
