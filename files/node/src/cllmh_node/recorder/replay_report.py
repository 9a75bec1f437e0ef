"""A replay as one HTML file: scores, threshold, clips and thumbnails on a time line."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import av
import cv2

from cllmh_node.recorder.replay import Kept, Replay
from cllmh_node.recorder.settings import CameraSettings
from cllmh_node.recorder.watch import Sight

_WIDTH, _HEIGHT, _TOP = 1000, 200, 10
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --faint: #8a94a0; --page: #fff; --clip: #2f7de133; --line: #2f7de1;
  --limit: #d1495b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --faint: #7d8894; --page: #12171d; --clip: #5aa0ff33;
  --line: #5aa0ff; --limit: #ff7b8a; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 1060px;
  margin: 2em auto; padding: 0 1em; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 12px; }
.clip { fill: var(--clip); } .limit { stroke: var(--limit); stroke-dasharray: 5 4; } .axis { stroke: var(--faint); }
.score { stroke: var(--line); } .motion { stroke: var(--limit); }
figure { display: inline-block; margin: 0 .8em .8em 0; }
figure img { width: 230px; border-radius: 4px; display: block; }
figcaption { color: var(--faint); font-size: 13px; }
"""


def write_report(path: Path, settings: CameraSettings, replays: list[Replay]) -> None:
    """Write the report; it needs no other file and no network. Raises OSError."""
    motion = settings.motion
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Replay: {html.escape(settings.name)}</title><style>{_STYLE}</style>",
        f"<h1>Replay with the settings of camera {html.escape(settings.name)}</h1>",
        f"<p>sigmas {motion.sigmas:g}, min_area {motion.min_area:g}, pre-roll {settings.pre_roll_s:g} s, "
        f"post-roll {settings.post_roll_s:g} s. Bars: the largest area that differs at each look, red where it is "
        "motion; dashed: min_area; shaded: what is kept.</p>",
    ]
    for done in replays:
        kept_s = sum(clip.end_s - clip.start_s for clip in done.clips)
        parts.append(f"<h2>{html.escape(done.video.name)}</h2>")
        parts.append(f"<p>{kept_s:.1f} of {done.duration_s:.1f} s kept, plan {done.plan}, ")
        parts.append(f"{done.decoded} of {done.frames} frames decoded.</p>")
        parts.append(_time_line(done, motion.min_area))
        parts += [_thumbnail(done.video, clip) for clip in done.clips]
    path.write_text("\n".join(parts), encoding="utf-8")


def _time_line(done: Replay, min_area: float) -> str:
    """Return the drawing; heights are square roots, so that small areas can be seen beside large ones."""
    length_s = max(done.duration_s, 1.0)
    top = max(0.01, *(seen.score for seen in done.seen), min_area) if done.seen else 0.01
    base = _TOP + _HEIGHT

    def x(at_s: float) -> float:
        return round(at_s / length_s * _WIDTH, 1)

    def y(score: float) -> float:
        return float(round(base - (score / top) ** 0.5 * _HEIGHT, 1))

    drawn = [f"<svg viewBox='0 0 {_WIDTH} {base + 22}' role='img' aria-label='scores over time'>"]
    for clip in done.clips:
        width = max(1.0, x(clip.end_s) - x(clip.start_s))
        title = f"<title>{clip.start_s:.1f} to {clip.end_s:.1f} s</title>"
        drawn.append(f"<rect class='clip' x='{x(clip.start_s)}' y='{_TOP}' width='{width}' height='{_HEIGHT}'>")
        drawn.append(f"{title}</rect>")
    for seen in done.seen:
        if seen.score > 0:
            kind = "motion" if seen.sight is Sight.MOTION else "score"
            place = f"x1='{x(seen.at_s)}' x2='{x(seen.at_s)}' y1='{base}' y2='{y(seen.score)}'"
            drawn.append(f"<line class='{kind}' {place} stroke-width='2'/>")
    drawn.append(f"<line class='limit' x1='0' x2='{_WIDTH}' y1='{y(min_area)}' y2='{y(min_area)}'/>")
    drawn.append(f"<line class='axis' x1='0' x2='{_WIDTH}' y1='{base}' y2='{base}'/>")
    for tick in range(11):
        anchor = "start" if tick == 0 else "end" if tick == 10 else "middle"
        at_s = length_s * tick / 10
        drawn.append(f"<text x='{x(at_s)}' y='{base + 16}' text-anchor='{anchor}'>{at_s:.0f} s</text>")
    return "".join(drawn) + "</svg>"


def _thumbnail(video: Path, clip: Kept) -> str:
    """Return a picture from the middle of a clip; the caption alone where the file is damaged there."""
    at_s = (clip.start_s + clip.end_s) / 2
    caption = f"<figcaption>{clip.start_s:.1f} to {clip.end_s:.1f} s, score {clip.peak_score:.4f}</figcaption>"
    try:
        frame = _frame_at(video, at_s)
    except av.error.FFmpegError:
        frame = None
    if frame is None:
        return f"<figure>{caption}</figure>"
    height = max(1, round(460 * frame.height / frame.width))
    picture = cv2.resize(frame.to_ndarray(format="bgr24"), (460, height), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()).decode()
    return f"<figure><img alt='' src='data:image/jpeg;base64,{data}'>{caption}</figure>"


def _frame_at(video: Path, at_s: float) -> av.VideoFrame | None:
    """Return the first frame from `at_s` seconds after the first one on. Raises av.error.FFmpegError."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        begins = (stream.start_time or 0) * float(stream.time_base or 0)
        container.seek(round((begins + at_s) * av.time_base))
        return next((frame for frame in container.decode(stream) if (frame.time or 0) - begins >= at_s), None)
