"""Retention as its users see it: what goes, in which order, and what is never touched."""

import errno
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cllmh_node import retention as retention_module
from cllmh_node import retention_sources
from cllmh_node.recordings import MARKER, BusyError, RetentionError, Root
from cllmh_node.retention import Plan, Policy, act, plan, prune
from unit.plugins.spaces import with_space
from unit.recordings_folder import CLIP_BYTES, DAY_S, HOUR_S, NOW, Recordings, tree_hash


def make_plan(recordings: Recordings, policy: Policy, *, indexed: bool = True) -> Plan:
    with Root(recordings.root) as root:
        return plan(root, policy, recordings.index if indexed else None, NOW)


def planned(recordings: Recordings, policy: Policy, *, indexed: bool = True) -> list[str]:
    return [deletion.clip.path for deletion in make_plan(recordings, policy, indexed=indexed).deletions]


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def test_the_lesser_class_goes_first_and_in_it_the_oldest(recordings: Recordings) -> None:
    old_object = recordings.add(9 * HOUR_S, "object")
    new_motion, old_motion = recordings.add(2 * HOUR_S), recordings.add(8 * HOUR_S)
    continuous = recordings.add(1 * HOUR_S, "continuous")
    assert planned(recordings, Policy(max_bytes=0)) == [continuous, old_motion, new_motion, old_object]


def test_within_a_class_what_is_safe_elsewhere_goes_before_what_is_not(recordings: Recordings) -> None:
    unsafe = recordings.add(9 * HOUR_S)
    safe = [recordings.add(hours * HOUR_S) for hours in (3, 2)]
    safe_object = recordings.add(20 * HOUR_S, "object")
    recordings.set_safe(*safe, safe_object)
    assert planned(recordings, Policy(max_bytes=0)) == [*safe, unsafe, safe_object]


def test_what_a_wrong_clock_dated_in_the_future_goes_for_room_after_the_rest_but_not_for_its_age(
    recordings: Recordings,
) -> None:
    later, sooner = recordings.add(-3000 * DAY_S), recordings.add(-3 * DAY_S)
    old = recordings.add(2 * HOUR_S)
    recordings.add(-2 * HOUR_S)
    assert planned(recordings, Policy(max_bytes=0)) == [old, sooner, later]
    assert planned(recordings, Policy(max_age_s=HOUR_S)) == [old]


def test_without_an_index_a_clip_in_the_folder_of_another_day_does_not_hide_those_after_it(
    recordings: Recordings,
) -> None:
    first, second = recordings.add(9 * DAY_S), recordings.add(2 * DAY_S)
    (recordings.root / first).rename((recordings.root / first).with_name("20990101T000000.000Z.mp4"))
    assert planned(recordings, Policy(max_bytes=0), indexed=False) == [second]


def test_no_more_goes_than_the_quota_asks_for(recordings: Recordings) -> None:
    paths = [recordings.add(hours * HOUR_S) for hours in (5, 4, 3, 2, 1)]
    assert planned(recordings, Policy(max_bytes=3 * CLIP_BYTES)) == paths[:2]
    assert planned(recordings, Policy(max_bytes=3 * CLIP_BYTES - 1)) == paths[:3]
    assert planned(recordings, Policy(max_bytes=5 * CLIP_BYTES)) == []


def test_pinned_clips_stay_whatever_the_policy_says(recordings: Recordings) -> None:
    pinned = recordings.add(100 * DAY_S, "pinned")
    motion = recordings.add(50 * DAY_S)
    found = make_plan(recordings, Policy(max_bytes=0, max_age_s=DAY_S))
    assert [deletion.clip.path for deletion in found.deletions] == [motion]
    assert found.short_bytes == CLIP_BYTES
    assert pinned in recordings.files()


def test_a_class_nobody_knows_is_kept(recordings: Recordings) -> None:
    recordings.add(100 * DAY_S, "evidence")
    assert planned(recordings, Policy(max_bytes=0, max_age_s=DAY_S)) == []


