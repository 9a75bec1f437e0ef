"""What the HDD monitor answers while it prunes, pages through its files, and when it is asked for room."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.hdd_monitor import listing, pruner
from cllmh_node.hdd_monitor.mounts import Mount
from cllmh_node.recordings import MARKER, RetentionError
from cllmh_node.retention import open_index_read_only
from unit.hdd_site import Site, look, with_used_percent
from unit.recordings_folder import CLIP_BYTES, HOUR_S


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_prune_that_hangs_keeps_neither_the_answers_nor_the_watchdog(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.recorder_says(gate="quiet")
    begun, released, stop = threading.Event(), threading.Event(), threading.Event()
    beats = threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> Any:
        begun.set()
        released.wait(20)
        raise RetentionError("the disk came back")

    monkeypatch.setattr(pruner, "prune", hang)
    monitor = site.monitor(interval_s=0.01)
    client = site.client(monitor)
    loop = threading.Thread(target=monitor.run, args=(stop, beats.release))
    loop.start()
    try:
        assert begun.wait(20)
        assert all(beats.acquire(timeout=20) for _ in range(20))
        assert client.get("/health").status_code == 200
        assert client.get("/disk").get_json()["prune_running_since"] is not None
    finally:
        released.set()
        stop.set()
        monitor.wake()
        loop.join(20)
    assert not loop.is_alive()


def test_a_pruner_that_dies_ends_the_signs_of_life(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruner, "prune", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monitor = site.monitor(interval_s=0.01)
    loop = threading.Thread(target=monitor.run, args=(threading.Event(), lambda: None))
    loop.start()
    loop.join(20)
    assert not loop.is_alive()


def test_a_prune_at_work_for_long_is_told_by_health(site: Site) -> None:
    site.recorder_says(gate="quiet")
    monitor = site.monitor()
    monitor.pruner.state = pruner.Pruning(running_since=time.time() - 1200)
    monitor.tick(time.time())
    check = site.client(monitor).get("/health").get_json()["checks"]["disk"]
    assert (check["status"], check["text"]) == ("degraded", "a prune has been at work for 20 minutes")


def test_a_disk_that_nobody_could_look_at_for_long_fails_health_and_has_no_room(site: Site) -> None:
    monitor = site.monitor()
    monitor.tick(time.time() - 300)
    client = site.client(monitor)
    assert "last looked at 300 s ago" in client.get("/health").get_json()["checks"]["disk"]["text"]
    assert client.get("/room?bytes=1").get_json()["has_room"] is False


def test_clips_that_cannot_be_deleted_are_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RetentionError("index.db: the index of clips cannot be read")

    monkeypatch.setattr(pruner, "prune", refuse)
    monitor = site.monitor()
    look(monitor, time.time())
    assert site.reports("disk")[-1]["causes"] == ["prune"]
    assert site.reports("disk")[-1]["problem"] == "index.db: the index of clips cannot be read"


def test_running_out_of_inodes_is_as_grave_as_running_out_of_bytes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = site.monitor()
    now = time.time()
    for second, inodes_percent in enumerate((50, 94, 92.5, 98, 96.5, 91)):
        with_used_percent(monkeypatch, 20, inodes_percent)
        look(monitor, now + second)
    assert [(disk["state"], disk["causes"]) for disk in site.reports("disk")] == [
        ("ok", []),
        ("warn", ["inodes"]),
        ("critical", ["inodes"]),
        ("ok", []),
    ]


def test_a_disk_that_is_not_mounted_where_it_should_be_is_critical(site: Site) -> None:
    monitor = site.monitor(mount_point=str(site.recordings.root))
    look(monitor, time.time())
    (disk,) = site.reports("disk")
    assert (disk["state"], disk["causes"]) == ("critical", ["unusable"])
    assert "no disk is mounted here" in disk["problem"]


def test_a_read_only_disk_is_critical_although_it_has_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = Mount("/dev/sdb1", Path("/srv/cctv"), "ext4", read_only=True)
    monkeypatch.setattr("cllmh_node.hdd_monitor.disk.mount_of", lambda _: mount)
    monitor = site.monitor()
    look(monitor, time.time())
    answer = site.client(monitor).get("/disk").get_json()
    assert (answer["state"], answer["causes"], answer["mount"]["read_only"]) == ("critical", ["unusable"], True)
    assert "its file system is read-only" in answer["problem"]


def test_a_lost_disk_and_its_return_are_each_told_once_to_log_and_hub(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monitor = site.monitor()
    now = time.time()
    marker = site.recordings.root / MARKER
    for second in range(6):
        marker.unlink() if second == 1 else marker.touch() if second == 4 else None
        look(monitor, now + second)
    assert [disk["state"] for disk in site.reports("disk")] == ["ok", "critical", "ok"]
    said = [vars(record)["cllmh_fields"] for record in caplog.records if record.message == "disk_state"]
    assert [fields["state"] for fields in said] == ["critical", "ok"]


def test_metrics_have_growth_classes_and_health(site: Site) -> None:
    site.recordings.add(2 * 24 * HOUR_S, "object")
    monitor = site.monitor()
    look(monitor, site.recordings.now)
    lines = site.client(monitor).get("/metrics").get_data(as_text=True).splitlines()
    assert f'cllmh_class_clips_bytes{{class="object"}} {CLIP_BYTES}' in lines
    assert 'cllmh_disk_cause_state{cause="inodes"} 0' in lines
    assert "cllmh_disk_smart NaN" in lines
    assert any(line.startswith("cllmh_recorded_bytes_per_day 4") for line in lines)


def test_metrics_tell_how_full_the_log_buffers_are(site: Site) -> None:
    monitor = site.monitor()
    look(monitor, site.recordings.now)
    assert "cllmh_log_" not in site.client(monitor).get("/metrics").get_data(as_text=True)
    buffer = {"name": "loki", "state": "ok", "lines": 12, "used_bytes": 3400, "size_bytes": 4096, "dropped": 5}
    site.logs_status.write_text(json.dumps({"at": "2026-11-29T03:00:00Z", "buffers": [buffer], "datagrams_dropped": 6}))
    lines = site.client(monitor).get("/metrics").get_data(as_text=True).splitlines()
    assert 'cllmh_log_buffer_lines{buffer="loki"} 12' in lines
    assert 'cllmh_log_buffer_used_bytes{buffer="loki"} 3400' in lines
    assert 'cllmh_log_lines_dropped_total{buffer="loki"} 5' in lines
    assert "cllmh_log_datagrams_dropped_total 6" in lines


def test_classes_are_told_apart(site: Site) -> None:
    site.recordings.add(5 * HOUR_S, "object")
    site.recordings.add(4 * HOUR_S, "continuous", size_bytes=7)
    site.recordings.add(3 * HOUR_S, "continuous", camera="yard", size_bytes=5)
    monitor = site.monitor()
    look(monitor, time.time())
    classes = site.client(monitor).get("/disk").get_json()["classes"]
    assert {name: (use["bytes"], use["clips"]) for name, use in classes.items()} == {
        "object": (CLIP_BYTES, 1),
        "continuous": (12, 2),
    }
    oldest = site.client(monitor).get("/files?importance=continuous&limit=1").get_json()["items"][0]["start"]
    assert classes["continuous"]["oldest"] == oldest


def test_files_are_paged_and_deletion_moves_no_page(site: Site) -> None:
    paths = [site.recordings.add(hours * HOUR_S) for hours in range(9, 0, -1)]
    client = site.client(site.monitor())
    first = client.get("/files?limit=4").get_json()
    assert [file["path"] for file in first["items"]] == paths[:4]
    with closing(sqlite3.connect(site.recordings.index)) as connection, connection:
        connection.executemany("DELETE FROM clips WHERE path = ?", [(paths[0],), (paths[2],), (paths[5],)])
    new = site.recordings.add(0)
    second = client.get("/files", query_string={"limit": 4, "after": first["next"]}).get_json()
    third = client.get("/files", query_string={"limit": 4, "after": second["next"]}).get_json()
    assert [file["path"] for page in (second, third) for file in page["items"]] == [paths[4], *paths[6:], new]
    assert third["next"] is None


def test_files_that_start_together_are_each_in_one_page(site: Site) -> None:
    paths = {site.recordings.add(HOUR_S, camera=f"camera{number}") for number in range(5)}
    client = site.client(site.monitor())
    seen: list[str] = []
    page = client.get("/files?limit=2").get_json()
    while True:
        seen += [file["path"] for file in page["items"]]
        if page["next"] is None:
            break
        page = client.get("/files", query_string={"limit": 2, "after": page["next"]}).get_json()
    assert sorted(seen) == sorted(paths)


def test_files_are_chosen_by_camera_and_class(site: Site) -> None:
    site.recordings.add(3 * HOUR_S)
    wanted = site.recordings.add(2 * HOUR_S, "object")
    site.recordings.add(1 * HOUR_S, "object", camera="yard")
    answer = site.client(site.monitor()).get("/files?camera=gate&importance=object").get_json()
    assert [file["path"] for file in answer["items"]] == [wanted]
    assert answer["items"][0]["safe_at"] is None


@pytest.mark.parametrize(
    ("query", "used"),
    [
        ("/files?camera=gate", "SEARCH clips USING INDEX clips_by_camera (camera=?"),
        ("/files?importance=object", "SEARCH clips USING INDEX clips_to_go (importance=?"),
        ("/clips?camera=gate", "SEARCH clips USING INDEX clips_by_camera (camera=?"),
    ],
)
def test_what_is_chosen_is_found_by_the_lists_of_the_index_and_not_by_reading_all(
    site: Site, monkeypatch: pytest.MonkeyPatch, query: str, used: str
) -> None:
    statements: list[str] = []

    def opened(index: Path) -> sqlite3.Connection:
        connection = open_index_read_only(index)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(listing, "open_index_read_only", opened)
    assert site.client(site.monitor()).get(query).status_code == 200
    (statement,) = [text for text in statements if "FROM clips" in text and "LIMIT" in text]
    with closing(sqlite3.connect(site.recordings.index)) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert steps[0].startswith(used)


@pytest.mark.parametrize(
    "query",
    [
        "/files?after=x",
        "/files?after=1-1",
        "/files?limit=0",
        "/files?importance=zzz",
        "/files?kamera=gate",
        "/clips?kamera=gate",
        "/room",
        "/room?bytes=-1",
        "/room?bytes=1&for=fun",
    ],
)
def test_a_wrong_question_is_explained(site: Site, query: str) -> None:
    answer = site.client(site.monitor()).get(query)
    assert answer.status_code == 400
    assert "it must be" in answer.get_json()["error"]["message"]


def room(site: Site, monkeypatch: pytest.MonkeyPatch, query: str, used_percent: float = 80, **changes: Any) -> Any:
    """Ask for room on a disk of 1,000,000 bytes."""
    with_used_percent(monkeypatch, used_percent)
    monitor = site.monitor(**changes)
    monitor.tick(time.time())
    return site.client(monitor, **changes).get(f"/room?{query}").get_json()


def test_a_backup_has_room_only_above_what_retention_keeps_free(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = {"max_used_percent": 90}
    assert room(site, monkeypatch, "bytes=100000", retention=policy)["has_room"] is True
    refused = room(site, monkeypatch, "bytes=100001", retention=policy)
    assert (refused["has_room"], refused["usable_bytes"], refused["free_bytes"]) == (False, 100_000, 200_000)
    assert refused["reason"] == "200000 bytes are free, 100001 were asked for, and 100000 bytes are to stay free"


def test_the_share_that_a_backup_leaves_free_is_a_setting(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert room(site, monkeypatch, "bytes=50000", backup_min_free_percent=15)["has_room"] is True
    assert room(site, monkeypatch, "bytes=50001", backup_min_free_percent=15)["has_room"] is False


def test_a_recording_has_room_while_something_lesser_may_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.recordings.add(HOUR_S)
    site.recordings.add(HOUR_S, "pinned", camera="yard")
    assert room(site, monkeypatch, f"bytes={CLIP_BYTES}&for=recording", 100)["has_room"] is True
    assert room(site, monkeypatch, f"bytes={CLIP_BYTES + 1}&for=recording", 100)["has_room"] is False


def test_an_unusable_disk_has_no_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.recordings.root / ".cllmh-recordings").unlink()
    answer = room(site, monkeypatch, "bytes=0")
    assert answer["has_room"] is False
    assert "Is its disk mounted?" in answer["reason"]
