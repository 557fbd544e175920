"""The unit of work: everything inside `begin` happens, or nothing of it."""

import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mailflow.errors import Misconfigured, Unavailable
from mailflow.meter import UNMEASURED, Meter
from mailflow.register import migrations
from mailflow.register.database import (
    ConstraintViolated,
    Database,
    Statements,
    batches,
    engine_of,
    fitting,
    translated,
    unbroken,
)
from mailflow.register.key_store import KeyStore
from mailflow.register.key_tables import key_home
from mailflow.register.vault import ContentKey, Vault

__all__ = ["ConstraintViolated", "Hold", "LeaseLost", "Register", "Taken", "Transaction", "batches", "fitting"]

TAKEN_SECONDS = 3.0
"""When whoever found a lock taken looks again: its holder may die with it, and to ask is one cheap statement."""


CONNECTIONS_MAX = 12
"""Of a process. Who does something `alone` on PostgreSQL has one for as long, and needs another for transactions: of
these there are eight kinds, and whatever is left serves transactions, which need no second one to come to an end."""


class LeaseLost(Unavailable):
    """Somebody else has taken over these rows, or an operator has; nothing of the transaction happened."""


class Taken(Unavailable):
    """Another worker is at it: nothing failed, and nothing was done. To be tried again after TAKEN_SECONDS."""


class Transaction(Statements):
    """One transaction on the register; the modules beside this one work with it."""

    __slots__ = ("doomed", "gates", "intake_keys", "keys", "may_number", "reserved", "vault", "writes")

    def __init__(self, connection: AsyncConnection, vault: Vault, keys: KeyStore, *, writes: bool) -> None:
        super().__init__(connection)
        self.vault = vault
        self.keys = keys
        """The store of the content keys, a database of its own."""
        self.writes = writes
        self.intake_keys: dict[int, ContentKey] = {}
        """Content keys of intakes that this transaction has unwrapped already."""
        self.gates: dict[int, bool] = {}
        """Those that it has passed, and whether it has them alone (`gates`)."""
        self.may_number = False
        """It holds the switch, which nobody has thrown (`issuing.hold`)."""
        self.reserved = False
        """Then too: whether numbers are reserved for some requests (`restoring.reserve`)."""
        self.doomed: list[str] = []
        """Content keys that are destroyed once this transaction is committed."""


class Register(Database[Transaction]):
    """The database, with the keys to what is sealed in it."""

    def __init__(
        self, engine: AsyncEngine, vault: Vault, keys: KeyStore, meter: Meter = UNMEASURED, *, read_only: bool = False
    ) -> None:
        super().__init__(engine, meter)
        self._read_only = read_only
        self.vault = vault
        self.keys = keys

    @classmethod
    def open(
        cls, url: str, vault: Vault, meter: Meter = UNMEASURED, *, keys_url: str | None = None, read_only: bool = False
    ) -> Self:
        """See `engine_of`. Without `keys_url` the content keys lie where `key_store.beside` says."""
        engine = engine_of(url, "the register", read_only=read_only, connections_max=CONNECTIONS_MAX)
        return cls(engine, vault, KeyStore.open(url, keys_url, read_only=read_only), meter, read_only=read_only)

    def _transaction(self, connection: AsyncConnection, *, writes: bool) -> Transaction:
        return Transaction(connection, self.vault, self.keys, writes=writes)

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """See `Database`. Afterwards content keys are destroyed that it erased."""
        async with super().begin() as tx:
            yield tx
        if tx.doomed:
            await self.keys.destroy(tx.doomed)

    @contextlib.asynccontextmanager
    async def alone(self, what: str, of: str = "", *, for_ever: bool = True) -> AsyncIterator["Hold"]:
        """Whether `what` is ours to do until the block ends; no when another worker is at it. Raises Unavailable.

        `of`: where there are several of the kind, which one. The lock dies with its holder. It saves double work; that
        none of it does harm is not its task. Not `for_ever`: this name is locked once and never again.
        """
        if self._engine.dialect.name == "sqlite":
            name = f"{what}.{quote(of, safe='@')}" if of else what
            with _file_lock(Path(f"{self._engine.url.database}.{name}.lock"), stays=for_ever) as ours:
                self._tell(what, ours, for_ever)
                yield Hold(ours=ours)
            return
        # Locks are the whole database's; another schema in it is another register.
        key = sa.func.hashtextextended(sa.func.current_schema() + f" {what} {of}", 0)
        with translated():
            connection = await self._engine.connect()
            try:
                _ = await connection.execution_options(isolation_level="AUTOCOMMIT")
                ours = bool(await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))))
                self._tell(what, ours, for_ever)
                try:
                    yield Hold(ours=ours, connection=connection)
                finally:
                    if ours:
                        await unbroken(_unlock(connection, key))
            finally:
                await unbroken(connection.close())

    def _tell(self, what: str, ours: bool, for_ever: bool) -> None:
        if for_ever:
            self._meter.level("lock_held", ours, lock=what)

    async def migrate(self) -> None:
        """Make the tables, or take the first step to our version. Safe to run twice, and from two places at once."""
        store = await self.keys.migrate()
        async with self.begin() as tx:
            await tx.connection.run_sync(migrations.begin)
            await tx.run(tx.insert(key_home).values(id=1, store=store).on_conflict_do_nothing())
        await self._require_own_keys()

    async def require_current_schema(self) -> None:
        """Raises Misconfigured when the tables are missing or of another version, or the key store is another one."""
        async with self.read() as tx:
            found = await tx.connection.run_sync(migrations.revision)
        if found is None:
            raise Misconfigured("the register has no tables yet: run `mailflow init`")
        if not migrations.fits(found):
            remedy = migrations.remedy(found)
            if self._read_only:
                remedy = "look at a copy that `mailflow init` has brought up to date"
            raise Misconfigured(f"the register's tables are of version {found}: {remedy}")
        if not self.vault.is_closed:
            await self._require_own_keys()

    async def _require_own_keys(self) -> None:
        store = await self.keys.identity()
        async with self.read() as tx:
            (home,) = await tx.all(sa.select(key_home.c.store))
        if home.store != store:
            raise Misconfigured("the key store is of another register, or a new one: restore this one's")

    async def close(self) -> None:
        """Close every connection."""
        await super().close()
        await self.keys.close()


class Hold:
    """What `alone` came to: true when it is ours."""

    __slots__ = ("_connection", "_ours")

    def __init__(self, *, ours: bool, connection: AsyncConnection | None = None) -> None:
        self._ours = ours
        self._connection = connection

    def __bool__(self) -> bool:
        return self._ours

    async def confirm(self) -> None:
        """It is still ours. Raises Unavailable when the database is away: somebody else may have it by now."""
        if self._connection is not None:
            with translated():
                await self._connection.execute(sa.select(1))


async def _unlock(connection: AsyncConnection, key: sa.ColumnElement[int]) -> None:
    """A connection that could not unlock must not go back to the pool: it would hold the lock for ever."""
    try:
        await connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
    except sa.exc.SQLAlchemyError:
        await connection.invalidate()


@contextlib.contextmanager
def _file_lock(path: Path, *, stays: bool) -> Iterator[bool]:
    """A file that is locked again and again `stays`: to delete it would let a third process lock another one."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise Unavailable(f"{path.name}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError as error:  # of a file system that is reached by a network
            raise Unavailable(f"{path.name}: {error.strerror}") from error
        else:
            try:
                yield True  # closing unlocks
            finally:
                if not stays:
                    with contextlib.suppress(OSError):  # what is left behind is locked by nobody
                        path.unlink()
