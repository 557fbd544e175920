"""A server of PostgreSQL that is frozen, behind a connection that stands: nobody waits for it, but for a COMMIT."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool

from mailflow.errors import Unavailable
from mailflow.register import Register, journal, patience
from tests.support.databases import PostgresDatabases
from tests.support.records import NOW, another, execute, rows

ENTRY = [journal.Entry(kind="written")]
THAW_SECONDS = 15
"""After which whoever waits all the same has its answer, and the test fails."""


@pytest.fixture
def url(postgres_server: PostgresDatabases) -> str:
    return postgres_server.fresh(migrated=True)


@pytest.fixture
async def register(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Register]:
    """One that has little patience; the driver has 5 seconds more."""
    async with another(url) as opened:
        assert await _written(opened) == 0  # connected, and all that is asked once
        monkeypatch.setattr(patience, "ANSWER_SECONDS_MAX", 0.5)
        yield opened


async def _written(register: Register) -> int:
    return len(await rows(register, "SELECT * FROM journal"))


async def _backend(connection: AsyncConnection) -> int:
    return int((await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())


@contextmanager
def _frozen(backend: int) -> Iterator[None]:
    os.kill(backend, signal.SIGSTOP)
    thaw = asyncio.get_running_loop().call_later(THAW_SECONDS, os.kill, backend, signal.SIGCONT)
    try:
        yield
    finally:
        thaw.cancel()
        os.kill(backend, signal.SIGCONT)


async def _requires_all_free(register: Register) -> None:
    """Nothing of the transaction happened, and nothing is left of it: no lock, no connection."""
    assert await _written(register) == 0
    await execute(register, "UPDATE trust_generation SET generation = 2")
    pool = register._engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    assert pool.checkedout() == 0


async def test_a_statement_is_unavailable(register: Register) -> None:
    async def write() -> None:
        async with register.begin() as tx:
            with _frozen(await _backend(tx.connection)):
                await journal.append(tx, ENTRY, NOW)

    with pytest.raises(Unavailable):
        await write()
    await _requires_all_free(register)


async def test_nobody_waits_for_it_to_undo(register: Register) -> None:
    async def fail() -> None:
        async with register.begin() as tx:
            await journal.append(tx, ENTRY, NOW)
            freezing.enter_context(_frozen(await _backend(tx.connection)))
            raise LookupError

    with ExitStack() as freezing, pytest.raises(Unavailable):
        await fail()
    await _requires_all_free(register)


async def test_whether_work_is_still_ours_is_unavailable(register: Register) -> None:
    async def confirm() -> None:
        async with register.alone("receive") as ours:
            assert ours._connection is not None
            freezing.enter_context(_frozen(await _backend(ours._connection)))
            await ours.confirm()

    with ExitStack() as freezing, pytest.raises(Unavailable):
        await confirm()
    await _requires_all_free(register)


async def test_a_commit_is_waited_for(register: Register) -> None:
    """As for one that waits for a standby: who gave up would let the server go on without it."""
    async with register.begin() as tx:
        await journal.append(tx, ENTRY, NOW)
        backend = await _backend(tx.connection)
        os.kill(backend, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(1.5, os.kill, backend, signal.SIGCONT)
    assert await _written(register) == 1
