"""A schema of its own in a register's PostgreSQL database, for a second register that is never taken for the first."""

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mailflow.register.database import engine_of, translated

SELFTEST = "mailflow_selftest"
"""That of `mailflow selftest`, which makes and drops it; no backup holds it."""


def within(url: str, schema: str) -> str:
    """The URL of the register in that schema of the same database; its sessions bear the schema's name."""
    ours = {"options": f"-csearch_path={schema}", "application_name": schema}
    return sa.make_url(url).update_query_dict(ours).render_as_string(hide_password=False)


async def make(url: str, schema: str) -> None:
    """Make the schema, empty; what lay in it is gone. Raises Unavailable; Misconfigured when this user may not."""
    async with _connected(url) as connection:
        await connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))
        await connection.execute(sa.schema.CreateSchema(schema))


async def drop(url: str, schema: str) -> None:
    """Drop the schema with all that is in it. Raises as `make` does."""
    async with _connected(url) as connection:
        await connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))


async def disconnect(url: str) -> int:
    """End all sessions that bear the name of those of this URL (`within`), wherever they are; how many."""
    sessions = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename = current_user AND application_name = current_setting('application_name')"
        " AND pid <> pg_backend_pid()"
    )
    async with _connected(url) as connection:
        return int(await connection.scalar(sessions) or 0)


async def server_version(url: str) -> str:
    """What kind of database it is, and which version. Raises Unavailable."""
    async with _connected(url) as connection:
        numbers = connection.dialect.server_version_info or ()
        names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        return f"{names[connection.dialect.name]} {'.'.join(map(str, numbers))}"


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = engine_of(url, "the register", read_only=False, connections_max=1)
    try:
        with translated():
            async with engine.begin() as connection:
                yield connection
    finally:
        await engine.dispose()
