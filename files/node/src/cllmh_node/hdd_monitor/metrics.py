"""The disk's figures in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Iterator

from cllmh_node.hdd_monitor.disk import DiskStatus, RecorderStatus

_STATES = ("ok", "warn", "critical")


def render(disk: DiskStatus, recorder: RecorderStatus | None) -> str:
    """Return all metrics as one text."""
    return "".join(f"{line}\n" for line in (*_disk_lines(disk), *_recorder_lines(recorder)))


def _disk_lines(disk: DiskStatus) -> Iterator[str]:
    space = disk.space
    yield from _gauge("cllmh_disk_total_bytes", "Size of the recordings' file system.", space.total_bytes)
    yield from _gauge("cllmh_disk_free_bytes", "Bytes the recorder can still write.", space.free_bytes)
    yield from _gauge("cllmh_disk_inodes_free", "Files that can still be made.", space.inodes_free)
    yield from _gauge("cllmh_disk_state", "0 ok, 1 warn, 2 critical.", _STATES.index(disk.state))
    yield from _gauge("cllmh_disk_short_bytes", "Bytes retention could not free.", disk.short_bytes)
    pruned_at = disk.last_prune.at if disk.last_prune else 0
    yield from _gauge("cllmh_last_prune_timestamp_seconds", "When clips were last deleted, 0 never.", pruned_at)
    cameras = disk.cameras or {}
    yield from _head("cllmh_clips_bytes", "Bytes of a camera's clips.")
    yield from (f'cllmh_clips_bytes{{camera="{_escaped(name)}"}} {use.size_bytes}' for name, use in cameras.items())
    yield from _head("cllmh_clips", "Number of a camera's clips.")
    yield from (f'cllmh_clips{{camera="{_escaped(name)}"}} {use.clips}' for name, use in cameras.items())


def _recorder_lines(recorder: RecorderStatus | None) -> Iterator[str]:
    if recorder is None:
        return
    age = "NaN" if recorder.age_s is None else f"{recorder.age_s:.3f}"
    yield from _gauge("cllmh_recorder_status_age_seconds", "Since the recorder last spoke.", age)
    yield from _head("cllmh_camera_up", "1 when the camera sends pictures, 0 when it is lost.")
    for name in recorder.cameras:
        yield f'cllmh_camera_up{{camera="{_escaped(name)}"}} {0 if name in recorder.lost else 1}'


def _gauge(name: str, text: str, value: float | str) -> Iterator[str]:
    yield from _head(name, text)
    yield f"{name} {value}"


def _head(name: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"


def _escaped(label: str) -> str:
    """Return a label's value as the format wants it."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
