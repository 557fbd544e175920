"""Connections to PostgreSQL: how many a worker opens at the most, and that so few are enough for all that it does."""

import asyncio
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

import mailflow
from mailflow.register import Register, intake, key_store, transaction
from tests.support.databases import PostgresDatabases
from tests.support.records import NOW, another, arrival

ALONE = r"async with \S*register\.alone\("
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)
SECONDS_MAX = 60


def kinds_alone() -> int:
    """How many places there are that have a connection for as long as they need others."""
    files = Path(mailflow.__file__).parent.rglob("*.py")
    return sum(
        len(re.findall(ALONE, file.read_text(encoding="utf-8"))) for file in files if "selftest" not in str(file)
    )


def test_who_is_alone_at_something_leaves_connections_to_work_with() -> None:
    assert kinds_alone() < transaction.CONNECTIONS_MAX


@pytest.fixture
def url(postgres_server: PostgresDatabases) -> str:
    """Of a register on PostgreSQL; a file has no server that counts."""
    return postgres_server.fresh(migrated=True)


async def test_whatever_goes_on_at_once_a_worker_keeps_to_its_connections(url: str) -> None:
    locked = asyncio.Barrier(kinds_alone())

    async def work(register: Register, number: int) -> int:
        """Mails come, each with a key for the key store; how many sessions there were."""
        async with register.begin() as tx:
            await intake.take_in(tx, [arrival(number + 1)], NOW)
            return int(await tx.connection.scalar(sa.text(SESSIONS)) or 0)

    async def alone(register: Register, number: int) -> int:
        async with register.alone(f"work {number}") as ours:
            assert ours
            await locked.wait()
            return await work(register, number)

    async with another(url) as register, asyncio.timeout(SECONDS_MAX):
        many = range(kinds_alone(), 60)
        sessions = await asyncio.gather(
            *(alone(register, number) for number in range(kinds_alone())), *(work(register, number) for number in many)
        )
    assert max(sessions) <= transaction.CONNECTIONS_MAX + key_store.CONNECTIONS_MAX
