"""How long an MP4 plays, finished or not, from its box headers alone.

A clip of ten minutes is 300 MB: reading all of it would keep a camera waiting after a crash, reading the headers of
its fragments takes milliseconds. Source of the boxes: ISO/IEC 14496-12, 8.4.2 (mdhd), 8.8 (movie fragments).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_HEADER_BOX_BYTES = 4 << 20
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"mvex", b"traf"})

Box = tuple[bytes, int, int]
"""Type, where its content begins, where it ends (bytes from the start of the file, or of the enclosing data)."""


class HeadersError(ValueError):
    """The headers do not say how long it plays."""


def seconds_by_headers(path: Path) -> float:
    """Return how much of a clip's video can be played, in seconds; 0 before the first picture.

    Of a finished clip (see `ClipFile`) its header says; of one that still grows, or was cut off, the headers of its
    fragments, and the last of them counts as far as its frames are there. Raises HeadersError when they do not tell: a
    clip that was cut off in its first second, or no MP4; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        track: _Track | None = None
        end = 0.0
        kinds = set()
        is_finished = False
        try:
            for kind, start, stop in _top_level(file, size):
                kinds.add(kind)
                if kind == b"moov":
                    is_finished = b"mdat" in kinds and stop <= size
                    track = _video_track(_read(file, start, stop))
                    end = track.first_ticks / track.timescale
                elif kind == b"moof" and stop <= size:
                    if track is None:
                        raise HeadersError("a fragment before its header")
                    ticks = _played_ticks(_read(file, start, stop), start - 8, track, size)
                    end = max(end, ticks / track.timescale)
        except (struct.error, IndexError):
            raise HeadersError("a box that ends too early") from None
    if b"ftyp" not in kinds or (kinds & {b"moov", b"mdat"} and b"moof" not in kinds and not is_finished):
        raise HeadersError("it has no fragments")
    return end


def _top_level(file: BinaryIO, size: int) -> Iterator[Box]:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        content = at + 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
            content = at + 16
        if length < content - at:  # zeros after a power cut, or 0 for "to the end"
            return
        yield kind, content, at + length
        at += length


def _boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """Yield the boxes in `data`, those inside known containers too."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        length, kind = struct.unpack_from(">I4s", data, start)
        if length < 8 or start + length > stop:
            raise HeadersError("a box that ends outside of its container")
        yield kind, start + 8, start + length
        if kind in _CONTAINERS:
            yield from _boxes(data, start + 8, start + length)
        start += length


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    if stop - start > _MAX_HEADER_BOX_BYTES:
        raise HeadersError(f"a header of {stop - start} bytes")
    file.seek(start)
    return file.read(stop - start)


@dataclass(frozen=True, slots=True)
class _Track:
    """The video track as the header has it: its number, ticks a second, and two lengths in ticks."""

    number: int
    timescale: int
    first_ticks: int
    """What FFmpeg writes with the header already, the first second; the fragments follow it."""

    frame_ticks: int
    """A frame's duration, where a fragment does not say."""


def _video_track(moov: bytes) -> _Track:
    number = timescale = ticks = 0
    video: tuple[int, int, int] | None = None
    frame_ticks: dict[int, int] = {}
    for kind, start, _ in _boxes(moov):
        is_long = moov[start] == 1 if start < len(moov) else False
        if kind == b"tkhd":
            (number,) = struct.unpack_from(">I", moov, start + (20 if is_long else 12))
        elif kind == b"mdhd":
            timescale, ticks = struct.unpack_from(">IQ" if is_long else ">II", moov, start + (20 if is_long else 12))
        elif kind == b"hdlr" and moov[start + 8 : start + 12] == b"vide":
            video = (number, timescale, ticks)
        elif kind == b"trex":
            track, _, duration = struct.unpack_from(">III", moov, start + 4)
            frame_ticks[track] = duration
    if video is None or not video[1]:
        raise HeadersError("it has no video track")
    return _Track(*video, frame_ticks.get(video[0], 0))


def _played_ticks(moof: bytes, moof_at: int, track: _Track, size: int) -> int:
    """Return where the video of a fragment ends in ticks, as far as its frames are in a file of `size` bytes.

    `moof_at`: where the fragment begins in the file. 0 when it has no video, or none of it is there.
    """
    ends = base = data = 0
    default_duration = default_size = 0
    is_video = plays = False
    for kind, start, _ in _boxes(moof):
        fields = _Fields(moof, start)
        if kind == b"tfhd":
            is_video = fields.u32() == track.number
            base = fields.optional(0x1, moof_at, 8)
            fields.optional(0x2, 0)
            default_duration = fields.optional(0x8, track.frame_ticks)
            default_size = fields.optional(0x10, 0)
        elif kind == b"tfdt" and is_video:
            ends = fields.u64() if moof[start] else fields.u32()
        elif kind == b"trun" and is_video:
            count = fields.u32()
            data = base + fields.optional(0x1, data)
            fields.optional(0x4, 0)
            for _ in range(count):
                duration = fields.optional(0x100, default_duration)
                data += fields.optional(0x200, default_size)
                fields.optional(0x400, 0)
                fields.optional(0x800, 0)
                if data > size:
                    break
                ends += duration
                plays = True
    return ends if plays else 0


class _Fields:
    """Reads the fields of a box that begins with a version and flags, one after the other."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start + 4
        self._flags = int.from_bytes(data[start + 1 : start + 4], "big")

    def u32(self) -> int:
        (value,) = struct.unpack_from(">I", self._data, self._at)
        self._at += 4
        return int(value)

    def u64(self) -> int:
        return self.u32() << 32 | self.u32()

    def optional(self, flag: int, default: int, width: int = 4) -> int:
        """Return the field that is there when `flag` is set, else `default`."""
        if not self._flags & flag:
            return default
        return self.u64() if width == 8 else self.u32()
