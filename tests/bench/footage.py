"""Footage of the benchmarks, made once by Debian's ffmpeg from what every Debian can get, and kept."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from bench.harness import CACHE, VTEST

TIMEOUT_S = 600


def encode(name: str, inputs: list[str], *options: str) -> Path:
    """Return a raw H.264 file, encoded by ffmpeg with `options` unless it is there already."""
    CACHE.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256(repr((inputs, options)).encode()).hexdigest()[:8]
    path = CACHE / f"{name}-{recipe}.h264"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *options, "-an", "-f", "h264", str(unfinished)]
        subprocess.run(command, check=True, timeout=TIMEOUT_S)
        unfinished.replace(path)
    return path


def x264(fps: float, gop_s: float, *quality: str) -> list[str]:
    """Return the options of an encoder that does as a camera does: a fixed GOP, no B-frames."""
    gop = round(fps * gop_s)
    parameters = f"keyint={gop}:min-keyint={gop}:scenecut=0:aud=1:repeat-headers=1"
    return [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "0",
        "-pix_fmt",
        "yuv420p",
        "-x264-params",
        parameters,
        *quality,
    ]


def still_picture() -> Path:
    """Return vtest's scene without its people: the median over time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "still.png"
    if not path.exists():
        graph = "select='not(mod(n,5))',tmedian=radius=79"
        command = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-i",
            str(VTEST),
            "-vf",
            graph,
            "-frames:v",
            "1",
            str(path),
        ]
        subprocess.run(command, check=True, timeout=TIMEOUT_S)
    return path


def full_hd(moving: bool, seconds: int = 10) -> Path:
    """Return 1080p25 at 4 Mbit/s with a GOP of 2 s: vtest's scene enlarged, with its people or without, and noise."""
    rate = ["-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M"]
    source = ["-i", str(VTEST)] if moving else ["-loop", "1", "-framerate", "25", "-i", str(still_picture())]
    graph = "fps=25,scale=1920:1080,noise=all_seed=7:alls=4:allf=t"
    return encode(
        "moving" if moving else "quiet", source, "-vf", graph, "-t", str(seconds), "-r", "25", *x264(25, 2, *rate)
    )


def sub_stream(moving: bool, seconds: int = 10) -> Path:
    """Return what `full_hd` shows as cameras send it in their second stream: 640x360 at 10 frames/s, GOP 2 s."""
    source = ["-i", str(full_hd(moving, seconds))]
    rate = ["-b:v", "500k", "-maxrate", "500k", "-bufsize", "500k"]
    name = "sub-moving" if moving else "sub-quiet"
    return encode(name, source, "-vf", "fps=10,scale=640:360", "-r", "10", *x264(10, 2, *rate))


def small(moving: bool, seconds: int = 20) -> Path:
    """Return 320x240 at 10 frames/s with a GOP of 1 s, some 150 kbit/s."""
    source = ["-i", str(VTEST)] if moving else ["-loop", "1", "-framerate", "10", "-i", str(still_picture())]
    graph = "fps=10,scale=320:240,noise=all_seed=7:alls=3:allf=t"
    return encode(
        "small-moving" if moving else "small-quiet",
        source, "-vf", graph, "-t", str(seconds), "-r", "10", *x264(10, 1, "-crf", "28"),
    )  # fmt: skip
