"""What retention looks at grows with what it deletes, not with what is stored. Counted, not timed."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cllmh_node import recordings as recordings_module
from cllmh_node import retention_sources
from cllmh_node.clips.schema import make_first_tables
from cllmh_node.recordings import Root
from cllmh_node.retention import Limits, Policy, plan
from cllmh_node.retention_policy import IMPORTANCE_ORDER
from cllmh_node.retention_sources import open_index_read_only
from unit.recordings_folder import CLIP_BYTES, DAY_S, HOUR_S, NOW, Recordings

CAMERAS = ("gate", "yard")


def everything(total_bytes: int) -> Policy:
    """A policy that has every rule there is, and asks for ten clips of each quota."""
    return Policy(
        max_bytes=total_bytes - 10 * CLIP_BYTES,
        max_age_s=400 * DAY_S,
        cameras={"gate": Limits(max_bytes=total_bytes // 2 - 10 * CLIP_BYTES, max_age_s=300 * DAY_S)},
        classes={
            "motion": Limits(max_bytes=total_bytes // 3 - 10 * CLIP_BYTES, max_age_s=300 * DAY_S, min_free_bytes=0)
        },
    )


def fill(recordings: Recordings, clips: int) -> int:
    """Add rows without files, the same of each camera and class; return their bytes."""
    with closing(sqlite3.connect(recordings.index)) as connection, connection:
        rows = [
            (CAMERAS[n % 2], f"{CAMERAS[n % 2]}/{n}", end := NOW - HOUR_S - n, end + 1, IMPORTANCE_ORDER[n % 3])
            for n in range(clips)
        ]
        columns = f'(camera, path, start, "end", importance, bytes) VALUES (?, ?, ?, ?, ?, {CLIP_BYTES})'
        connection.executemany(f"INSERT INTO clips {columns}", rows)
    return clips * CLIP_BYTES


def test_the_same_deletions_take_the_same_steps_however_much_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def counted(index: Path) -> sqlite3.Connection:
        connection = open_index_read_only(index)
        connection.set_progress_handler(lambda: steps.append(1), 1)
        return connection

    monkeypatch.setattr(retention_sources, "open_index_read_only", counted)
    counts = []
    for clips in (600, 6000):
        recordings = Recordings(tmp_path / str(clips))
        policy = everything(fill(recordings, clips))
        steps.clear()
        with Root(recordings.root) as root:
            deletions = plan(root, policy, recordings.index, NOW).deletions
        counts.append((len(deletions), len(steps)))
    assert counts[0] == counts[1]
    assert counts[0][0] == 20


def test_no_list_is_read_whole_and_nothing_is_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = Recordings(tmp_path)
    policy = everything(fill(recordings, 60))
    asked: list[str] = []

    def traced(index: Path) -> sqlite3.Connection:
        connection = open_index_read_only(index)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(retention_sources, "open_index_read_only", traced)
    with Root(recordings.root) as root:
        plan(root, policy, recordings.index, NOW)
    with closing(sqlite3.connect(recordings.index)) as connection:
        details = [
            detail
            for query in asked
            if "FROM" in query
            for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]
    assert len(details) > 10
    assert [detail for detail in details if detail.startswith("SCAN clips") or "TEMP" in detail] == []
    assert any("clips_to_go_by_camera" in detail for detail in details)


def test_without_an_index_only_what_goes_and_the_next_of_each_camera_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = Recordings(tmp_path)
    for camera in CAMERAS:
        for hours in range(1, 60):
            recordings.add(hours * HOUR_S, camera=camera)
    looked_at: list[str] = []
    real = os.stat

    def counted(path: Any, **more: Any) -> os.stat_result:
        looked_at.append(str(path))
        return real(path, **more)

    monkeypatch.setattr(recordings_module.os, "stat", counted)
    with Root(recordings.root) as root:
        found = plan(root, Policy(max_age_s=50 * HOUR_S + 1), None, NOW).deletions
    assert len(found) == 18
    assert len([path for path in looked_at if path.endswith(".mp4")]) <= len(found) + 2 * len(CAMERAS)


def test_a_folder_larger_than_what_is_kept_in_memory_is_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = Recordings(tmp_path)
    ages = [3, 1, 9, 7, 2, 8, 5, 4, 6]
    paths = {age: recordings.add(HOUR_S + age) for age in ages}
    monkeypatch.setattr(recordings_module, "_FIRST_NAMES", 1)
    monkeypatch.setattr(recordings_module, "_MAX_NAMES", 2)
    with Root(recordings.root) as root:
        assert [clip.path for clip in root.walk()] == [paths[age] for age in sorted(ages, reverse=True)]
        assert root.total_bytes() == len(ages) * CLIP_BYTES


def test_a_large_folder_is_read_a_few_times_and_not_once_for_each_of_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = Recordings(tmp_path)
    for age in range(100):
        recordings.add(HOUR_S + age)
    monkeypatch.setattr(recordings_module, "_FIRST_NAMES", 1)
    read, clip_names = [], recordings_module._clip_names

    def counted(*args: Any) -> list[str]:
        read.append(1)
        return clip_names(*args)

    monkeypatch.setattr(recordings_module, "_clip_names", counted)
    with Root(recordings.root) as root:
        assert len(list(root.walk())) == 100
    assert len(read) == 8  # 1 + 2 + 4 + ... + 64 names, and that there are no more


def test_an_index_of_the_first_version_gives_the_same_plan(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    for hours, importance in ((9, "object"), (8, "motion"), (7, "motion"), (6, "continuous")):
        recordings.add(hours * HOUR_S, importance)
    first = tmp_path / "first.db"
    with closing(sqlite3.connect(first)) as connection:
        make_first_tables(connection)
        connection.execute("ATTACH ? AS later", (str(recordings.index),))
        columns = 'id, camera, path, start, "end", bytes, importance, peak_score, labels'
        connection.execute(f"INSERT INTO main.clips SELECT {columns} FROM later.clips")  # noqa: S608
        connection.commit()
    policy = Policy(max_bytes=CLIP_BYTES, cameras={"gate": Limits(max_bytes=3 * CLIP_BYTES)})
    with Root(recordings.root) as root:
        old, new = (plan(root, policy, index_path, NOW) for index_path in (first, recordings.index))
    assert old.deletions == new.deletions
    assert len(new.deletions) == 3
