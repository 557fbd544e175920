"""Fills a register as fast as the machine lets it; its tables have all their indexes, so these grow as in earnest.

Durability and foreign keys are off meanwhile. What is measured afterwards finds the database as the product has it.
"""

import contextlib
import gc
import multiprocessing
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg
import sqlalchemy as sa
from psycopg import sql

from bench import processes
from bench.ahead import ahead
from bench.uniqueness.rows import NEXT_IDENTIFIER, Maker, Rows
from mailflow.core.numbers import TERRITORIES
from mailflow.register import Register, masters, tables
from mailflow.register.key_store import SCHEMA, beside
from tests.servers.postgres import postgres

BLOCKS_A_TASK = 10
CACHE_KIB = 4 << 20
_TWICE = {tables.active_identity.name: "OR IGNORE"}
"""The same person may come twice by chance; the second one would have been refused."""
_COUNTED = (tables.intake, tables.near_person)
"""Tables whose identifiers come with the rows."""


class Database(Protocol):
    """The database of a register."""

    @property
    def url(self) -> str:
        """As the settings name it."""
        ...

    def fill(self, maker: Maker, blocks: range, workers: int) -> None:
        """Add these blocks; all is on disk afterwards."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Octets on disk of each table and of each index, by name."""
        ...

    def cpu_seconds(self) -> float:
        """Of its server so far; 0 where it has none."""
        ...

    def plan(self, statement: str, parameters: Any) -> str:
        """How it would execute the statement."""
        ...


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[Database]:
    """An empty one, gone afterwards."""
    if kind == "postgresql":
        with postgres(durable=True, settings={"shared_buffers": "1GB"}) as server:
            yield Postgresql(url=server.url(server.create_database()), pid=server.pid)
        return
    folder.mkdir(parents=True)
    file = folder / "register.db"
    try:
        yield Sqlite(url=f"sqlite:///{file}", file=file)
    finally:
        for left in folder.glob("register*.db*"):
            left.unlink()


async def prepare(register: Register) -> None:
    """Make the tables, and have everything that is registered afterwards counted from `NEXT_IDENTIFIER`."""
    await register.migrate()
    async with register.begin() as tx:
        for table in _COUNTED:
            last = {"name": table.name, "last": NEXT_IDENTIFIER}
            if tx.connection.dialect.name == "sqlite":
                statement = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"
            else:
                statement = "SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"
            await tx.run(sa.text(statement).bindparams(**last))
        async with tx.keys.begin() as store:
            await masters.current(store, tx.vault)
        rows = [{"territory": territory, "last": NEXT_IDENTIFIER} for territory in sorted(TERRITORIES)]
        await tx.run(sa.insert(tables.history_counter), rows)


