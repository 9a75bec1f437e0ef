"""The disk's, the recorder's and the log buffers' figures in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cllmh_node.hdd_monitor.disk import DiskStatus
from cllmh_node.hdd_monitor.recorder import RecorderStatus
from cllmh_node.hdd_monitor.usage import Use, by_camera, by_class
from cllmh_node.logs.watch import Status as LogsStatus

_STATES = ("ok", "warn", "critical")
_SMART_STATES: dict[str, float | str] = {"ok": 0, "failing": 1, "unknown": "NaN"}

_CAMERA_STATES = ("starting", "quiet", "suspicious", "recording", "post_roll", "lost", "off")
"""As `cllmh_node.recorder.states` has them; imported from there they would bring OpenCV along."""

_COUNTERS = (
    ("frames", "cllmh_camera_frames_total", "counter", "Video frames received since the recorder started."),
    ("bytes", "cllmh_camera_bytes_total", "counter", "Bytes of video and sound received."),
    ("looked_at", "cllmh_camera_looked_at_total", "counter", "Pictures looked at for motion."),
    ("decoded", "cllmh_camera_frames_decoded_total", "counter", "Frames decoded of the stream that is recorded."),
    ("clips", "cllmh_camera_clips_total", "counter", "Clips closed."),
    ("gaps", "cllmh_camera_gaps_total", "counter", "Gaps opened."),
    ("sessions", "cllmh_camera_sessions_total", "counter", "RTSP sessions opened; all but the first are reconnects."),
    ("lag_s", "cllmh_camera_lag_seconds", "gauge", "Age of the latest frame when it was processed."),
    ("look_at_every", "cllmh_camera_look_at_every_keyframe", "gauge", "Above 1 under overload."),
)
"""Key in the recorder's status file, metric, its type and meaning."""


def render(disk: DiskStatus, recorder: RecorderStatus | None, logs: LogsStatus | None = None) -> str:
    """Return all metrics as one text."""
    return "".join(f"{line}\n" for line in (*_disk_lines(disk), *_recorder_lines(recorder), *_log_lines(logs)))


def _disk_lines(disk: DiskStatus) -> Iterator[str]:
    space = disk.space
    yield from _gauge("cllmh_disk_total_bytes", "Size of the recordings' file system.", space.total_bytes)
    yield from _gauge("cllmh_disk_free_bytes", "Bytes the recorder can still write.", space.free_bytes)
    yield from _gauge("cllmh_disk_inodes_total", "Files the file system can hold.", space.inodes_total)
    yield from _gauge("cllmh_disk_inodes_free", "Files that can still be made.", space.inodes_free)
    yield from _gauge("cllmh_disk_state", "0 ok, 1 warn, 2 critical.", _STATES.index(disk.state))
    yield from _head("cllmh_disk_cause_state", "The state by cause: 0 ok, 1 warn, 2 critical.")
    yield from (
        f'cllmh_disk_cause_state{{cause="{cause}"}} {_STATES.index(state)}' for cause, state in disk.levels.items()
    )
    yield from _gauge("cllmh_disk_looked_at_timestamp_seconds", "When the disk was last looked at.", disk.at)
    yield from _gauge("cllmh_disk_short_bytes", "Bytes retention could not free.", disk.pruning.short_bytes)
    yield from _gauge("cllmh_disk_smart", "0 ok, 1 failing, NaN not known.", _SMART_STATES[disk.smart.state])
    last, ahead = disk.pruning.last, disk.outlook
    pruned_at = last.at if last else 0
    yield from _gauge("cllmh_last_prune_timestamp_seconds", "When clips were last deleted, 0 never.", pruned_at)
    rate = _or_nan(disk.growth.recorded_bytes_per_day)
    yield from _gauge("cllmh_recorded_bytes_per_day", "Recorded a day, NaN not known.", rate)
    yield from _gauge("cllmh_disk_days_held", "Days of recordings that fit, NaN not known.", _or_nan(ahead.days_held))
    full_at = _or_nan(ahead.full_at)
    yield from _gauge("cllmh_disk_full_timestamp_seconds", "When nothing more fits, NaN never or not known.", full_at)
    usage = disk.usage or {}
    yield from _uses("camera", by_camera(usage))
    yield from _uses("class", by_class(usage))


