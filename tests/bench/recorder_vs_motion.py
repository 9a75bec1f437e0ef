"""The recorder and Debian's Motion on the same streams at the same time: what each keeps, and what each costs.

Frames are known again in the files by their bytes, so what is on the disk is known to the frame, whatever a file's
name or its time stamps say.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.footage import encode, full_hd, sub_stream, x264
from bench.frames import FrameIndex
from bench.harness import CACHE, MEDIA, Progress, Result, Row, at_least, at_most, plain
from bench.processes import DebianMotion, Recorder, SourceProcess, Usage, camera, stopping, wait_for
from bench.scenes import make_scene
from bench.scoring import Interval, Score, runs, score
from bench.source import load

SCENES = (
    "quiet_day",
    "small_far_person",
    "dusk_noise",
    "infrared",
    "lamp_on_off_person",
    "exposure_ramp_person",
    "swaying_branches_person",
    "rain_person",
    "clock_overlay_person",
)
HD_SCENES = ("small_far_person", "infrared", "lamp_on_off_person")
GOPS_S = (1, 2, 4, 10)
LENGTHS_S = (0.5, 1.0, 2.0, 5.0)
FIRST_SCORED_S = 18.0
"""Recorders learn the scene before; nothing happens there."""

TUNED = {"threshold_share": 0.005, "event_gap": 10}
SEED = 3
"""Of the scenes; the detector's constants were chosen on others."""

SHORT_S = 45.0

FULL_HD = {
    "hd": "1080p, people for 10 of 30 s",
    "hd_quiet": "1080p, nobody",
    "hd_sub": "as hd, and both look for motion in the camera's sub-stream",
}
"""1080p streams of which the costs are compared; what is kept of them is not."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A camera: what the source sends, and what happens in it (seconds from its first frame)."""

    name: str
    kind: str
    plan: list[list[object]]
    fps: float
    width: int
    height: int
    gop_s: float
    events: list[Interval]
    ends_s: float


def real_clips() -> list[Stream]:
    """Return the clips with hand-marked truth, empty where they are absent; a quiet lead lets recorders learn."""
    if not (MEDIA / "truth.json").exists():
        return []
    truth = json.loads((MEDIA / "truth.json").read_text(encoding="utf-8"))
    streams = []
    for name, fps in (("one-by-one-person", 10.0), ("car-detection", 12.5)):
        clip = MEDIA / f"{name}.mp4"
        gop_s = 2.0
        file = str(encode(name, ["-i", str(clip)], "-r", f"{fps:g}", *x264(fps, gop_s, "-crf", "23")))
        # What leads in is the clip's own beginning, encoded otherwise: frames are told from each other by their bytes.
        begin = ["-t", "4", "-i", str(clip)]
        still = str(encode(f"{name}-lead", begin, "-r", f"{fps:g}", *x264(fps, gop_s, "-crf", "22")))
        lead_s = 48.0
        marked = truth[f"{name}.mp4"]
        events = [(begin + lead_s, end + lead_s) for begin, end in marked["present"]]
        ends_s = lead_s + float(marked["duration"])
        plan: list[list[object]] = [[still, 12], [file, 1], [still, 1000]]
        streams.append(Stream(name, "real", plan, fps, 768, 432, gop_s, events, ends_s))
    return streams


def synthetic(name: str, gop_s: float) -> Stream:
    """Return a scene with exact truth."""
    scene = make_scene(name, CACHE, gop_s=gop_s, seed=SEED)
    raw = scene.path.with_suffix(".h264")
    if not raw.exists():
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(scene.path)]
        subprocess.run(
            [*command, "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", str(raw)], check=True, timeout=60
        )
    plan: list[list[object]] = [[str(raw), 1], [str(raw), 1000, round(max(4, gop_s) * scene.fps)]]
    return Stream(
        f"{name}-gop{gop_s:g}", scene.scene_class, plan, scene.fps, 640, 360, gop_s, scene.events, scene.duration_s
    )


