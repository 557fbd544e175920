"""Versions of the tables, applied by the program itself: no alembic.ini, no command of Alembic's.

There is no way back: a downgrade is a restore of the backup. Alembic is loaded by who migrates; whether there is
something to migrate, which every start asks, can be told without it.
"""

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0001"
"""The version that this program works with."""

ADVISORY_LOCK = 0x6D61696C
"""PostgreSQL: held while migrating, so that two programs that start together do not both do it."""


def config() -> "Config":
    """Where Alembic finds the versions."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", "mailflow.register:migrations")
    made.set_main_option("path_separator", "os")
    return made


def upgrade(connection: sa.Connection) -> None:
    """Bring the tables to the newest version, inside the transaction that is open on `connection`."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    from alembic import command

    configured = config()
    configured.attributes["connection"] = connection
    command.upgrade(configured, NEWEST)


def revision(connection: sa.Connection) -> str | None:
    """The version that the database has; None when it has no tables yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found
