"""Does a stream have a picture, and is a recorded file whole? Both are asked of ffprobe.

A password is in no command line: what a URL holds goes to ffprobe by its standard input, as a list of one file.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllmh_node.backup.settings import check_url

STREAM_TIMEOUT_S = 10.0
_FILE_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.5
_PLACES = (0.0, 0.3, 0.6, 0.9)  # of the length that is wanted: a good recording may be a tenth shorter
_NO_COMPLAINT = "Warning: using insecure memory!"  # libgcrypt's, below Debian 12's FFmpeg, where memory is not locked
_PROTOCOLS = "pipe,rtsp,rtsps,rtp,tcp,tls,crypto"
_LIST = "ffconcat version 1.0\nfile '{url}'\noption rtsp_transport tcp\noption timeout {timeout_us}\n"


def validate_rtsp_stream(rtsp_url: str, timeout_s: float = STREAM_TIMEOUT_S) -> bool:
    """Return whether a video stream can be had at a URL within `timeout_s`. Never shows the URL."""
    try:
        # No quotation mark may end the name in the list, and no line feed begin another one.
        url = check_url(rtsp_url, ("rtsp", "rtsps")).replace("'", r"'\''")
    except ValueError:
        return False
    text = _LIST.format(url=url, timeout_us=round(timeout_s * 1e6))
    command = ["-f", "concat", "-safe", "0", "-protocol_whitelist", _PROTOCOLS, "-i", "pipe:0"]
    try:
        found = _ffprobe([*command, "-show_entries", "stream=codec_type"], timeout_s, text)
    except ProbeError:
        return False
    return any(stream.get("codec_type") == "video" for stream in found.get("streams", []))


class ProbeError(Exception):
    """ffprobe could not read it; the text says why and holds no URL."""


@dataclass(frozen=True, slots=True)
class Check:
    """What ffprobe found in a file; `problem` is None when it is whole."""

    problem: str | None
    seconds: float = 0.0
    codec: str | None = None


def check_file(path: Path, wanted_s: float, stopping: Callable[[], bool] = lambda: False) -> Check:
    """Check a recording: its length within 10 % or 1 s, and that it has keyframes that decode.

    Keyframes are decoded at four places from the beginning to the end: to decode all of 16 channels, which end at the
    same time, would take longer than the run may. When `stopping` says that there is no time it is taken for whole.
    """
    places = ",".join(f"{wanted_s * share:.3f}%+#1" for share in _PLACES)
    entries = "format=duration:stream=codec_name,nb_read_frames"
    command = ["-select_streams", "v:0", "-skip_frame", "nokey", "-count_frames", "-read_intervals", places]
    command += ["-threads", "1", "-show_entries", entries, "-i", f"file:{path}"]
    try:
        found = _ffprobe(command, _FILE_TIMEOUT_S, strict=True, stopping=stopping)
    except ProbeError as error:
        return Check(None if stopping() else str(error))
    streams = found.get("streams") or [{}]
    seconds = _number(found.get("format", {}).get("duration"))
    keyframes = int(_number(streams[0].get("nb_read_frames")))
    codec = streams[0].get("codec_name")
    problem = None
    if codec is None:
        problem = "it holds no video"
    elif abs(seconds - wanted_s) > max(1.0, wanted_s / 10):
        problem = f"it is {seconds:.1f} s long instead of {wanted_s:.1f} s"
    elif keyframes < len(_PLACES):
        problem = f"keyframes decode at {keyframes} of {len(_PLACES)} places"
    return Check(problem, seconds, codec)


def _ffprobe(
    arguments: list[str],
    timeout_s: float,
    text: str | None = None,
    *,
    strict: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Run ffprobe and return its answer; `strict`: a complaint is a failure. Raises ProbeError."""
    command = ["ffprobe", "-v", "error", "-of", "json", *arguments]
    deadline = time.monotonic() + timeout_s
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace")
    except OSError as error:
        raise ProbeError(f"ffprobe cannot be run: {error.strerror}") from None
    with process:
        while True:
            try:
                out, said = process.communicate(text, timeout=_LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                text = None  # it was given
                if stopping() or time.monotonic() > deadline:
                    process.kill()
                    raise ProbeError(f"ffprobe has not ended within {timeout_s:.0f} s") from None
    complaint = [line for line in said.strip().splitlines() if line != _NO_COMPLAINT]
    if process.returncode or (strict and complaint):
        # The last line is about the file as a whole; of a stream's complaints nothing is taken, they hold the URL.
        raise ProbeError(f"ffprobe says: {complaint[-1][:200]}" if strict and complaint else "ffprobe cannot read it")
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        raise ProbeError("ffprobe gave no answer that is understood") from None
    return answer


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
