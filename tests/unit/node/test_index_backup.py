"""The index is lost or damaged: what only it knew comes back from its copy beside the recordings."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cllmh_node.clips.backup import BACKUP, back_up
from cllmh_node.clips.index import ClipIndex, ClipRow, GapRow, SpanRow
from cllmh_node.config import ConfigError
from cllmh_node.recorder.settings import RecorderConfig
from cllmh_node.recorder.startup import prepare

TABLES = ("clips", "gaps", "spans", "open_clips", "clip_totals")
ALL_ROWS = {table: f"SELECT * FROM {table} ORDER BY 1, 2" for table in TABLES}  # noqa: S608  names of ours
CLIPS = 3000
BEGAN = 1_767_323_000.0


class Site:
    """A recordings folder and an index with something of everything in it."""

    def __init__(self, folder: Path) -> None:
        self.recordings = folder / "recordings"
        self.config = RecorderConfig.model_validate(
            {
                "recordings_dir": self.recordings,
                "state_dir": folder / "state",
                "cameras": [{"name": "gate", "host": "127.0.0.1", "path": "/"}],
            }
        )
        self.index = self.config.index_path
        self.prepare()
        index = ClipIndex(self.index)
        index.add_clips(self.clip(number) for number in range(CLIPS))
        index.set_safe([self.clip(3).path], BEGAN)
        index.put_spans(
            [SpanRow("gate", BEGAN, BEGAN + 500, "motion"), SpanRow("gate", BEGAN + 600, BEGAN + 700, "off")]
        )
        index.clip_opened("gate", self.clip(CLIPS).path, "motion")
        index.open_gap(GapRow("gate", BEGAN + 500, BEGAN + 600, "camera_lost"))
        index.open_gap(GapRow("gate", BEGAN + 700, None, "auth_failed"))
        index.close()
        self.change("UPDATE clips SET importance = 'pinned', labels = '[\"person\"]' WHERE id = 7")

    @staticmethod
    def clip(number: int) -> ClipRow:
        path = f"gate/2026-01-02/{number:06}.mp4"
        return ClipRow("gate", path, BEGAN + number, BEGAN + number + 1, 1000, "motion", 0.25, ("car",))

    def prepare(self) -> None:
        """Do what is done at the start of a recorder, which has ended again."""
        os.close(prepare(self.config))

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.index)) as connection, connection:
            connection.execute(statement)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        with closing(sqlite3.connect(self.index)) as connection:
            return {table: connection.execute(statement).fetchall() for table, statement in ALL_ROWS.items()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    return Site(tmp_path)


def damage(path: Path, first_page: int, pages: int = 4) -> None:
    """Overwrite pages of a closed index, from a page on."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096 * first_page)
        file.write(b"\xff" * 4096 * pages)


def wal_of_a_change(site: Site) -> bytes:
    """Return what a recorder that was killed leaves beside an index; the index itself is as it was."""
    whole = site.index.read_bytes()
    with closing(sqlite3.connect(site.index, isolation_level=None)) as connection:
        connection.execute("DELETE FROM clips WHERE id % 2")
        wal = site.index.with_name("index.db-wal").read_bytes()
    site.index.write_bytes(whole)
    return wal


@pytest.mark.parametrize("how", ["deleted", "garbage", "pages", "truncated", "with its wal left behind"])
def test_all_rows_are_there_again_after_the_index_was_lost(
    site: Site, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    back_up(site.index, site.recordings)
    before = site.rows()
    wal = wal_of_a_change(site)
    if how == "garbage":
        site.index.write_bytes(b"this was a database" * 1000)
    elif how == "pages":
        damage(site.index, 5)
    elif how == "truncated":
        site.index.write_bytes(site.index.read_bytes()[:5000])
    else:
        site.index.unlink()
    if how == "with its wal left behind":
        site.index.with_name("index.db-wal").write_bytes(wal)
    site.prepare()
    after = site.rows()
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
    assert "index_restored" in caplog.messages


def test_what_is_newer_than_the_copy_is_saved_from_the_pages_that_can_be_read(site: Site) -> None:
    back_up(site.index, site.recordings)
    index = ClipIndex(site.index)
    index.close_gap(GapRow("gate", BEGAN + 700, BEGAN + 750, "auth_failed"))
    index.open_gap(GapRow("gate", BEGAN + 800, BEGAN + 810, "clock"))
    index.put_spans([SpanRow("gate", BEGAN + 750, BEGAN + 800, "motion")])
    index.close()
    before = site.rows()
    with closing(sqlite3.connect(site.index)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'clips_by_start'").fetchone()
    damage(site.index, root - 1, pages=1)
    site.prepare()
    after = site.rows()
    assert [row[1:] for row in after["gaps"]] == [row[1:] for row in before["gaps"]]
    assert after["spans"] == before["spans"]
    assert after["clips"] == before["clips"]


def test_without_a_copy_it_is_said_that_gaps_and_importance_are_lost(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.index.write_bytes(b"this was a database" * 1000)
    site.prepare()
    assert "index_rebuilt" in caplog.messages
    assert site.rows()["gaps"] == []


def test_a_damaged_index_without_its_disk_is_not_taken_for_a_first_run(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    away = site.recordings.rename(site.recordings.with_name("away"))
    site.index.write_bytes(b"this was a database" * 1000)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"recordings_dir: .* has no file .*Is its disk mounted\?"):
            site.prepare()
        assert not site.recordings.exists()
    away.rename(site.recordings)
    site.prepare()
    assert "index_rebuilt" in caplog.messages


def test_an_index_that_was_set_aside_is_no_first_run_either(site: Site) -> None:
    site.index.rename(site.index.with_name("index.db.damaged-20260102T030405Z"))
    site.recordings.rename(site.recordings.with_name("away"))
    with pytest.raises(ConfigError, match=r"Is its disk mounted\?"):
        site.prepare()


def test_a_spool_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "file").touch()
    config = site.config.model_copy(update={"spool_dir": tmp_path / "file" / "spool"})
    with pytest.raises(ConfigError, match=r"/file/spool: cannot be made or written: Not a directory"):
        prepare(config)
    spool = tmp_path / "some" / "spool"
    os.close(prepare(site.config.model_copy(update={"spool_dir": spool})))
    assert spool.is_dir()


def test_an_index_that_is_damaged_does_not_replace_its_copy(site: Site) -> None:
    back_up(site.index, site.recordings)
    copy = (site.recordings / BACKUP).read_bytes()
    damage(site.index, 5)
    with pytest.raises(sqlite3.DatabaseError):
        back_up(site.index, site.recordings)
    assert (site.recordings / BACKUP).read_bytes() == copy
    assert not list(site.recordings.glob("*.new"))


def test_a_copy_that_is_damaged_itself_is_not_used(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    back_up(site.index, site.recordings)
    (site.recordings / BACKUP).write_bytes(b"\xff" * 100_000)
    site.index.unlink()
    site.prepare()
    assert "index_restored" not in caplog.messages
    assert site.rows()["clips"] == []
