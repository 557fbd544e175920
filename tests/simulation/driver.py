"""SQLite without its threads: each statement runs in the event loop itself, so that a seed tells one story only.

aiosqlite hands every statement to a thread and the answer back: when that comes is nobody's decision, and the way
there costs more than the statement. Here the same `sqlite3` answers at once, through the same engine with all that
the product has set up in it; whether others go first is decided by whoever is asked before each statement.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn

from tests.support import compiled

BetweenStatements = Callable[[], Awaitable[None]]
DURABLE, FAST = "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"
"""What is killed here is a process, and never the machine."""


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        super().execute(FAST if sql == DURABLE else sql, parameters)
        return self


class _Driver(sqlite3.Connection):
    """As the engine's dialect, which is that of aiosqlite, expects its connections."""

    def cursor(self, *_: Any) -> _Cursor:  # type: ignore[override]  # the adapter adds an argument
        return super().cursor(_Cursor)

    @property
    def driver_connection(self) -> "_Driver":
        return self

    def terminate(self) -> None:
        self.close()

    async def execute_fetchall(self, sql: str) -> list[Any]:
        return self.execute(sql).fetchall()


class Connection:
    """What `database` uses of an `AsyncConnection`."""

    def __init__(self, connection: sa.Connection, between_statements: BetweenStatements) -> None:
        self._connection = connection
        self._between_statements = between_statements

    @property
    def dialect(self) -> sa.Dialect:
        return self._connection.dialect

    async def execution_options(self, **options: Any) -> "Connection":
        self._connection.execution_options(**options)
        return self

    async def begin(self) -> None:
        self._connection.begin()

    async def execute(self, statement: sa.Executable, rows: Any = None) -> sa.CursorResult[Any]:
        await self._between_statements()
        return self._connection.execute(statement, rows)

    async def commit(self) -> None:
        self._connection.commit()

    async def invalidate(self) -> None:
        self._connection.invalidate()

    async def close(self) -> None:
        self._connection.close()

    async def get_raw_connection(self) -> sa.PoolProxiedConnection:
        return self._connection.connection


class Engine:
    """What `database` uses of an `AsyncEngine`; `engine` must not have connected yet."""

    def __init__(self, engine: sa.Engine, between_statements: BetweenStatements) -> None:
        self._engine = engine
        self._between_statements = between_statements
        self._first = True
        sa.event.listen(engine, "do_connect", _connect)
        compiled.share()

    @property
    def dialect(self) -> sa.Dialect:
        return self._engine.dialect

    @property
    def url(self) -> sa.URL:
        return self._engine.url

    def connect(self) -> "_Connecting":
        return _Connecting(self._connected)

    async def _connected(self) -> Connection:
        """The first time what aiosqlite's dialect asks must be asked as that is used to: through a greenlet."""
        if self._first:
            self._first = False
            connection = await greenlet_spawn(self._engine.connect)
        else:
            connection = self._engine.connect()
        return Connection(connection, self._between_statements)

    async def dispose(self) -> None:
        self._engine.dispose()


class _Connecting:
    """A connection for whoever awaits it, or for a block."""

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, Connection]]) -> None:
        self._connect = connect

    def __await__(self) -> Generator[Any, Any, Connection]:
        return self._connect().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self._connect()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


def _connect(_dialect: object, _record: object, arguments: Any, options: dict[str, Any]) -> _Driver:
    # Nobody waits for a lock: whoever has it could not go on meanwhile.
    return sqlite3.connect(*arguments, **{**options, "timeout": 0}, factory=_Driver)
