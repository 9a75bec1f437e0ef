"""How much memory FFmpeg may take at once: a camera that lies about lengths must not take all there is."""

import ctypes
from functools import cache
from pathlib import Path

MAX_ALLOCATION_BYTES = 33_554_432
"""Above any encoded frame, and above a plane of an 8K picture (33.2 MB)."""


@cache
def limit_ffmpeg_memory() -> bool:
    """Limit each single allocation of FFmpeg in this process; return whether its library was found.

    By default it is 2 GB, and an RTSP answer of this announced length is read into memory. PyAV has no setting for
    it, so libavutil's own `av_max_alloc` is called in the library that PyAV has loaded.
    """
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()}
    libraries = [path for path in loaded if Path(path).name.startswith("libavutil")]
    for path in libraries:
        set_limit = ctypes.CDLL(path).av_max_alloc
        set_limit.argtypes, set_limit.restype = [ctypes.c_size_t], None
        set_limit(MAX_ALLOCATION_BYTES)
    return bool(libraries)
