"""The content keys, in a database of their own: a copy of the register without one of them says nothing.

So their copies can have a short term, and what was erased is out of reach when it has passed, whatever copies of the
register there are. A key is committed here before what it seals is in the register, and destroyed here after the
register has let go of it; what a crash leaves in between is a key too many, which `keys.unneeded` finds.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from mailflow.errors import Misconfigured, Unavailable
from mailflow.log import event
from mailflow.register import migrations
from mailflow.register.columns import key_metadata
from mailflow.register.database import Database, Statements, batches, engine_of
from mailflow.register.key_tables import content_key, key_store

SCHEMA = "mailflow_keys"
"""Where the tables lie in PostgreSQL, also in a database of their own."""

CONNECTIONS_MAX = 4
"""Of a process. A transaction of the register may wait for one; whoever has one waits for none of the register's."""

log = logging.getLogger(__name__)


def beside(url: str) -> str:
    """Where the key store of a register is unless somebody says otherwise: a file beside it, or the same database."""
    if not url.startswith("sqlite:///"):
        return url
    file = Path(url.removeprefix("sqlite:///"))
    return f"sqlite:///{file.with_name(f'{file.stem}-keys{file.suffix}')}"


class KeyStore(Database[Statements]):
    """The database of the content keys."""

    @classmethod
    def open(cls, register_url: str, url: str | None, *, read_only: bool = False) -> Self:
        """That of a register; at `url` when it is not beside it. See `database.engine_of`."""
        where = url or beside(register_url)
        engine = engine_of(where, "the key store", read_only=read_only, connections_max=CONNECTIONS_MAX, schema=SCHEMA)
        if engine.dialect.name == "sqlite":

            @sa.event.listens_for(engine.sync_engine, "connect")
            def _connected(connection: Any, _record: object) -> None:
                connection.execute("PRAGMA secure_delete=ON").close()  # what is deleted is overwritten

        return cls(engine)

    def _transaction(self, connection: AsyncConnection, *, writes: bool) -> Statements:  # noqa: ARG002  of no use here
        return Statements(connection)

    async def migrate(self) -> str:
        """Make the tables that are missing; the identity of this store."""
        async with self.begin() as store:
            if not store.has_only_writer:
                await store.run(sa.select(sa.func.pg_advisory_xact_lock(migrations.ADVISORY_LOCK)))
                await store.run(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            for table in key_metadata.sorted_tables:
                await store.run(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    await store.run(CreateIndex(index, if_not_exists=True))
            new = store.insert(key_store).values(id=1, identity=os.urandom(16).hex())
            await store.run(new.on_conflict_do_nothing())
        return await self.identity()

    async def identity(self) -> str:
        """By which its register knows it again. Raises Misconfigured when there are no tables."""
        where = None if self._engine.dialect.name == "sqlite" else SCHEMA
        async with self.read() as store:
            made = await store.connection.run_sync(lambda c: sa.inspect(c).has_table(key_store.name, schema=where))
            found = await store.all(sa.select(key_store.c.identity)) if made else []
        if not found:
            raise Misconfigured("the key store has no tables: restore it; of a new register `mailflow init` makes it")
        return str(found[0].identity)

    async def destroy(self, ids: Sequence[str]) -> int:
        """Delete content keys that the register has no use for; how many. The job `keys` finds what is left of them."""
        destroyed = 0
        try:
            async with self.begin() as store:
                for batch in batches(ids):
                    destroyed += await store.run(sa.delete(content_key).where(store.among(content_key.c.id, batch)))
        except Unavailable:
            event(log, "unavailable", level=logging.WARNING, work="keys")
            return 0
        return destroyed

    async def sweep(self) -> None:
        """Empty SQLite's log: what was deleted stands there in pages that nobody reads any more."""
        if self._engine.dialect.name == "sqlite":
            async with self._engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                await raw.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")  # outside of any transaction