def _with_keys(file: Path, isolation_level: Literal["DEFERRED"] | None = "DEFERRED") -> sqlite3.Connection:
    """The register and its key store."""
    connection = sqlite3.connect(file, isolation_level=isolation_level)
    connection.execute("ATTACH DATABASE ? AS keys", [beside(f"sqlite:///{file}").removeprefix("sqlite:///")])
    return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqlite:
    """A file. One process writes it; the rows come from others."""

    url: str
    file: Path

    def fill(self, maker: Maker, blocks: range, workers: int) -> None:
        """See `Database`."""
        with contextlib.closing(_with_keys(self.file, isolation_level=None)) as connection:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{CACHE_KIB}"):
                connection.execute(f"PRAGMA {pragma}")
            with multiprocessing.get_context("spawn").Pool(workers, _take, [maker]) as pool:
                for written in ahead(pool, _values, _tasks(blocks), most=2 * workers):
                    connection.execute("BEGIN")
                    for table, columns, values in written:
                        connection.executemany(_insert(table, columns), values)
                    connection.execute("COMMIT")
        os.sync()

    def sizes(self) -> Mapping[str, int]:
        """See `Database`. Empty where SQLite was built without its statistics."""
        statement = "SELECT name, pgsize FROM dbstat WHERE aggregate = 1"
        with (
            contextlib.closing(sqlite3.connect(self.file)) as connection,
            contextlib.suppress(sqlite3.OperationalError),
        ):
            return dict(connection.execute(statement).fetchall())
        return {}

    def cpu_seconds(self) -> float:
        """See `Database`."""
        return 0.0

    def plan(self, statement: str, parameters: Any) -> str:
        """See `Database`."""
        with contextlib.closing(_with_keys(self.file)) as connection:
            return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgresql:
    """A server. Each process writes the rows that it makes."""

    url: str
    pid: int

    def fill(self, maker: Maker, blocks: range, workers: int) -> None:
        """See `Database`."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
            connection.execute("SELECT pg_reload_conf()")
            with multiprocessing.get_context("spawn").Pool(workers, _connect, [maker, self.url]) as pool:
                for _ in ahead(pool, _copy, _tasks(blocks), most=2 * workers):
                    pass
            connection.execute("ALTER SYSTEM RESET max_wal_size")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("VACUUM ANALYZE")  # as autovacuum does in time
            connection.execute("CHECKPOINT")

    def sizes(self) -> Mapping[str, int]:
        """See `Database`."""
        statement = (
            "SELECT relname, CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE pg_relation_size(oid) END FROM pg_class"
            " WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
        )
        with psycopg.connect(self.url) as connection:
            return dict(connection.execute(statement).fetchall())

    def cpu_seconds(self) -> float:
        """See `Database`."""
        return processes.cpu_seconds(self.pid)

    def plan(self, statement: str, parameters: Any) -> str:
        """See `Database`."""
        with psycopg.connect(self.url) as connection:
            connection.execute(f"SET search_path = public, {SCHEMA}")
            return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", parameters))


def _tasks(blocks: range) -> list[range]:
    return [blocks[start : start + BLOCKS_A_TASK] for start in range(0, len(blocks), BLOCKS_A_TASK)]


# In the processes that make the rows

_maker: Maker
_connection: psycopg.Connection[Any]


def _take(maker: Maker) -> None:
    global _maker
    _maker = maker
    gc.disable()  # it would look at each of a million rows, again and again; `_made` has it look once


def _connect(maker: Maker, url: str) -> None:
    global _connection
    _take(maker)
    _connection = psycopg.connect(url, autocommit=True)
    _connection.execute("SET session_replication_role = replica")  # foreign keys are not looked up
    _connection.execute("SET synchronous_commit = off")
    _connection.execute(f"SET search_path = public, {SCHEMA}")
    _connection.execute("CREATE TEMPORARY TABLE claims (LIKE active_identity) ON COMMIT DELETE ROWS")


def _values(blocks: range) -> list[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Rows as SQLite keeps them: table, columns, values."""
    return [
        (table.name, list(rows[0]), [tuple(map(_plain, row.values())) for row in rows])
        for table, rows in _made(blocks).items()
    ]


def _made(blocks: range) -> Rows:
    """What was made before is gone by now, but for its cycles."""
    gc.collect()
    return _maker.rows(blocks)


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT {_TWICE.get(table, '')} INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def _plain(value: Any) -> Any:
    """Dates and instants as SQLAlchemy writes them into SQLite."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value.isoformat() if isinstance(value, date) else value


def _copy(blocks: range) -> None:
    with _connection.transaction(), _connection.cursor() as cursor:
        for table, rows in _made(blocks).items():
            if table.name in _TWICE:
                _copy_rows(cursor, "claims", rows)
                cursor.execute("INSERT INTO active_identity SELECT * FROM claims ORDER BY 1, 2 ON CONFLICT DO NOTHING")
            else:
                _copy_rows(cursor, table.name, rows)


def _copy_rows(cursor: psycopg.Cursor[Any], table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)) as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))