def full_hd_scene(name: str) -> Stream:
    """Return a scene with exact truth as a camera sends it in 1080p25 at 4 Mbit/s: drawn small, enlarged, and noise."""
    fps, gop_s = 25, 2.0
    scene = make_scene(name, CACHE, gop_s=gop_s, fps=fps, seed=SEED)
    graph = "scale=1920:1080,noise=all_seed=7:alls=4:allf=t"
    rate = ["-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M"]
    raw = str(encode(f"{name}-1080p", ["-i", str(scene.path)], "-vf", graph, "-r", "25", *x264(fps, gop_s, *rate)))
    plan: list[list[object]] = [[raw, 1], [raw, 1000, round(4 * fps)]]
    return Stream(f"{name}-1080p", scene.scene_class, plan, fps, 1920, 1080, gop_s, scene.events, scene.duration_s)


def run(short: bool) -> Result:
    """Measure; the short form has two scenes for 45 s. REAL=1: the real clips alone; HD=1: three scenes in 1080p."""
    only_real, only_hd = bool(os.environ.get("REAL")), bool(os.environ.get("HD"))
    result = Result("recorder_vs_motion" + ("_real" if only_real else "_1080p" if only_hd else ""))
    progress = Progress("recorder_vs_motion")
    progress("making the footage")
    if short:
        streams = [synthetic("people", 2), synthetic("infrared", 2)]
    elif only_real:
        streams = real_clips()
    elif only_hd:
        streams = [full_hd_scene(name) for name in HD_SCENES]
        result.notes.append("Motion with its defaults only: once more, tuned, it would take more than two cores have")
    else:
        streams = [*real_clips(), *(synthetic(name, 2) for name in SCENES)]
        streams += [synthetic("short_events", gop_s) for gop_s in GOPS_S]
        if not any(stream.kind == "real" for stream in streams):
            result.notes.append(f"the real clips are absent: there is no {MEDIA / 'truth.json'}")
    has_motion = shutil.which("motion") is not None
    if not has_motion:
        result.notes.append("Motion is not installed (apt-get install motion): the recorder was measured alone")
    folder = Path(tempfile.mkdtemp(prefix="cllmh-versus-"))
    seconds = SHORT_S if short else float(os.environ.get("RUN_S", max(stream.ends_s for stream in streams) + 12))
    try:
        measure(
            result,
            streams,
            folder,
            seconds,
            progress,
            has_motion=has_motion,
            has_full_hd=not (short or only_real or only_hd),
        )
    finally:
        shutil.rmtree(folder)
    return result


def measure(
    result: Result,
    streams: list[Stream],
    folder: Path,
    seconds: float,
    progress: Progress,
    *,
    has_motion: bool,
    has_full_hd: bool,
) -> None:
    """Let all recorders run on the streams for some seconds, then look at their files."""
    plans: dict[str, dict[str, object]] = {s.name: {"plan": s.plan, "fps": s.fps} for s in streams}
    spec: dict[str, object] = {"cameras": dict(plans)}
    if has_full_hd:
        plans |= {
            "hd": {"plan": [[str(full_hd(False)), 2], [str(full_hd(True)), 1]], "fps": 25},
            "hd_quiet": {"plan": [[str(full_hd(False)), 1]], "fps": 25},
            "sub": {"plan": [[str(sub_stream(False)), 2], [str(sub_stream(True)), 1]], "fps": 10},
        }
    source = SourceProcess(folder, plans)

    def motion(client: str, **options: object) -> DebianMotion:
        url = f"rtsp://127.0.0.1:{source.port}/{client}"
        return DebianMotion(
            folder / client, {s.name: (f"{url}/{s.name}", s.width, s.height) for s in streams}, **options
        )

    programs: dict[str, Recorder | DebianMotion] = {
        "ours": Recorder(folder / "ours", [camera(s.name, source.port) for s in streams])
    }
    if has_motion:
        programs["motion"] = motion("motion")
        if streams[0].height < 1080:
            programs["motion_tuned"] = motion("motion_tuned", **TUNED)
    if has_full_hd:
        programs |= full_hd_programs(folder, source.port, has_motion=has_motion)
    used: dict[str, tuple[float, Usage]] = {}
    with stopping(source, *programs.values()):
        pids = {name: program.start().pid for name, program in programs.items()}
        wanted = len(streams) * sum(not is_full_hd(name) for name in programs)
        wait_for(lambda: len(source.report()) >= wanted, 60, "all recorders to be connected")
        wait_until(source.t0 + FIRST_SCORED_S - 2, progress)
        before = {name: Usage.of(pid) for name, pid in pids.items()}
        began = time.monotonic()
        wait_until(source.t0 + seconds, progress)
        elapsed_s = time.monotonic() - began
        for name, pid in pids.items():
            after = Usage.of(pid)
            used[name] = (after.cpu_s - before[name].cpu_s, after)
        report = source.report()
    cameras = load(spec)
    totals: dict[str, list[tuple[Stream, Score]]] = defaultdict(list)
    for stream in streams:
        progress(f"looking at the files of {stream.name}")
        track = cameras[stream.name].track
        index = FrameIndex(track, round((stream.ends_s + 30) * stream.fps))
        for name in [name for name in programs if not is_full_hd(name)]:
            files = [
                file
                for file in programs[name].files()
                if file.relative_to(programs[name].recordings).parts[0] == stream.name
            ]
            numbers = sorted({number for file in files for number in index.decodable(file)})
            window = (FIRST_SCORED_S, min(stream.ends_s, seconds))
            found = score(stream.events, runs(numbers, stream.fps), window)
            totals[name].append((stream, found))
            result.rows.append(row_of(name, stream, found, window, report.get(f"{name}/{stream.name}")))
    summarise(result, totals, used, elapsed_s, len(streams))


