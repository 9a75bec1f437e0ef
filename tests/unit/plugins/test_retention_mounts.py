"""Retention and the disk that recordings should be on, with real mounts."""

import multiprocessing
import os
from pathlib import Path

import pytest

from cllmh_node.recordings import MARKER, BusyError, RetentionError, Root
from cllmh_node.retention import Policy, plan, prune
from unit.mounts import bind, make_read_only, needs_root, tmpfs
from unit.recordings_folder import DAY_S, NOW, Recordings

ALL = Policy(max_bytes=0)


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def make_file(path: Path) -> Path:
    """Make an old file that is named like a clip."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"v")
    os.utime(path, (1, 1))
    return path


@needs_root
@pytest.mark.parametrize("kind", ["another disk", "the same disk"])
def test_nothing_behind_a_mount_below_the_root_is_touched(recordings: Recordings, tmp_path: Path, kind: str) -> None:
    recordings.add(5 * DAY_S, camera="yard")
    path = recordings.add(5 * DAY_S)
    elsewhere, yard = tmp_path / "elsewhere", recordings.root / "yard"
    elsewhere.mkdir()
    with tmpfs(yard) if kind == "another disk" else bind(elsewhere, yard):
        inner = make_file(yard / "2026-01-01" / "20260101T000000.000Z.mp4")
        with Root(recordings.root) as root:
            assert [deletion.clip.path for deletion in plan(root, ALL, None, NOW).deletions] == [path]
            assert root.total_bytes() == (recordings.root / path).stat().st_size
        outcome = prune(recordings.root, ALL, recordings.index, NOW)
        assert [deletion.clip.path for deletion in outcome.deleted] == [path]
        assert "is a mount" in outcome.failed[0][1]
        assert inner.exists()


@needs_root
def test_a_day_that_is_a_mount_is_passed_over(recordings: Recordings, tmp_path: Path) -> None:
    path = recordings.add(5 * DAY_S)
    kept = make_file(tmp_path / "elsewhere" / "20260101T000000.000Z.mp4")
    day = recordings.root / "gate" / "2026-01-01"
    day.mkdir()
    with bind(kept.parent, day):
        outcome = prune(recordings.root, ALL, None, NOW)
    assert [deletion.clip.path for deletion in outcome.deleted] == [path]
    assert kept.exists()


def test_a_day_that_is_a_link_is_passed_over(recordings: Recordings, tmp_path: Path) -> None:
    path = recordings.add(5 * DAY_S)
    kept = make_file(tmp_path / "elsewhere" / "20260101T000000.000Z.mp4")
    (recordings.root / "gate" / "2026-01-01").symlink_to(kept.parent)
    outcome = prune(recordings.root, ALL, None, NOW)
    assert ([deletion.clip.path for deletion in outcome.deleted], outcome.failed) == ([path], ())
    assert kept.exists()


@needs_root
def test_pruning_goes_on_only_while_the_disk_is_mounted_where_it_should_be(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    for is_there in (True, False, True):
        if is_there:
            with tmpfs(disk):
                recordings = Recordings(disk)
                recordings.add(5 * DAY_S)
                assert len(prune(recordings.root, ALL, recordings.index, NOW, mount_point=disk).deleted) == 1
            continue
        unmounted = Recordings(disk)  # with its marker: somebody made it on the file system below
        path = unmounted.add(5 * DAY_S)
        with pytest.raises(RetentionError, match=f"{disk}: no disk is mounted here, and {unmounted.root} must be on"):
            prune(unmounted.root, ALL, unmounted.index, NOW, mount_point=disk)
        assert unmounted.files() == {path}


@needs_root
def test_a_root_on_another_disk_than_the_expected_one_is_refused(tmp_path: Path, recordings: Recordings) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with tmpfs(disk), pytest.raises(RetentionError, match=f"is not on the disk that is mounted at {disk}"):
        Root(recordings.root, mount_point=disk)
    with pytest.raises(RetentionError, match=r"nowhere: No such file or directory\. Is the disk of .* mounted"):
        Root(recordings.root, mount_point=tmp_path / "nowhere")


@needs_root
def test_what_was_freed_is_what_the_file_system_says(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with tmpfs(disk):
        recordings = Recordings(disk)
        for days in (5, 4):
            recordings.add(days * DAY_S, size_bytes=4096 * 3)
        held = recordings.add(6 * DAY_S, size_bytes=4096 * 5)
        with (recordings.root / held).open("rb"):  # somebody plays it: its blocks are not free yet
            outcome = prune(recordings.root, ALL, None, NOW)
            found = os.statvfs(disk)
        assert outcome.after.free_bytes == found.f_bavail * found.f_frsize
        assert sum(deletion.clip.size_bytes for deletion in outcome.deleted) == 4096 * 11
        assert outcome.freed_bytes == 4096 * 6
        assert outcome.freed_inodes == 4  # of two files and their days; the open file holds its folders, too


@needs_root
def test_a_disk_that_became_read_only_ends_the_work_at_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with tmpfs(disk):
        recordings = Recordings(disk)
        paths = [recordings.add(days * DAY_S) for days in (5, 4, 3)]
        make_read_only(disk)
        outcome = prune(recordings.root, ALL, None, NOW)
        assert outcome.deleted == ()
        assert outcome.failed[0] == (paths[0], "Read-only file system")
        assert recordings.files() == set(paths)


def test_pruners_in_two_processes_delete_each_clip_once(recordings: Recordings) -> None:
    paths = [recordings.add(days * DAY_S) for days in range(300, 0, -1)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        done = pool.starmap(prune_until_free, [(recordings.root, recordings.index)] * 2)
    assert sorted(done[0] + done[1]) == sorted(paths)
    assert recordings.files() == recordings.rows() == set()
    assert sorted(path.name for path in recordings.root.iterdir()) == [MARKER]


def prune_until_free(root: Path, index: Path) -> list[str]:
    """Prune once nobody else does; return what this process deleted."""
    while True:
        try:
            outcome = prune(root, ALL, index, NOW)
        except BusyError:
            continue
        assert (outcome.missing, outcome.failed) == ((), ())
        return [deletion.clip.path for deletion in outcome.deleted]
