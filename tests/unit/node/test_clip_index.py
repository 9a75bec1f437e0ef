"""The index of clips over its versions, and what it keeps for retention."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from cllmh_node.clips.index import ClipIndex, ClipRow, Importance
from cllmh_node.clips.schema import make_first_tables


def test_an_index_of_an_earlier_version_gets_what_it_lacks_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path)) as old:
        make_first_tables(old)
        old.execute("INSERT INTO clips VALUES (1, 'gate', 'gate/a.mp4', 10, 20, 700, 'motion', NULL, '[]')")
        old.commit()
    for _ in range(2):
        ClipIndex(path).close()
    with closing(sqlite3.connect(path)) as index:
        assert index.execute("PRAGMA user_version").fetchone() == (1,)
        assert index.execute("SELECT path, bytes, safe_at FROM clips").fetchall() == [("gate/a.mp4", 700, None)]
        assert index.execute("SELECT * FROM clip_totals").fetchall() == [("gate", "motion", 1, 700)]


def test_processes_that_open_an_earlier_index_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path)) as old:
        make_first_tables(old)
    with ThreadPoolExecutor(8) as pool:
        for index in pool.map(ClipIndex, [path] * 8):
            index.close()
    with closing(sqlite3.connect(path)) as index:
        assert index.execute("PRAGMA user_version").fetchone() == (1,)


def test_an_index_of_a_later_version_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    ClipIndex(path).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("ALTER TABLE clips ADD COLUMN mood TEXT")
        later.execute("PRAGMA user_version = 99")
    index = ClipIndex(path)
    assert index.add_clip(ClipRow("gate", "gate/a.mp4", 10, 20, 700, "motion"))
    index.close()
    with closing(sqlite3.connect(path)) as later:
        assert later.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_clip_is_safe_from_when_it_is_said_so_until_it_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = ClipIndex(path)
    for name in "ab":
        index.add_clip(ClipRow("gate", f"gate/{name}.mp4", 10, 20, 700, "motion"))
    index.set_safe(["gate/a.mp4", "gate/nowhere.mp4"], 99.5)
    with closing(sqlite3.connect(path)) as reader:
        query = "SELECT path, safe_at FROM clips ORDER BY path"
        assert reader.execute(query).fetchall() == [("gate/a.mp4", 99.5), ("gate/b.mp4", None)]
        index.set_safe(["gate/a.mp4"], None)
        assert reader.execute(query).fetchall() == [("gate/a.mp4", None), ("gate/b.mp4", None)]
    index.close()


KINDS: tuple[tuple[str, Importance], ...] = (("gate", "motion"), ("gate", "motion"), ("yard", "object"))


def test_the_totals_follow_every_clip_that_comes_changes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = ClipIndex(path)
    for number, (camera, importance) in enumerate(KINDS):
        index.add_clip(ClipRow(camera, f"{camera}/{number}.mp4", 10, 20, 100 + number, importance))
        index.add_clip(ClipRow(camera, f"{camera}/{number}.mp4", 10, 20, 999, importance))  # its path is there already
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE clips SET importance = 'pinned' WHERE path = 'gate/0.mp4'")
    index.remove_clips(["yard/2.mp4"])
    index.close()
    with closing(sqlite3.connect(path)) as reader:
        found = reader.execute("SELECT * FROM clip_totals ORDER BY camera, importance").fetchall()
    assert found == [("gate", "motion", 1, 101), ("gate", "pinned", 1, 100), ("yard", "object", 0, 0)]