def full_hd_programs(folder: Path, port: int, *, has_motion: bool) -> dict[str, Recorder | DebianMotion]:
    """Return a recorder of each kind for each 1080p stream: ``ours_hd``, ``motion_hd`` and so on."""
    programs: dict[str, Recorder | DebianMotion] = {}
    for kind in FULL_HD:
        stream, is_sub = kind.removesuffix("_sub"), kind.endswith("_sub")
        ours, motion = f"ours_{kind}", f"motion_{kind}"
        more = {"sub_path": f"/{ours}/sub"} if is_sub else {}
        programs[ours] = Recorder(folder / ours, [camera(stream, port, ours, **more)], processes=1)
        if has_motion:
            url = f"rtsp://127.0.0.1:{port}/{motion}"
            looked_at = (f"{url}/sub", 640, 360) if is_sub else (f"{url}/{stream}", 1920, 1080)
            options = {"netcam_high_url": f"{url}/{stream}"} if is_sub else {}
            programs[motion] = DebianMotion(folder / motion, {stream: looked_at}, **options)
    return programs


def is_full_hd(program: str) -> bool:
    """Whether a program records one of the 1080p streams alone."""
    return any(program.endswith(f"_{kind}") for kind in FULL_HD)


def row_of(name: str, stream: Stream, found: Score, window: Interval, counts: dict[str, int | None] | None) -> Row:
    """Return one recorder's score on one stream."""
    return {
        "recorder": name,
        "scene": stream.name,
        "class": stream.kind,
        "events": found.events,
        "found": found.found,
        "false_s": round(found.false_s, 1),
        "kept_s": round(found.kept_s, 1),
        "needed_s": round(found.needed_s, 1),
        "of_s": round(window[1] - window[0], 1),
        "start_error_s": median(found.start_errors_s),
        "stop_error_s": median(found.stop_errors_s),
        "connections": (counts or {}).get("connections"),
        "missed": " ".join(f"{begin:.1f}-{end:.1f}" for begin, end in found.missed),
    }


