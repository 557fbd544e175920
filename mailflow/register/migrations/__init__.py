"""Versions of the tables, applied by the program itself: no alembic.ini, no command of Alembic's.

A version is two steps, `NNNNpre` and `NNNN`. The first only adds what the former program does not notice: both programs
work on it side by side. The second takes away or binds what the former program would not stand: it is done when no
worker of that program lives any more. So a program works with its own version, with the first step to it, and with
the first step to the next one, which it does not know. The very first version is one step.

There is no way back: a downgrade is a restore of the backup. Alembic is loaded by who migrates; whether there is
something to migrate, which every start asks, can be told without it.
"""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from mailflow.errors import Misconfigured

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0001"
"""The version that this program works with."""

ADVISORY_LOCK = 0x6D61696C
"""PostgreSQL: held while migrating, so that two programs that start together do not both do it."""


def first_step(version: str) -> str:
    """Of the two that make it."""
    return f"{version}pre"


def fits(found: str) -> bool:
    """Whether this program works with tables of that version."""
    return found in {NEWEST, first_step(NEWEST), first_step(f"{int(NEWEST) + 1:04}")}


def is_half_way(found: str | None) -> bool:
    """Whether the second step to our version is left to be done."""
    return found == first_step(NEWEST)


def config() -> "Config":
    """Where Alembic finds the versions."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", "mailflow.register:migrations")
    made.set_main_option("path_separator", "os")
    return made


def begin(connection: sa.Connection) -> None:
    """Make the tables, or take the first step to our version, inside the transaction that is open on `connection`.

    Raises Misconfigured when the tables are of a version that this program does not come after.
    """
    _lock(connection)
    found = revision(connection)
    if found is None:
        _apply(connection, NEWEST)
    elif not fits(found):
        if found != f"{int(NEWEST) - 1:04}":
            raise Misconfigured(f"the register's tables are of version {found}: {remedy(found)}")
        _apply(connection, first_step(NEWEST))


def finish(connection: sa.Connection) -> None:
    """Take the second step, likewise."""
    _lock(connection)
    _apply(connection, NEWEST)


def remedy(found: str) -> str:
    """What to do about tables that do not fit."""
    if found == f"{int(NEWEST) - 1:04}":
        return "run `mailflow init`"
    if found.removesuffix("pre") > NEWEST:
        return "this program is older; install the one that they are made for"
    if found.endswith("pre"):
        return "finish that upgrade with its own program, `mailflow upgrade`, before the next one"
    return "upgrade by each version in between"


def _lock(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))


def _apply(connection: sa.Connection, version: str) -> None:
    from alembic import command

    configured = config()
    configured.attributes["connection"] = connection
    command.upgrade(configured, version)


def revision(connection: sa.Connection) -> str | None:
    """The version that the database has; None when it has no tables yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found
