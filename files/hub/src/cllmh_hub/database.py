"""The hub's database: SQLite (WAL) on one machine, or PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

from sqlalchemy import (
    BigInteger,
    Dialect,
    Engine,
    MetaData,
    TypeDecorator,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.schema import CreateColumn

_BUSY_TIMEOUT_S = 10


class UtcMilliseconds(TypeDecorator[datetime]):
    """An aware datetime, kept as whole milliseconds since 1970: exact, sortable, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        """Return the stored number."""
        return None if value is None else to_milliseconds(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> datetime | None:
        """Return the time."""
        return None if value is None else from_milliseconds(value)


def to_milliseconds(moment: datetime) -> int:
    """Return an aware datetime as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def from_milliseconds(value: int) -> datetime:
    """Return milliseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(value / 1000, UTC)


class Database:
    """An engine and its sessions; `create_tables` once, then `dispose` before a process forks."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        arguments = {"timeout": _BUSY_TIMEOUT_S} if is_sqlite else {"connect_timeout": _BUSY_TIMEOUT_S}
        self.engine: Engine = create_engine(parsed, connect_args=arguments, pool_pre_ping=not is_sqlite)
        self.session: sessionmaker[Session] = sessionmaker(self.engine, expire_on_commit=False)
        if is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)

    def create_tables(self, tables: MetaData) -> None:
        """Make what is missing: tables, and the columns that came with a later release, which may be empty."""
        tables.create_all(self.engine)
        with self.engine.begin() as connection:
            for table in tables.sorted_tables:
                there = {column["name"] for column in inspect(connection).get_columns(table.name)}
                for column in table.columns:
                    if column.name not in there:
                        definition = CreateColumn(column).compile(dialect=self.engine.dialect)
                        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))

    def check(self) -> None:
        """Raise SQLAlchemyError when the database does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def dispose(self) -> None:
        """Close all connections; a forked process must not use its parent's."""
        self.engine.dispose()


def _prepare_sqlite(connection: Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # A node forgets a report once it has our answer: the commit must survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
