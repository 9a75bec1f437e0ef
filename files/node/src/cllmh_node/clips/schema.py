"""The tables of the index, and how an index of an earlier version gets what it lacks.

`PRAGMA user_version` says which version an index has; it is the number of changes in `_CHANGES` that were made to it.
A change only adds: so an earlier release reads and writes an index of a later one, as it must after a rollback.
"""

import sqlite3

_FIRST = """
CREATE TABLE IF NOT EXISTS clips (
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,      -- below the recordings directory
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    bytes INTEGER NOT NULL,
    importance TEXT NOT NULL CHECK (importance IN ('pinned', 'object', 'motion', 'continuous')),
    peak_score REAL,                -- largest moving part of the picture, 0..1
    labels TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX IF NOT EXISTS clips_by_camera ON clips (camera, start);
CREATE INDEX IF NOT EXISTS clips_by_start ON clips (start);
CREATE TABLE IF NOT EXISTS gaps (
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL,                     -- NULL while the gap lasts
    cause TEXT NOT NULL,
    UNIQUE (camera, start, cause)
);
CREATE TABLE IF NOT EXISTS spans (  -- in which the recorder did with a camera what its mode asks for
    camera TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,            -- moved on every few seconds; after a kill, the start of a restart's gap
    mode TEXT NOT NULL CHECK (mode IN ('motion', 'continuous', 'off')),
    PRIMARY KEY (camera, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_clips (
    camera TEXT PRIMARY KEY,
    path TEXT NOT NULL,             -- being written; after a kill, the file to mend first
    importance TEXT NOT NULL
);
"""

# What may go is asked for by class, what is safe first, then the oldest, of all cameras or of one; and how much there
# is must be known without counting it. So both are kept at hand: retention looks at no row that it leaves.
_RETENTION = (
    "ALTER TABLE clips ADD COLUMN safe_at REAL",  # unix seconds when a verified copy was elsewhere; NULL: there is none
    "CREATE INDEX clips_to_go ON clips (importance, (safe_at IS NULL), start)",
    "CREATE INDEX clips_to_go_by_camera ON clips (camera, importance, (safe_at IS NULL), start)",
    """
    CREATE TABLE clip_totals (
        camera TEXT NOT NULL,
        importance TEXT NOT NULL,
        clips INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (camera, importance)
    ) WITHOUT ROWID
    """,
    "INSERT INTO clip_totals SELECT camera, importance, count(*), sum(bytes) FROM clips GROUP BY camera, importance",
    """
    CREATE TRIGGER clip_added AFTER INSERT ON clips BEGIN
        INSERT INTO clip_totals VALUES (NEW.camera, NEW.importance, 1, NEW.bytes)
        ON CONFLICT DO UPDATE SET clips = clips + 1, bytes = bytes + NEW.bytes;
    END
    """,
    """
    CREATE TRIGGER clip_removed AFTER DELETE ON clips BEGIN
        UPDATE clip_totals SET clips = clips - 1, bytes = bytes - OLD.bytes
        WHERE camera = OLD.camera AND importance = OLD.importance;
    END
    """,
    """
    CREATE TRIGGER clip_changed AFTER UPDATE OF camera, importance, bytes ON clips BEGIN
        UPDATE clip_totals SET clips = clips - 1, bytes = bytes - OLD.bytes
        WHERE camera = OLD.camera AND importance = OLD.importance;
        INSERT INTO clip_totals VALUES (NEW.camera, NEW.importance, 1, NEW.bytes)
        ON CONFLICT DO UPDATE SET clips = clips + 1, bytes = bytes + NEW.bytes;
    END
    """,
)

_CHANGES = (_RETENTION,)


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing and the changes that an index of an earlier version lacks.

    The recorder's processes do this at the same time: one does it, the others find it done.
    """
    make_first_tables(connection)
    if _version(connection) >= len(_CHANGES):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for number, change in enumerate(_CHANGES[_version(connection) :], _version(connection) + 1):
            for statement in change:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def make_first_tables(connection: sqlite3.Connection) -> None:
    """Make the tables as the first version had them, where they are missing."""
    connection.executescript(_FIRST)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
