"""Versions of the tables, applied by the program itself: no alembic.ini, no command of Alembic's.

There is no way back: a downgrade is a restore of the backup.
"""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

ADVISORY_LOCK = 0x6D61696C
"""PostgreSQL: held while migrating, so that two programs that start together do not both do it."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "mailflow.register:migrations")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: sa.Connection) -> None:
    """Bring the tables to the newest version, inside the transaction that is open on `connection`."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest() -> str | None:
    """The version that this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def revision(connection: sa.Connection) -> str | None:
    """The version that the database has; None when it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()
