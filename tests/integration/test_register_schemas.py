"""A second register in a schema of its own, in the same database of PostgreSQL: neither notices the other."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.errors import Unavailable
from mailflow.register import Register, schemas
from mailflow.register.copying import take
from tests.support.databases import VAULT, PostgresDatabases

Pair = tuple[str, Register, Register]


@pytest.fixture
async def registers(postgres_server: PostgresDatabases, tmp_path: Path) -> AsyncIterator[Pair]:
    """The URL of the first, and both, open."""
    url = postgres_server.fresh(migrated=False)
    await schemas.make(url, schemas.SELFTEST)
    first = Register.open(url, VAULT)
    second = Register.open(schemas.within(url, schemas.SELFTEST), VAULT, keys_url=f"sqlite:///{tmp_path / 'keys.db'}")
    for register in (first, second):
        await register.migrate()
    yield url, first, second
    for register in (first, second):
        await register.close()


async def schemas_of(register: Register) -> set[str]:
    async with register.read() as tx:
        return {row.schemaname for row in await tx.all(sa.text("SELECT schemaname FROM pg_tables"))}


async def test_its_tables_and_locks_are_its_own_and_no_backup_holds_it(registers: Pair, tmp_path: Path) -> None:
    url, first, second = registers
    await second.require_current_schema()
    assert await first.keys.identity() != await second.keys.identity()
    assert {"public", schemas.SELFTEST} <= await schemas_of(first)
    async with first.alone("jobs") as ours, second.alone("jobs") as theirs, second.alone("jobs") as again:
        assert (bool(ours), bool(theirs), bool(again)) == (True, True, False)
    copy = await asyncio.to_thread(take, url, None, tmp_path)
    command = ["pg_restore", "--list", str(copy.register)]
    listed = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    assert b" public desk " in listed.stdout
    assert schemas.SELFTEST.encode() not in listed.stdout


async def test_its_sessions_are_ended_and_no_others(registers: Pair) -> None:
    url, first, second = registers

    async def disconnected() -> None:
        async with second.read() as reading:
            assert await schemas.disconnect(schemas.within(url, schemas.SELFTEST)) > 0
            await reading.all(sa.text("SELECT 1"))

    async with first.read() as reading:
        with pytest.raises(Unavailable):
            await disconnected()
        assert await reading.all(sa.text("SELECT 1"))


async def test_it_is_dropped_and_the_other_stays(registers: Pair) -> None:
    url, first, second = registers
    await second.close()
    assert schemas.SELFTEST in await schemas_of(first)
    await schemas.drop(url, schemas.SELFTEST)
    assert schemas.SELFTEST not in await schemas_of(first)
    await first.require_current_schema()
    assert "PostgreSQL" in await schemas.server_version(url)
