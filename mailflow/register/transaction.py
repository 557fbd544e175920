"""The unit of work: everything inside `begin` happens, or nothing of it."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.meter import UNMEASURED, Meter
from mailflow.register import migrations
from mailflow.register.vault import ContentKey, Vault

LOCK_WAIT_SECONDS_MAX = 15
"""How long a statement waits for somebody else's lock before it is Unavailable."""
STATEMENT_SECONDS_MAX = 60
CONNECT_SECONDS_MAX = 10
POOL_WAIT_SECONDS_MAX = 30
POOL_SIZE = 8
FORBIDDEN_SQLSTATE = "42501"
"""PostgreSQL: insufficient_privilege."""
ROWS_A_STATEMENT = 1_000
"""Longer lists are cut up: SQLite binds 32,766 parameters, PostgreSQL 65,535."""

T = TypeVar("T")
_READS = "mailflow_reads"


class ConstraintViolated(MailflowError):
    """A promise of the register would have been broken; nothing of the transaction happened."""


class LeaseLost(Unavailable):
    """Somebody else has taken over these rows, or an operator has; nothing of the transaction happened."""


class Transaction:
    """One transaction on the register; the modules beside this one work with it."""

    __slots__ = ("connection", "intake_keys", "master", "vault", "writes")

    def __init__(self, connection: AsyncConnection, vault: Vault, *, writes: bool) -> None:
        self.connection = connection
        self.vault = vault
        self.writes = writes
        self.intake_keys: dict[int, ContentKey] = {}
        """Content keys of intakes that this transaction has unwrapped already."""
        self.master: str | None = None
        """The current master key, once this transaction has asked for it."""

    async def all(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """Every row that comes back. Without `rows` the statement runs once; with them once for all of them."""
        if rows is not None and not rows:
            return []
        return list((await self.connection.execute(statement, rows)).all())

    async def run(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> int:
        """How many rows it touched. Without `rows` the statement runs once; with them for each of them."""
        if rows is not None and not rows:
            return 0
        return int((await self.connection.execute(statement, rows)).rowcount)

    @property
    def has_only_writer(self) -> bool:
        """Whether no other transaction writes meanwhile: SQLite's way."""
        return self.connection.dialect.name == "sqlite"

    def insert(self, table: sa.Table) -> postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        if self.has_only_writer:
            return sqlite.insert(table)  # type: ignore[return-value]  # same methods, no common base
        return postgresql.insert(table)


class Register:
    """The database, with the keys to what is sealed in it."""

    def __init__(
        self, engine: AsyncEngine, vault: Vault, meter: Meter = UNMEASURED, *, read_only: bool = False
    ) -> None:
        self._engine = engine
        self._read_only = read_only
        self._meter = meter
        self._vault = vault
        # SQLite has one writer. Queueing here is fair; its own waiting is polling.
        self._turn: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    @classmethod
    def open(cls, url: str, vault: Vault, meter: Meter = UNMEASURED, *, read_only: bool = False) -> Self:
        """`sqlite:///path` (relative to the working directory) or `postgresql://…`. Raises Misconfigured.

        Nothing is connected yet. With `read_only` the database itself refuses whatever would change it.
        """
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise Misconfigured("the register's URL cannot be read") from None
        match parsed.drivername:
            case "sqlite":
                return cls(_sqlite_engine(parsed, read_only=read_only), vault, meter, read_only=read_only)
            case "postgresql" | "postgres":
                return cls(_postgresql_engine(parsed, read_only=read_only), vault, meter, read_only=read_only)
        raise Misconfigured("the register's URL begins with sqlite:/// or postgresql://")

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """A transaction that may write. Leaving it normally commits, by an exception undoes everything.

        Raises ConstraintViolated, and Unavailable for any other refusal of the database: then either nothing
        happened, or the answer to the COMMIT was lost and only reading again tells. A cancellation waits for the
        COMMIT to end.
        """
        async with self._turn:
            with self._meter.call("database", "write"), _translated():
                connection = await self._engine.connect()
                try:
                    _ = await connection.begin()
                    yield Transaction(connection, self._vault, writes=True)
                    await _unbroken(_commit(connection))
                finally:
                    await _unbroken(connection.close())

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """One unchanging view of the register, never waiting for a writer. Raises Unavailable."""
        with self._meter.call("database", "read"), _translated():
            connection = await self._engine.connect()
            try:
                if connection.dialect.name == "sqlite":
                    _ = await connection.execution_options(**{_READS: True})
                else:
                    _ = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                _ = await connection.begin()
                yield Transaction(connection, self._vault, writes=False)
            finally:
                await _unbroken(connection.close())

    @contextlib.asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[bool]:
        """Whether `what` is ours to do until the block ends; False when another worker is at it. Raises Unavailable.

        The lock dies with its holder. It saves double work; that none of it does harm is not its task.
        """
        if self._engine.dialect.name == "sqlite":
            with _file_lock(Path(f"{self._engine.url.database}.{what}.lock")) as ours:
                self._meter.level("lock_held", ours, lock=what)
                yield ours
            return
        key = sa.func.hashtextextended(what, 0)
        with _translated():
            connection = await self._engine.connect()
            try:
                _ = await connection.execution_options(isolation_level="AUTOCOMMIT")
                ours = bool(await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
                self._meter.level("lock_held", ours, lock=what)
                try:
                    yield ours
                finally:
                    if ours:
                        await _unbroken(_unlock(connection, key))
            finally:
                await _unbroken(connection.close())

    async def migrate(self) -> None:
        """Make the tables, or bring them up to date. Safe to run twice, and from two places at once."""
        async with self.begin() as tx:
            await tx.connection.run_sync(migrations.upgrade)

    async def require_current_schema(self) -> None:
        """Raises Misconfigured when the tables are missing or of another version."""
        async with self.read() as tx:
            found = await tx.connection.run_sync(migrations.revision)
        if found is None:
            raise Misconfigured("the register has no tables yet: run `mailflow init`")
        if found != migrations.NEWEST:
            remedy = (
                "look at a copy that `mailflow init` has brought up to date"
                if self._read_only
                else "run `mailflow init`"
            )
            raise Misconfigured(f"the register's tables are of version {found}: {remedy}")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def _commit(connection: AsyncConnection) -> None:
    """A COMMIT that fails may leave the transaction open in the database: that connection is not used again."""
    try:
        await connection.commit()
    except sa.exc.SQLAlchemyError:
        await connection.invalidate()
        raise


async def _unlock(connection: AsyncConnection, key: sa.ColumnElement[int]) -> None:
    """A connection that could not unlock must not go back to the pool: it would hold the lock for ever."""
    try:
        await connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
    except sa.exc.SQLAlchemyError:
        await connection.invalidate()


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[bool]:
    """The file stays: to delete it would let a third process lock another file of the same name."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise Unavailable(f"{path.name}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True  # closing unlocks


async def _unbroken(work: Coroutine[Any, Any, None]) -> None:
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
def _translated() -> Iterator[None]:
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


def _sqlite_engine(url: sa.URL, *, read_only: bool) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise Misconfigured("the register's URL names no file")
    if not Path(url.database).parent.is_dir():
        raise Misconfigured(f"the folder of {url.database} does not exist")
    pragmas = ["journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"]
    if read_only:
        pragmas = ["query_only=ON"]
        file = f"file:{quote(str(Path(url.database).absolute()))}"
        url = url.set(database=file, query={"mode": "ro", "uri": "true"})
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        hide_parameters=True,
        pool_size=POOL_SIZE,
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

    return engine


def _postgresql_engine(url: sa.URL, *, read_only: bool) -> AsyncEngine:
    options = {
        "lock_timeout": f"{LOCK_WAIT_SECONDS_MAX}s",
        "statement_timeout": f"{STATEMENT_SECONDS_MAX}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS_MAX}s",
    }
    if read_only:  # it holds no lock that anybody waits for, so that one view may last as long as its reader works
        options |= {"default_transaction_read_only": "on", "idle_in_transaction_session_timeout": "0"}
    return create_async_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        pool_timeout=POOL_WAIT_SECONDS_MAX,
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": CONNECT_SECONDS_MAX,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` cut up for statements that bind each of them."""
    for start in range(0, len(items), ROWS_A_STATEMENT):
        yield items[start : start + ROWS_A_STATEMENT]
