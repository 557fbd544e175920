"""Statements of the databases that fail: before they run, after they ran, at the COMMIT and after it.

The errors are the drivers' own. PostgreSQL is made to say what it says: by a block that raises the SQLSTATE, by ending
its own backend, or by the kill of a backend, after which the server goes through its crash recovery, as after an fsync
that failed. SQLite's come as the library gives them, its transaction undone where it undoes it.
"""

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from mailflow.selftest.points import Point, reach

COMMIT = "COMMIT"
LOST, LOST_AFTER, CRASHED = "connection lost", "connection lost after it", "server crashed"
CRASHED_AFTER = "server crashed after it"
RAISED = {
    "serialization failure": "40001",
    "deadlock": "40P01",
    "disk full": "53100",
    "out of memory": "53200",
    "input/output error": "58030",
    "damaged page": "XX001",
}
"""What PostgreSQL says in place of what was asked for, with its SQLSTATE; 58030 of files that it cannot read, write or
sync."""
SQLITE = {
    "database is locked": (sqlite3.SQLITE_BUSY, "SQLITE_BUSY", "database is locked"),
    "disk I/O error": (sqlite3.SQLITE_IOERR, "SQLITE_IOERR", "disk I/O error"),
    "disk full": (sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full"),
    "failed fsync": (sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", "disk I/O error"),
}
FAILED_AFTER = "disk I/O error after it"

_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE)\s+(?:\w+\.)?(\w+)", re.IGNORECASE)


def hows(point: Point) -> Sequence[str]:
    """What can go wrong at a statement."""
    if point.kind == "sqlite":
        return (*SQLITE, FAILED_AFTER)
    crashes = (CRASHED, CRASHED_AFTER) if point.name == COMMIT else ()
    return (LOST, LOST_AFTER, *RAISED, *crashes)


def listen() -> None:
    """From now on each statement of each engine is a point; to be called once."""
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        sa.event.listen(sa.Engine, name, _executing(name))
    commit: Callable[[DefaultDialect, Any], None] = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        if not _broken(self.name, COMMIT, connection.cursor, partial(commit, self, connection)):
            commit(self, connection)

    setattr(DefaultDialect, "do_commit", do_commit)  # noqa: B010  mypy would not have a method assigned


def _executing(method: str) -> Callable[..., bool]:
    def execute(cursor: Any, statement: str, *rest: Any) -> bool:
        *parameters, context = rest
        dialect = context.dialect
        return _broken(
            dialect.name,
            _name_of(statement),
            context.root_connection.connection.cursor,
            lambda: getattr(type(dialect), method)(dialect, cursor, statement, *parameters, context),
        )

    return execute


def _name_of(statement: str) -> str:
    verb = statement.split(None, 1)[0].upper()
    table = _TABLE.search(statement)
    return f"{verb} {table[1]}" if table else " ".join(statement.split()[:2])[:40]


def _broken(dialect: str, name: str, cursor: Callable[[], Any], work: Callable[[], object]) -> bool:
    """Whether something went wrong here; else it is done as always, and others who listen hear of it too."""
    how = reach(dialect, name)
    if how is None:
        return False
    if dialect == "sqlite":
        _fail_sqlite(how, cursor, work)
    else:
        _fail_postgresql(how, cursor, work)
    return True


def _fail_sqlite(how: str, cursor: Callable[[], Any], work: Callable[[], object]) -> None:
    code, name, text = SQLITE.get(how, SQLITE["disk I/O error"])
    if how == FAILED_AFTER:
        work()
    if code != sqlite3.SQLITE_BUSY and how != FAILED_AFTER:
        _undo(cursor())
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    raise error


def _undo(cursor: Any) -> None:
    """What SQLite does by itself after the graver failures."""
    try:
        cursor.execute("ROLLBACK")
    except sqlite3.OperationalError:  # there was none
        return


def _fail_postgresql(how: str, cursor: Callable[[], Any], work: Callable[[], object]) -> None:
    own = cursor()
    if how in RAISED:
        own.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{RAISED[how]}'; END $$")
    if how in {LOST_AFTER, CRASHED_AFTER}:
        work()
    if how in {CRASHED, CRASHED_AFTER}:
        own.execute("SELECT pg_backend_pid()")
        os.kill(own.fetchone()[0], signal.SIGKILL)
        own.execute("SELECT 1")
    own.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    raise AssertionError("the backend lives on")
