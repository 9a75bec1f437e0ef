#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the footage of the simulated DVRs, once, from Debian's opencv-doc with Debian's ffmpeg.

Both channels are loops of 45 s at 10 frames/s, 768x576, raw H.264 (Annex B, no B-frames, GOP 2 s):

* ``channel1.h264``: 20 s of the still scene, then, from exactly 20 s on, 25 s of people walking;
* ``channel2.h264``: the still scene for all 45 s.

The still scene is the median of the clip over time (nobody stands in one place for long enough to be in
it). The same temporal noise lies over everything, as a sensor's would, so that "still" is never "equal".

Usage: ``footage.py CACHE_DIR`` (needs ffmpeg and opencv-doc); prints the files. Made files are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FPS = 10
STILL_S = 20
WALKING_S = 25
LOOP_S = STILL_S + WALKING_S
GOP_S = 2
# A cheap camera's noise by daylight: about 2 grey levels (standard deviation), new in every frame.
NOISE = "noise=all_seed=7:alls=6:allf=t"
REPEATED = "loop=loop=-1:size=1"
ENCODER = [
    *("-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-bf", "0", "-pix_fmt", "yuv420p"),
    # A fixed GOP (no scene cuts) puts keyframes exactly at 0 s, 2 s, ... and so at the 20 s join.
    # Access unit delimiters make the raw stream easy to cut; repeated headers let it start anywhere.
    *("-x264-params", f"keyint={GOP_S * FPS}:min-keyint={GOP_S * FPS}:scenecut=0:aud=1:repeat-headers=1:threads=1"),
    *("-an", "-f", "h264"),
]
TIMEOUT_S = 300


class FootageError(Exception):
    """The footage cannot be made; the text says what is missing."""


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg quietly; raises FootageError with its own last words."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    except FileNotFoundError as error:
        raise FootageError("ffmpeg is not installed: apt-get install ffmpeg") from error
    except subprocess.CalledProcessError as error:
        raise FootageError(f"ffmpeg failed: {error.stderr.strip()}") from error


def still_scene(picture: Path) -> None:
    """Write the median over time of every fifth frame: the scene without its people.

    As YUV: by way of RGB the white of the clip (up to 253) would become 235, and the two scenes differ in brightness.
    """
    # 159 frames in; a radius of 79 takes them all into one median.
    ffmpeg("-i", SOURCE, "-vf", "select='not(mod(n,5))',tmedian=radius=79", "-frames:v", "1", picture)


def encode_still_then_walking(picture: Path, target: Path) -> None:
    """Encode channel 1; the cut between the two scenes falls on a keyframe."""
    still, walking = STILL_S * FPS, WALKING_S * FPS
    graph = (
        f"[0:v]{REPEATED},trim=end_frame={still},setpts=PTS-STARTPTS,format=yuv420p,setsar=1[still];"
        f"[1:v]trim=end_frame={walking},setpts=PTS-STARTPTS,format=yuv420p,setsar=1[walking];"
        f"[still][walking]concat=n=2,{NOISE}[out]"
    )
    ffmpeg("-i", picture, "-i", SOURCE, "-filter_complex", graph, "-map", "[out]", "-r", str(FPS), *ENCODER, target)


def encode_still(picture: Path, target: Path) -> None:
    """Encode channel 2."""
    graph = f"{REPEATED},trim=end_frame={LOOP_S * FPS},format=yuv420p,{NOISE}"
    ffmpeg("-i", picture, "-vf", graph, "-r", str(FPS), *ENCODER, target)


def make_footage(cache_dir: Path) -> dict[int, Path]:
    """Return {channel number: file}, making the files if they are missing or of an older recipe."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    stamp = cache_dir / "footage.recipe"
    files = {1: cache_dir / "channel1.h264", 2: cache_dir / "channel2.h264"}
    if all(file.exists() for file in files.values()) and stamp.exists() and stamp.read_text() == recipe:
        return files
    if not SOURCE.exists():
        raise FootageError(f"{SOURCE} is missing: apt-get install opencv-doc")
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".making-") as work:
        picture = Path(work) / "still.y4m"
        still_scene(picture)
        for number, encode in ((1, encode_still_then_walking), (2, encode_still)):
            encode(picture, Path(work) / f"{number}.h264")
            (Path(work) / f"{number}.h264").replace(files[number])
    stamp.write_text(recipe)
    return files


def main() -> int:
    """Command line; exit 2 with one sentence when something is missing."""
    parser = argparse.ArgumentParser(description="Make the simulated DVRs' footage.")
    parser.add_argument("cache_dir", type=Path, help="directory that keeps channel1.h264 and channel2.h264")
    try:
        files = make_footage(parser.parse_args().cache_dir)
    except FootageError as error:
        print(f"footage: {error}", file=sys.stderr)
        return 2
    for number, file in files.items():
        print(f"channel {number}: {file} ({file.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