def test_a_clip_that_has_just_ended_is_protected(recordings: Recordings) -> None:
    recordings.add(30)
    old = recordings.add(90)
    assert planned(recordings, Policy(max_bytes=0, min_age_s=60)) == [old]
    assert planned(recordings, Policy(max_bytes=0, min_age_s=60), indexed=False) == [old]


def test_old_clips_go_by_age_and_count_for_the_quota(recordings: Recordings) -> None:
    old = recordings.add(10 * DAY_S, "object")
    young = [recordings.add(hours * HOUR_S) for hours in (3, 2, 1)]
    found = make_plan(recordings, Policy(max_age_s=7 * DAY_S, max_bytes=2 * CLIP_BYTES))
    assert [(deletion.clip.path, deletion.reason) for deletion in found.deletions] == [
        (old, "max_age"),
        (young[0], "quota"),
    ]


def test_the_free_space_floor_decides_how_much_goes(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [recordings.add(hours * HOUR_S) for hours in (5, 4, 3, 2)]
    with_space(monkeypatch, used_bytes=90_000, free_bytes=10_000)
    assert planned(recordings, Policy(min_free_bytes=30_000)) == paths[:2]
    assert planned(recordings, Policy(max_used_percent=60)) == paths[:3]
    assert planned(recordings, Policy(min_free_bytes=30_000, max_used_percent=60)) == paths[:3]
    assert planned(recordings, Policy(min_free_bytes=10_000, max_used_percent=90)) == []


def test_inodes_run_out_like_bytes(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [recordings.add(hours * HOUR_S, size_bytes=1) for hours in (5, 4, 3)]
    with_space(monkeypatch, used_bytes=1000, free_bytes=99_000, inodes_used=902)
    assert planned(recordings, Policy(max_used_percent=90)) == paths[:2]


def test_without_an_index_the_oldest_goes_first_over_all_cameras(recordings: Recordings) -> None:
    third = recordings.add(1 * DAY_S, camera="gate")
    first = recordings.add(3 * DAY_S, camera="yard")
    second = recordings.add(2 * DAY_S, camera="gate")
    assert planned(recordings, Policy(max_bytes=0), indexed=False) == [first, second, third]


def test_the_plan_writes_nothing(recordings: Recordings) -> None:
    for hours in (30, 20, 10):
        recordings.add(hours * HOUR_S)
    before = tree_hash(recordings.root.parent)
    assert len(planned(recordings, Policy(max_bytes=0))) == 3
    assert len(planned(recordings, Policy(max_bytes=0), indexed=False)) == 3
    assert tree_hash(recordings.root.parent) == before


def test_pruning_deletes_the_files_the_rows_and_the_empty_folders(recordings: Recordings) -> None:
    recordings.add(3 * DAY_S, camera="yard")
    recordings.add(2 * DAY_S)
    kept = recordings.add(1 * HOUR_S)
    outcome = prune(recordings.root, Policy(max_bytes=CLIP_BYTES), recordings.index, NOW)
    assert len(outcome.deleted) == 2
    assert outcome.failed == ()
    assert recordings.files() == recordings.rows() == {kept}
    assert sorted(path.name for path in recordings.root.iterdir()) == [MARKER, "gate"]
    assert [path.name for path in (recordings.root / "gate").iterdir()] == [kept.split("/")[1]]


def test_todays_folder_stays_for_the_recorder(recordings: Recordings) -> None:
    path = recordings.add(1 * HOUR_S)
    prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert recordings.files() == set()
    assert (recordings.root / path).parent.is_dir()


def test_a_second_run_finds_nothing_to_do(recordings: Recordings) -> None:
    for hours in (30, 20, 10):
        recordings.add(hours * HOUR_S)
    policy = Policy(max_bytes=CLIP_BYTES)
    assert len(prune(recordings.root, policy, recordings.index, NOW).deleted) == 2
    before = tree_hash(recordings.root)
    assert prune(recordings.root, policy, recordings.index, NOW).deleted == ()
    assert tree_hash(recordings.root) == before


def test_rows_whose_files_are_gone_are_forgotten_and_others_go_instead(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = recordings.add(9 * HOUR_S)
    there = recordings.add(8 * HOUR_S)
    (recordings.root / gone).unlink()
    with_space(monkeypatch, used_bytes=95_000, free_bytes=5_000)
    outcome = prune(recordings.root, Policy(min_free_bytes=15_000), recordings.index, NOW)
    assert outcome.missing == (gone,)
    assert [deletion.clip.path for deletion in outcome.deleted] == [there]
    assert recordings.rows() == set()


def test_what_cannot_be_deleted_does_not_stop_the_rest(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = recordings.add(9 * HOUR_S)
    other = recordings.add(8 * HOUR_S)
    (recordings.root / stuck).unlink()
    (recordings.root / stuck).mkdir()
    with_space(monkeypatch, used_bytes=95_000, free_bytes=5_000)
    outcome = prune(recordings.root, Policy(min_free_bytes=15_000), recordings.index, NOW)
    assert [path for path, _ in outcome.failed] == [stuck]
    assert "not a regular file" in outcome.failed[0][1]
    assert [deletion.clip.path for deletion in outcome.deleted] == [other]
    assert recordings.rows() == {stuck}


def test_nothing_is_deleted_through_a_symbolic_link(recordings: Recordings, tmp_path: Path) -> None:
    path = recordings.add(5 * DAY_S)
    outside = tmp_path / "outside"
    (recordings.root / "gate").rename(outside)
    (recordings.root / "gate").symlink_to(outside)
    outcome = prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert outcome.deleted == ()
    assert "is a link" in outcome.failed[0][1]
    assert (outside / path.removeprefix("gate/")).exists()
    assert planned(recordings, Policy(max_bytes=0), indexed=False) == []


def test_a_link_in_place_of_a_clip_is_left_alone(recordings: Recordings, tmp_path: Path) -> None:
    path = recordings.add(5 * DAY_S)
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (recordings.root / path).unlink()
    (recordings.root / path).symlink_to(precious)
    assert planned(recordings, Policy(max_bytes=0), indexed=False) == []
    assert prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW).deleted == ()
    assert precious.exists()


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "gate/../../x.mp4", "gate/2026-01-01/notes.txt"])
def test_a_row_that_points_elsewhere_is_refused(recordings: Recordings, path: str) -> None:
    recordings.add_row(path, start=1, end=2)
    outcome = prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert "is not the path of a clip" in outcome.failed[0][1]
    assert outcome.deleted == ()


def test_files_that_are_no_clips_stay(recordings: Recordings) -> None:
    path = recordings.add(5 * DAY_S)
    note = (recordings.root / path).with_name("README.txt")
    note.write_text("mine")
    prune(recordings.root, Policy(max_bytes=0), None, NOW)
    assert recordings.files() == set()
    assert note.exists()


def test_a_folder_without_its_marker_is_refused(recordings: Recordings) -> None:
    (recordings.root / MARKER).unlink()
    with pytest.raises(RetentionError, match=r"has no file \.cllmh-recordings .* Is its disk mounted"):
        Root(recordings.root)


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr/share/x", "/home", "/var/lib", "/srv/../etc/ssl", "/dev/shm"])
def test_system_folders_are_refused(folder: str) -> None:
    with pytest.raises(RetentionError, match="is a system folder"):
        Root(Path(folder))


def test_a_root_behind_a_link_is_refused_with_its_real_name(recordings: Recordings, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(recordings.root)
    with pytest.raises(RetentionError, match=f"name the folder itself: {recordings.root}"):
        Root(link)


def test_a_relative_root_is_refused() -> None:
    with pytest.raises(RetentionError, match="absolute"):
        Root(Path("recordings"))


def test_two_pruners_do_not_collide(recordings: Recordings) -> None:
    path = recordings.add(5 * DAY_S)
    with (recordings.root / MARKER).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another pruner"):
            prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert recordings.files() == {path}
    assert len(prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW).deleted) == 1


def test_acting_without_the_lock_is_refused(recordings: Recordings) -> None:
    recordings.add(5 * DAY_S)
    with Root(recordings.root) as root, pytest.raises(RetentionError, match="must be locked"):
        act(root, plan(root, Policy(max_bytes=0), None, NOW), None, NOW)


def test_an_index_that_cannot_be_read_stops_everything(recordings: Recordings) -> None:
    path = recordings.add(5 * DAY_S)
    recordings.index.write_bytes(b"no database at all" * 100)
    with pytest.raises(RetentionError, match="index of clips cannot be read"):
        prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    with pytest.raises(RetentionError, match="index of clips cannot be read"):
        prune(recordings.root, Policy(max_bytes=0), recordings.index.with_name("nowhere.db"), NOW)
    assert recordings.files() == {path}


def test_an_index_that_turns_out_damaged_stops_everything(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings.add(5 * DAY_S)
    other = recordings.index.with_name("other.db")
    other.write_bytes(b"no database at all" * 100)
    monkeypatch.setattr(retention_sources, "open_index_read_only", lambda _: sqlite3.connect(other))
    with pytest.raises(RetentionError, match="index of clips cannot be read: file is not a database"):
        planned(recordings, Policy(max_bytes=0))


def test_nothing_is_deleted_while_the_index_cannot_be_written(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "_INDEX_WAIT_S", 0.0)
    path = recordings.add(5 * DAY_S)
    with closing(sqlite3.connect(recordings.index)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetentionError, match="cannot be written, nothing is deleted"):
            prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert recordings.files() == recordings.rows() == {path}


def test_a_disk_too_full_for_the_indexs_side_files_is_made_room_on(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.add(5 * DAY_S)
    connect = sqlite3.connect

    def full(location: str, **more: Any) -> sqlite3.Connection:
        if "mode=rw" in location and (recordings.root / path).exists():
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(location, **more)

    monkeypatch.setattr(sqlite3, "connect", full)
    outcome = prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert [deletion.clip.path for deletion in outcome.deleted] == [path]
    assert outcome.index_problem is None
    monkeypatch.undo()
    assert recordings.rows() == set()


def test_rows_that_cannot_be_deleted_are_told_with_what_was_deleted(recordings: Recordings) -> None:
    path = recordings.add(5 * DAY_S)
    with closing(sqlite3.connect(recordings.index)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER stuck BEFORE DELETE ON clips BEGIN SELECT RAISE(ABORT, 'database is full'); END"
        )
    outcome = prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert [deletion.clip.path for deletion in outcome.deleted] == [path]
    assert "rows of deleted clips cannot be removed: database is full" in str(outcome.index_problem)
    assert recordings.rows() == {path}


def test_an_empty_folder_that_cannot_be_removed_does_not_lose_what_was_done(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.add(5 * DAY_S)

    def refuse(name: str, **_: Any) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr(os, "rmdir", refuse)
    outcome = prune(recordings.root, Policy(max_bytes=0), recordings.index, NOW)
    assert [deletion.clip.path for deletion in outcome.deleted] == [path]
    assert recordings.files() == recordings.rows() == set()


def test_rows_the_recorder_has_not_checkpointed_yet_are_seen(recordings: Recordings) -> None:
    recorder = sqlite3.connect(recordings.index)
    recorder.execute("PRAGMA journal_mode=WAL")
    path = recordings.add(5 * DAY_S)
    assert planned(recordings, Policy(max_bytes=0)) == [path]
    recorder.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_free_bytes": -1}, "min_free_bytes is -1"),
        ({"max_age_s": float("nan")}, "max_age_s is nan"),
        ({"max_used_percent": 0}, "max_used_percent is 0"),
        ({"max_used_percent": 101}, "max_used_percent is 101"),
        ({"max_age_s": 10, "min_age_s": 60}, "less than min_age_s"),
    ],
)
def test_a_policy_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RetentionError, match=message):
        Policy(**values)