def summarise(
    result: Result,
    totals: dict[str, list[tuple[Stream, Score]]],
    used: dict[str, tuple[float, Usage]],
    elapsed_s: float,
    cameras: int,
) -> None:
    """Make the metrics: ours against the targets, then what they were compared with."""
    metrics = result.metrics
    classes = list(dict.fromkeys(stream.kind for stream, _ in totals["ours"]))
    recalls = {name: {kind: recall(pairs, kind) for kind in classes} for name, pairs in totals.items()}
    if recalls["ours"].get("real") is not None:
        metrics.append(at_least("recall_real_clips", recalls["ours"]["real"], "0..1", 1.0))
    others = [name for name in totals if name != "ours"]
    for name in others:
        behind = [
            kind for kind in classes if (recalls["ours"][kind] or 0) < (recalls[name][kind] or 0)
        ]  # a class without events has no recall
        metrics.append(at_most(f"scene_classes_where_{name}_found_more", len(behind), "classes", 0))
        if behind:
            result.notes.append(f"{name} found more in: {', '.join(behind)}")
    for name, pairs in totals.items():
        events, found = sum(s.events for _, s in pairs), sum(s.found for _, s in pairs)
        metrics.append(plain(f"recall_{name}", found / events if events else None, "0..1"))
    hours = sum(float(str(row["of_s"])) for row in result.rows if row["recorder"] == "ours") / 3600
    false = {name: sum(s.false_s for _, s in pairs) / 60 / hours for name, pairs in totals.items()}
    for name, minutes in false.items():
        if name == "ours" and others:
            metrics.append(
                at_most("false_minutes_per_camera_hour_ours", minutes, "min/h", round(false["motion"] / 2, 3))
            )
        else:
            metrics.append(plain(f"false_minutes_per_camera_hour_{name}", minutes, "min/h"))
    for name, pairs in totals.items():
        kept, needed = sum(s.kept_s for _, s in pairs), sum(s.needed_s for _, s in pairs)
        metrics.append(plain(f"kept_over_needed_{name}", kept / needed if needed else None, "s/s"))
        metrics.append(plain(f"start_error_{name}", median([e for _, s in pairs for e in s.start_errors_s]), "s"))
        metrics.append(plain(f"stop_error_{name}", median([e for _, s in pairs for e in s.stop_errors_s]), "s"))
    for name, (cpu_s, usage) in used.items():
        count = 1 if is_full_hd(name) else cameras
        metrics.append(plain(f"cpu_s_per_camera_hour_{name}", cpu_s / count / elapsed_s * 3600, "s/h"))
        metrics.append(plain(f"memory_per_camera_{name}", usage.memory_bytes / count / 1e6, "MB"))
    if others:
        is_hd = totals["ours"][0][0].height >= 1080
        ratio, target = ("cpu_ratio_hd", 10) if is_hd else ("cpu_ratio_small", 5)
        metrics.append(at_least(ratio, used["motion"][0] / used["ours"][0], "times", target))
    for kind in FULL_HD:
        if f"motion_{kind}" in used:
            ratio = used[f"motion_{kind}"][0] / used[f"ours_{kind}"][0]
            # In a sub-stream little is to be saved: receiving two streams is most of it.
            metrics.append(at_least(f"cpu_ratio_{kind}", ratio, "times", 5 if kind.endswith("_sub") else 10))
            result.notes.append(f"{kind}: {FULL_HD[kind]}")
    by_length(result, totals)
    result.notes.append(
        "false minutes: recordings in which no event is; kept_over_needed tells of what is kept around events"
    )
    if "motion_tuned" in totals:
        result.notes.append("tuned: threshold 0.5 % of the pixels, event_gap 10 s; all else of Motion as Debian has it")


def by_length(result: Result, totals: dict[str, list[tuple[Stream, Score]]]) -> None:
    """Add the recall by the events' length and the GOP."""
    for name, pairs in totals.items():
        for stream, found in pairs:
            if not stream.name.startswith("short_events"):
                continue
            for length_s in LENGTHS_S:
                lengths = [round(end - begin, 1) for begin, end in stream.events if begin >= FIRST_SCORED_S + 2]
                missed = [round(end - begin, 1) for begin, end in found.missed]
                total, gone = (
                    sum(abs(n - length_s) < 0.2 for n in lengths),
                    sum(abs(n - length_s) < 0.2 for n in missed),
                )
                result.rows.append(
                    {
                        "recorder": name,
                        "scene": f"visits of {length_s:g} s at GOP {stream.gop_s:g} s",
                        "class": "by_length",
                        "events": total,
                        "found": total - gone,
                    }
                )


def recall(pairs: Iterable[tuple[Stream, Score]], kind: str) -> float | None:
    """Return the recall in one class of scenes, None where nothing happens."""
    events = found = 0
    for stream, one in pairs:
        if stream.kind == kind:
            events, found = events + one.events, found + one.found
    return found / events if events else None


def median(values: Iterable[float]) -> float | None:
    """Return the median, None of nothing."""
    values = list(values)
    return round(statistics.median(values), 2) if values else None


def wait_until(at: float, progress: Progress) -> None:
    """Wait for a unix time."""
    while (left_s := at - time.time()) > 0:
        progress(f"recording, {left_s:.0f} s to go")
        time.sleep(min(1.0, left_s))