def _uses(label: str, uses: dict[str, Use]) -> Iterator[str]:
    """Yield what clips take, a line for each camera or class."""
    metric = "cllmh_clips" if label == "camera" else "cllmh_class_clips"
    yield from _head(f"{metric}_bytes", f"Bytes of a {label}'s clips.")
    yield from (f'{metric}_bytes{{{label}="{_escaped(name)}"}} {use.size_bytes}' for name, use in uses.items())
    yield from _head(metric, f"Number of a {label}'s clips.")
    yield from (f'{metric}{{{label}="{_escaped(name)}"}} {use.clips}' for name, use in uses.items())


def _recorder_lines(recorder: RecorderStatus | None) -> Iterator[str]:
    if recorder is None:
        return
    age = "NaN" if recorder.age_s is None else f"{recorder.age_s:.3f}"
    yield from _gauge("cllmh_recorder_status_age_seconds", "Since the recorder last spoke.", age)
    yield from _per_camera(recorder, "cllmh_camera_up", "1 when the camera sends pictures, 0 when it is lost.", _is_up)
    yield from _head("cllmh_camera_state", "1 for the state that the camera is in.")
    for name, camera in recorder.cameras.items():
        for state in _CAMERA_STATES:
            labels = f'camera="{_escaped(name)}",state="{state}"'
            yield f"cllmh_camera_state{{{labels}}} {int(camera.get('state') == state)}"
    for key, metric, kind, text in _COUNTERS:
        yield from _per_camera(recorder, metric, text, partial(_counter, key=key), kind)
    yield from _head("cllmh_camera_decode_plan_info", "What is decoded of the camera while nothing moves.")
    for name, camera in recorder.cameras.items():
        plan = str(camera.get("decode_plan") or "keyframes")
        yield f'cllmh_camera_decode_plan_info{{camera="{_escaped(name)}",plan="{_escaped(plan)}"}} 1'


def _log_lines(logs: LogsStatus | None) -> Iterator[str]:
    """Yield what waits in the log buffers, a line for each, and what was lost beside them."""
    if logs is None:
        return
    yield from _gauge("cllmh_logs_looked_at_timestamp_seconds", "When they were looked at.", logs.at.timestamp())
    for metric, text, kind, values in (
        ("cllmh_log_buffer_lines", "Lines that wait for the hub.", "gauge", [one.lines for one in logs.buffers]),
        ("cllmh_log_buffer_used_bytes", "Bytes they take.", "gauge", [one.used_bytes for one in logs.buffers]),
        ("cllmh_log_buffer_size_bytes", "Bytes it can hold.", "gauge", [one.size_bytes for one in logs.buffers]),
        ("cllmh_log_lines_dropped_total", "Lines lost to the store.", "counter", [one.dropped for one in logs.buffers]),
    ):
        yield from _head(metric, text, kind)
        named = zip(logs.buffers, values, strict=True)
        yield from (f'{metric}{{buffer="{_escaped(one.name)}"}} {value}' for one, value in named)
    yield from _head("cllmh_log_datagrams_dropped_total", "UDP lines that were not read in time.", "counter")
    yield f"cllmh_log_datagrams_dropped_total {logs.datagrams_dropped}"


def _per_camera(
    recorder: RecorderStatus,
    metric: str,
    text: str,
    value: Callable[[dict[str, Any]], float | None],
    kind: str = "gauge",
) -> Iterator[str]:
    """Yield one metric, a line for each camera that has it."""
    yield from _head(metric, text, kind)
    for name, camera in recorder.cameras.items():
        found = value(camera)
        if found is not None:
            yield f'{metric}{{camera="{_escaped(name)}"}} {found}'


def _is_up(camera: dict[str, Any]) -> float:
    return 0 if camera.get("state") == "lost" else 1


def _counter(camera: dict[str, Any], key: str) -> float | None:
    found = camera.get("counters", {}).get(key)
    return found if isinstance(found, int | float) else None


def _gauge(name: str, text: str, value: float | str) -> Iterator[str]:
    yield from _head(name, text)
    yield f"{name} {value}"


def _head(name: str, text: str, kind: str = "gauge") -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _or_nan(value: float | None) -> float | str:
    return "NaN" if value is None else value


def _escaped(label: str) -> str:
    """Return a label's value as the format wants it."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
