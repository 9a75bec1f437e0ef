"""Say what would have been kept of recorded files, as if a camera had just sent them.

Example: cllmh-node replay --config recorder.yml --camera gate --report gate.html clip.mp4
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cllmh_node.recorder.replay import Replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the recorder's configuration")
    parser.add_argument("--camera", required=True, metavar="NAME", help="the camera whose settings are used")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="draw scores and clips on a time line")
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="any file that FFmpeg can read")


def run(args: argparse.Namespace) -> int:
    """Replay the files."""
    from cllmh_node.config import ConfigError, load_config
    from cllmh_node.recorder.settings import RecorderConfig

    config = load_config(args.config, RecorderConfig)
    cameras = {camera.name: camera for camera in config.cameras}
    if args.camera not in cameras:
        raise ConfigError(f"--camera: {args.camera}: is not in {args.config}, which has: {', '.join(cameras)}")
    import av.error

    from cllmh_node.recorder.replay import replay
    from cllmh_node.recorder.replay_report import write_report

    settings = cameras[args.camera]
    replays: list[Replay] = []
    code = 0
    for video in args.videos:
        try:
            done = replay(settings, video, _progress(video))
        except (OSError, ValueError, av.error.FFmpegError) as error:
            text = getattr(error, "strerror", None) or str(error)  # FFmpeg's errors have one, without the number
            sys.stderr.write(f"{video}: cannot be replayed: {text}\n")
            code = 1
            continue
        replays.append(done)
        _print(done, as_json=args.json)
    if args.report is not None and replays:
        try:
            write_report(args.report, settings, replays)
        except OSError as error:
            sys.stderr.write(f"{args.report}: cannot be written: {error.strerror}\n")
            return 1
    return code


def _progress(video: Path) -> Callable[[float], None]:
    def show(share: float) -> None:
        sys.stderr.write(f"\r{video.name}: {share:4.0%}" + ("\r\x1b[K" if share >= 1 else ""))
        sys.stderr.flush()

    return show if sys.stderr.isatty() else lambda _share: None


def _print(done: Replay, *, as_json: bool) -> None:
    rows = [
        {"video": str(done.video), "start_s": round(clip.start_s, 2), "end_s": round(clip.end_s, 2)}
        | {"peak_score": clip.peak_score}
        for clip in done.clips
    ]
    if as_json:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
        return
    kept_s = sum(clip.end_s - clip.start_s for clip in done.clips)
    sys.stdout.write(
        f"{done.video}: {len(rows)} clips, {kept_s:.1f} of {done.duration_s:.1f} s kept; "
        f"plan {done.plan}, {done.decoded} of {done.frames} frames decoded\n"
    )
    for clip in done.clips:
        sys.stdout.write(f"  {clip.start_s:9.1f} s  {clip.end_s:9.1f} s  score {clip.peak_score:.4f}\n")
