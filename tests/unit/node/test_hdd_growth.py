"""The HDD monitor says how fast the disk fills up, how many days it holds, and when it is full."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.hdd_monitor.growth import GrowthLedger, Outlook, outlook
from cllmh_node.recordings import Space
from cllmh_node.retention import Policy
from unit.hdd_site import Site
from unit.recordings_folder import DAY_S, HOUR_S, NOW, Recordings

SPACE = Space(1000, 400, 600, 40.0, 100, 90)


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def record(recordings: Recordings, hours_ago: float, size_bytes: int, importance: str = "motion") -> str:
    """Add a row of a clip; its file does not matter here."""
    path = f"gate/{hours_ago}-{importance}.mp4"
    end = NOW - hours_ago * HOUR_S
    recordings.add_row(path, end - 10, end, importance, size_bytes=size_bytes)
    return path


def forget(recordings: Recordings, path: str) -> None:
    with closing(sqlite3.connect(recordings.index)) as connection, connection:
        connection.execute("DELETE FROM clips WHERE path = ?", (path,))


def ahead(policy: Policy, space: Space = SPACE, recorded_bytes: int = 300, per_day: int = 100) -> Outlook:
    """Return the outlook at a rate of `per_day` bytes."""
    from cllmh_node.hdd_monitor.growth import Growth

    return outlook(Growth(per_day, None, 7.0), recorded_bytes, space, policy, NOW)


def test_growth_is_what_was_recorded_in_a_day_on_average(recordings: Recordings, tmp_path: Path) -> None:
    for hours, size_bytes in ((48, 100), (30, 200), (1, 300)):
        record(recordings, hours, size_bytes)
    ledger = GrowthLedger(tmp_path / "state" / "growth.json")
    ledger.note(recordings.index, SPACE, NOW)
    growth = ledger.growth(SPACE, NOW)
    assert (growth.recorded_bytes_per_day, growth.measured_days, growth.reason) == (299, 2.0, None)


def test_less_than_a_day_of_recordings_is_too_little_and_that_is_said(recordings: Recordings) -> None:
    record(recordings, 3, 100)
    ledger = GrowthLedger(None)
    ledger.note(recordings.index, SPACE, NOW)
    growth = ledger.growth(SPACE, NOW)
    assert growth.recorded_bytes_per_day is None
    assert growth.reason == "recordings are known for 3.0 hours, a day is needed"
    assert outlook(growth, 100, SPACE, Policy(), NOW) == Outlook(None, None)


def test_what_retention_deletes_stays_counted(recordings: Recordings, tmp_path: Path) -> None:
    path = record(recordings, 48, 1000)
    ledger = GrowthLedger(tmp_path / "growth.json")
    ledger.note(recordings.index, SPACE, NOW)
    forget(recordings, path)
    record(recordings, 0, 1000)
    again = GrowthLedger(tmp_path / "growth.json")
    again.note(recordings.index, SPACE, NOW)
    assert again.growth(SPACE, NOW).recorded_bytes_per_day == 999


def test_only_the_last_seven_days_count(recordings: Recordings) -> None:
    record(recordings, 20 * 24, 10**9)
    record(recordings, 24, 700)
    ledger = GrowthLedger(None)
    ledger.note(recordings.index, SPACE, NOW)
    growth = ledger.growth(SPACE, NOW)
    assert (growth.recorded_bytes_per_day, growth.measured_days) == (100, 7.0)


def test_an_index_made_anew_is_not_counted_twice(recordings: Recordings) -> None:
    for hours in (30, 20, 10):
        record(recordings, hours, 100)
    ledger = GrowthLedger(None)
    ledger.note(recordings.index, SPACE, NOW)
    with closing(sqlite3.connect(recordings.index)) as connection, connection:
        connection.execute("UPDATE clips SET id = 104 - id")
        connection.execute("UPDATE clips SET id = id - 100")
    ledger.note(recordings.index, SPACE, NOW)
    record(recordings, 5, 75)
    ledger.note(recordings.index, SPACE, NOW)
    ledger.note(recordings.index, SPACE, NOW)
    assert ledger.growth(SPACE, NOW).recorded_bytes_per_day == 299


def test_the_file_system_may_grow_otherwise_than_the_recordings(recordings: Recordings) -> None:
    ledger = GrowthLedger(None)
    ledger.note(recordings.index, Space(1000, 100, 900, 10.0, 100, 90), NOW)
    assert ledger.growth(SPACE, NOW).used_bytes_per_day is None
    ledger.note(recordings.index, SPACE, NOW + 3 * DAY_S)
    assert ledger.growth(SPACE, NOW + 3 * DAY_S).used_bytes_per_day == 100


INFINITE = [
    '{"last_id": Infinity, "last_path": "", "latest_start": 0, "since": null, "recorded": {}, "used": {}}',
    '{"last_id": 0, "last_path": "", "latest_start": 1e999, "since": 0, "recorded": {}, "used": {}}',
    '{"last_id": 0, "last_path": "", "latest_start": 0, "since": NaN, "recorded": {}, "used": {}}',
    '{"last_id": 0, "last_path": "", "latest_start": 0, "since": 0, "recorded": {"1": -Infinity}, "used": {}}',
]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"last_id": "x"}', '{"last_id": 1, "since": null, "recorded": 5}', *INFINITE]
)
def test_a_broken_memory_is_forgotten_and_no_crash(recordings: Recordings, tmp_path: Path, text: str) -> None:
    record(recordings, 48, 1000)
    (tmp_path / "growth.json").write_text(text)
    ledger = GrowthLedger(tmp_path / "growth.json")
    ledger.note(recordings.index, SPACE, NOW)
    assert ledger.growth(SPACE, NOW).recorded_bytes_per_day == 499


def test_without_a_policy_the_day_is_told_when_the_disk_is_full() -> None:
    assert ahead(Policy()) == Outlook(9.0, NOW + 6 * DAY_S)


def test_where_retention_keeps_room_free_the_disk_never_fills_up_and_its_days_are_told() -> None:
    assert ahead(Policy(max_used_percent=90)) == Outlook(8.0, None)
    assert ahead(Policy(min_free_bytes=500)) == Outlook(4.0, None)


def test_the_strictest_rule_decides_how_many_days_fit() -> None:
    assert ahead(Policy(max_bytes=500)) == Outlook(5.0, None)
    assert ahead(Policy(max_bytes=500, max_age_s=2 * DAY_S)) == Outlook(2.0, None)


def test_a_rule_that_the_disk_is_too_small_for_does_not_hold_it() -> None:
    assert ahead(Policy(max_age_s=30 * DAY_S)) == Outlook(9.0, NOW + 6 * DAY_S)
    assert ahead(Policy(max_bytes=10**6)) == Outlook(9.0, NOW + 6 * DAY_S)


def test_a_day_too_far_away_is_never() -> None:
    assert ahead(Policy(), Space(10**15, 0, 10**15, 0.0, 100, 90), 0, per_day=1).full_at is None


def test_disk_and_report_show_growth_and_the_day_when_full(tmp_path: Path) -> None:
    site = Site(tmp_path)
    now = site.recordings.now
    site.recordings.add(48 * HOUR_S, size_bytes=1)
    with closing(sqlite3.connect(site.recordings.index)) as connection, connection:
        connection.execute("UPDATE clips SET bytes = 2000000000000")
    monitor = site.monitor(retention={"max_used_percent": None})
    monitor.tick(now)
    shown: dict[str, Any] = site.client(monitor).get("/disk").get_json()["growth"]
    assert shown == site.reports("disk")[0]["growth"]
    assert shown["recorded_bytes_per_day"] == pytest.approx(1e12, rel=1e-3)
    full_at = datetime.fromisoformat(shown["full_at"])
    assert full_at.tzinfo == UTC
    days = monitor.status.space.free_bytes / shown["recorded_bytes_per_day"]
    assert full_at.timestamp() - now == pytest.approx(days * DAY_S, abs=1)
