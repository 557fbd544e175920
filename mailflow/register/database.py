"""A database and its transactions: SQLite or PostgreSQL, with one meaning of what goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.meter import UNMEASURED, Meter

LOCK_WAIT_SECONDS_MAX = 15
"""How long a statement waits for somebody else's lock before it is Unavailable."""
STATEMENT_SECONDS_MAX = 60
CONNECT_SECONDS_MAX = 10
POOL_WAIT_SECONDS_MAX = 30
VANISHED_SECONDS = 10
"""After which each side takes the other for gone that gives no sign of life, and frees what it held."""
CACHE_KIB = 500
"""SQLite: of each connection. The file lies in the system's cache as well; 2 MiB, as it is usual, are no faster."""
FORBIDDEN_SQLSTATE = "42501"
"""PostgreSQL: insufficient_privilege."""
ROWS_A_STATEMENT = 1_000
"""Longer lists are cut up: SQLite binds 32,766 parameters, PostgreSQL 65,535."""

T = TypeVar("T")
Id = TypeVar("Id")
S = TypeVar("S", bound="Statements")
_READS = "mailflow_reads"


class ConstraintViolated(MailflowError):
    """A promise of the register would have been broken; nothing of the transaction happened."""


class Statements:
    """One transaction, to which statements are told."""

    __slots__ = ("connection",)

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def all(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """Every row that comes back. Without `rows` the statement runs once; with them once for all of them."""
        if rows is not None and not rows:
            return []
        return list((await self._execute(statement, rows)).all())

    async def run(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> int:
        """How many rows it touched. Without `rows` the statement runs once; with them for each of them."""
        if rows is not None and not rows:
            return 0
        return int((await self._execute(statement, rows)).rowcount)

    async def _execute(
        self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None
    ) -> sa.CursorResult[Any]:
        """PostgreSQL has new rows all at once, each column as an array.

        Row by row each would cost it a round of its own; written out, a hundred rows are a statement of a thousand
        parameters, to be read and planned anew for each count of rows.
        """
        if rows is None or not isinstance(statement, sa.Insert) or self.has_only_writer:
            return await self.connection.execute(statement, rows)
        columns = [statement.table.c[name] for name in rows[0]]
        arrays = [sa.bindparam(column.name, type_=sa.ARRAY(column.type)) for column in columns]
        given = sa.func.unnest(*arrays).table_valued(*rows[0]).render_derived(name="given")
        new = statement.from_select(columns, sa.select(*given.c), include_defaults=False)
        values = {name: [row[name] for row in rows] for name in rows[0]}
        return await self.connection.execute(new, values, execution_options={"preserve_rowcount": True})

    @property
    def has_only_writer(self) -> bool:
        """Whether no other transaction writes meanwhile: SQLite's way."""
        return self.connection.dialect.name == "sqlite"

    def among(self, column: sa.ColumnElement[T], values: Sequence[T]) -> sa.ColumnElement[bool]:
        """Whether a column has one of these values.

        PostgreSQL has them as one array: the statement is the same however many they are, and is read and planned once.
        """
        if self.has_only_writer:
            return column.in_(values)
        return column == sa.any_(sa.bindparam(None, values, type_=sa.ARRAY(column.type)))

    def insert(self, table: sa.Table) -> postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        if self.has_only_writer:
            return sqlite.insert(table)  # type: ignore[return-value]  # same methods, no common base
        return postgresql.insert(table)


class Database(Generic[S]):
    """A database whose transactions are of the type `S`."""

    def __init__(self, engine: AsyncEngine, meter: Meter = UNMEASURED) -> None:
        self._engine = engine
        self._meter = meter
        # SQLite has one writer. Queueing here is fair; its own waiting is polling.
        self._turn: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    def _transaction(self, connection: AsyncConnection, *, writes: bool) -> S:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[S]:
        """A transaction that may write. Leaving it normally commits, by an exception undoes everything.

        Raises ConstraintViolated, and Unavailable for any other refusal of the database: then either nothing
        happened, or the answer to the COMMIT was lost and only reading again tells. A cancellation waits for the
        COMMIT to end.
        """
        async with self._turn:
            with self._meter.call("database", "write"), translated():
                connection = await self._engine.connect()
                try:
                    _ = await connection.begin()
                    yield self._transaction(connection, writes=True)
                    await unbroken(_commit(connection))
                finally:
                    await unbroken(connection.close())

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[S]:
        """One unchanging view, never waiting for a writer. Raises Unavailable."""
        with self._meter.call("database", "read"), translated():
            connection = await self._engine.connect()
            try:
                if connection.dialect.name == "sqlite":
                    _ = await connection.execution_options(**{_READS: True})
                else:
                    _ = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                _ = await connection.begin()
                yield self._transaction(connection, writes=False)
            finally:
                await unbroken(connection.close())

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def engine_of(url: str, what: str, *, read_only: bool, connections_max: int, schema: str | None = None) -> AsyncEngine:
    """`sqlite:///path` (relative to the working directory) or `postgresql://…`. Raises Misconfigured.

    Nothing is connected yet. Whoever wants more connections at once than `connections_max` waits for one. With
    `read_only` the database itself refuses whatever would change it. `schema`: where PostgreSQL looks for tables;
    without it where the `options` of the URL say.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise Misconfigured(f"the URL of {what} cannot be read") from None
    match parsed.drivername:
        case "sqlite":
            return _sqlite_engine(parsed, what, read_only=read_only, connections_max=connections_max)
        case "postgresql" | "postgres":
            return _postgresql_engine(parsed, read_only=read_only, connections_max=connections_max, schema=schema)
    raise Misconfigured(f"the URL of {what} begins with sqlite:/// or postgresql://")


async def _commit(connection: AsyncConnection) -> None:
    """A COMMIT that fails may leave the transaction open in the database: that connection is not used again."""
    try:
        await connection.commit()
    except sa.exc.SQLAlchemyError:
        await connection.invalidate()
        raise


async def unbroken(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` whatever happens; a cancellation is passed on afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen; whether it was committed is found out by reading again
        raise cancelled
    task.result()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of the drivers in our words. What stays (a wrong statement, a value it cannot hold) is a bug."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise ConstraintViolated(_constraint(error)) from error
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", "") == FORBIDDEN_SQLSTATE:
            raise Misconfigured("the register does not let this user do that: it wants another role") from error
        raise
    except (sa.exc.OperationalError, sa.exc.InternalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        if getattr(getattr(error, "orig", None), "sqlite_errorname", "").startswith("SQLITE_READONLY"):
            raise Misconfigured("the register is a file that this user may not write") from error
        raise Unavailable(f"the database: {type(error.__cause__ or error).__name__}") from error


def _constraint(error: sa.exc.IntegrityError) -> str:
    """The name of what was violated; never a value."""
    diagnosis = getattr(error.orig, "diag", None)
    return str(diagnosis.constraint_name) if diagnosis is not None else str(error.orig)


def _sqlite_engine(url: sa.URL, what: str, *, read_only: bool, connections_max: int) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise Misconfigured(f"the URL of {what} names no file")
    if not Path(url.database).parent.is_dir():
        raise Misconfigured(f"the folder of {url.database} does not exist")
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"cache_size=-{CACHE_KIB}"]
    if read_only:
        pragmas = ["query_only=ON"]
        file = f"file:{quote(str(Path(url.database).absolute()))}"
        url = url.set(database=file, query={"mode": "ro", "uri": "true"})
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        hide_parameters=True,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS_MAX,
        connect_args={"timeout": LOCK_WAIT_SECONDS_MAX, "isolation_level": None},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        # The driver's own transactions begin with the first write: what was read before it may be stale by then.
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")

    @sa.event.listens_for(engine.sync_engine, "invalidate")
    def _cut_off(connection: Any, _record: object, _error: object) -> None:
        # To close it is not enough: SQLite keeps it, with its lock, while a cursor lives, if only in a traceback.
        with contextlib.suppress(engine.dialect.loaded_dbapi.Error):
            connection.rollback()

    return engine


def _postgresql_engine(url: sa.URL, *, read_only: bool, connections_max: int, schema: str | None) -> AsyncEngine:
    from mailflow.register import binary, patience  # the driver: ten mebibytes for whoever has none to drive

    options = {
        "lock_timeout": f"{LOCK_WAIT_SECONDS_MAX}s",
        "statement_timeout": f"{STATEMENT_SECONDS_MAX}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS_MAX}s",
        # How the server finds out that our host is gone: then it ends our sessions, and their locks are free.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": f"{VANISHED_SECONDS}s",
        "client_connection_check_interval": "5s",
    }
    if schema is not None:
        options["search_path"] = schema
    if read_only:  # it holds no lock that anybody waits for, so that one view may last as long as its reader works
        options |= {"default_transaction_read_only": "on", "idle_in_transaction_session_timeout": "0"}
    given = url.normalized_query.get("options", ())
    wanted: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS_MAX,
        # And how we find out that the server is gone, or has become a standby: of several the one that writes is asked.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": VANISHED_SECONDS * 1_000,
        "target_session_attrs": "any" if read_only else "read-write",
    }
    return create_async_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS_MAX,
        isolation_level="READ COMMITTED",
        connect_args={name: value for name, value in wanted.items() if name not in url.query}
        | {
            "options": " ".join([*given, *(f"-c {name}={value}" for name, value in options.items())]),
            "cursor_factory": binary.Cursor,
            "context": binary.ARRAYS,
            "async_creator_fn": patience.Connection.connect,
        },
    )


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` cut up for statements that bind each of them."""
    for start in range(0, len(items), ROWS_A_STATEMENT):
        yield items[start : start + ROWS_A_STATEMENT]


def fitting(sizes: Mapping[Id, int], size_bytes_max: int) -> list[Id]:
    """Of values by their sizes those, in their order, that together have so many octets at most; at least one."""
    chosen: list[Id] = []
    total = 0
    for id_, size in sizes.items():
        total += size
        if chosen and total > size_bytes_max:
            break
        chosen.append(id_)
    return chosen
