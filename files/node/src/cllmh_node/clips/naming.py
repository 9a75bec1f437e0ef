"""Where a clip is: `<camera>/<YYYY-MM-DD>/<YYYYMMDDTHHMMSS.mmmZ>.mp4`, named after its first frame, in UTC."""

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath

_NAME = re.compile(r"^(\d{8}T\d{6}\.\d{3})Z\.mp4$")


def clip_path(camera: str, start: float) -> PurePosixPath:
    """Return the path below the recordings directory of a clip that starts at the unix time `start`."""
    moment = datetime.fromtimestamp(round(start, 3), UTC)
    name = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z.mp4"
    return PurePosixPath(camera, f"{moment:%Y-%m-%d}", name)


def clip_start(name: str) -> float | None:
    """Return the unix time at which the clip with this file name starts, None when it is not a clip's name."""
    match = _NAME.match(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def iso_time(at: float) -> str:
    """Return a unix time as ISO 8601 in UTC with milliseconds: `2026-11-22T03:04:05.678Z`."""
    return datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
