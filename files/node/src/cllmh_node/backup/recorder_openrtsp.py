"""The recorder `openRTSP` (live555): a program that writes what comes as a raw file, of which an MP4 is made here.

It takes the password in its command line, which every user of the machine can read: use the other recorder where that
matters. Its own -d and -D do not always end it, so there is a time-out around it.
"""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from cllmh_node.backup.recorded import Cause, Recorded, RecordingError, Request
from cllmh_node.backup.remux import RemuxError, remux
from cllmh_node.clips.naming import clip_path

PROGRAM = "openRTSP"
SILENCE_S = 5
"""It ends when nothing comes for so long, in seconds (-D)."""

_BUFFER_BYTES = 2_000_000  # a keyframe must fit
_LOOK_EVERY_S = 0.1
_KEYFRAME_WAIT_S = 5.0  # its -d counts from the request on, what is recorded from the first picture on
_TEARDOWN_S = 1.0
_CHECKS_ALSO_S = 10.0
_REFUSALS: tuple[tuple[str, Cause, str], ...] = (
    (r"\b40[13]\b", "auth_failed", "refuses the login"),
    (r"\b404\b", "not_found", "has no such stream"),
    (r"\b453\b", "camera_lost", "has no room for another viewer"),
    (r"resolve|unreachable|no route", "network", "cannot be reached"),
)


def record(request: Request) -> Recorded:
    """Record raw, then remux; raise RecordingError when there is no file."""
    work = request.folder / str(request.channel)
    work.mkdir(mode=0o750, parents=True, exist_ok=True)
    prefix = Path(tempfile.mkdtemp(dir=work, prefix="raw-"))
    try:
        raw, first_at, span_s, said = _run(request, prefix)
        cause, text = _refusal(said, request)
        if raw is None:
            raise RecordingError(cause, text)
        path = request.folder / clip_path(str(request.channel), first_at)
        seconds = remux(raw, path, span_s)
        request.tell(seconds, path.stat().st_size)
        is_whole = seconds >= request.seconds * 0.9 or seconds >= request.seconds - 1
        return Recorded(path, first_at, seconds, None if is_whole else cause, None if is_whole else text)
    except RemuxError as error:
        raise RecordingError("incomplete", str(error)) from None
    except OSError as error:
        raise RecordingError("disk", f"the disk refuses: {error.strerror}") from None
    finally:
        shutil.rmtree(prefix, ignore_errors=True)


def _run(request: Request, folder: Path) -> tuple[Path | None, float, float, str]:
    """Run it to its end; return (raw file, unix time of its first bytes, seconds in which it grew, what it said)."""
    address = request.address
    login = [] if address.username is None else ["-u", address.username, request.password]
    # Not -v for the video alone: then it writes to standard output instead of a file.
    # It must not go on by itself when this process is killed.
    command = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        PROGRAM,
        "-V",
        "-t",
        *login,
        "-D",
        str(SILENCE_S),
        "-d",
        f"{request.seconds + _KEYFRAME_WAIT_S:g}",
    ]
    command += ["-b", str(_BUFFER_BYTES), "-F", f"{folder}/", replace(address, username=None).url(None)]
    deadline = time.monotonic() + request.patience_s - _CHECKS_ALSO_S
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        try:
            raw, first_at, span_s = _watch(request, folder, process, deadline)
        finally:
            _end(process)
        said.seek(0)
        return raw, first_at, span_s, said.read(65536).decode("utf-8", "replace")


def _watch(
    request: Request, folder: Path, process: subprocess.Popen[bytes], deadline: float
) -> tuple[Path | None, float, float]:
    """Wait until it ends, or has to; return (raw file, unix time of its first bytes, seconds in which it grew)."""
    raw: Path | None = None
    size_bytes = 0
    began = ended = first_at = 0.0
    while True:
        has_ended = process.poll() is not None
        raw = raw or next(folder.glob("video-*"), None)
        grown_bytes = raw.stat().st_size if raw else 0
        if grown_bytes > size_bytes:
            now = time.monotonic()
            if not size_bytes:
                began, first_at = now, time.time()
            ended, size_bytes = now, grown_bytes
            request.tell(ended - began, size_bytes)
        is_enough = ended - began >= request.seconds
        if has_ended or is_enough or request.stopping() or time.monotonic() > deadline:
            return (raw if size_bytes else None), first_at, ended - began
        time.sleep(_LOOK_EVERY_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end (SIGHUP: it tells the DVR), or end it."""
    if process.poll() is None:
        process.send_signal(signal.SIGHUP)
        try:
            process.wait(_TEARDOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _refusal(said: str, request: Request) -> tuple[Cause, str]:
    """Return why it ended early. Its own words are not shown: they may hold what it was given."""
    place = f"{request.address.host}:{request.address.port}"
    for pattern, cause, text in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            return cause, f"{place} {text} (channel {request.channel})"
    return "camera_lost", f"{place} sent nothing for {SILENCE_S} s or ended the session"
