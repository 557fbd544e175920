"""When entries are sealed: none is left out that is committed late, whoever works or is killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from mailflow.app import daily
from mailflow.errors import Misconfigured, Unavailable
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.sealing import Sealer, seal
from mailflow.register import ConstraintViolated, Register, Transaction, chain, journal, watching
from tests.integration.test_jobs_killed import Killed, Mortal
from tests.support.chains import an_entry, findings, forge, happen, links, sealed, small_pages
from tests.support.databases import VAULT, Databases, PostgresDatabases
from tests.support.jobs import TERMS
from tests.support.records import NOW, another, execute, rows

__all__ = ["sealed", "small_pages"]


@asynccontextmanager
async def adding(register: Register, number: int) -> AsyncIterator[Transaction]:
    """A transaction that has an entry and is not over."""
    async with register.begin() as tx:
        await journal.append(tx, [an_entry(number)], NOW)
        yield tx


class Undone(Exception):
    """The transaction is to be rolled back."""


@pytest.fixture
def postgresql_url(postgres_server: PostgresDatabases) -> str:
    return postgres_server.fresh(migrated=True)


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[Register]:
    """Only there do transactions add side by side: in SQLite no entry can be committed late."""
    async with another(postgresql_url) as register:
        yield register


async def test_an_entry_that_is_committed_late_is_waited_for(postgresql: Register) -> None:
    await happen(postgresql, 1)
    async with adding(postgresql, 2):
        await happen(postgresql, 3, 4, 5)
        await seal(postgresql, TERMS, NOW)
        assert await links(postgresql) == [(1, None)]
    await seal(postgresql, TERMS, NOW)
    assert await links(postgresql) == [(id_, None) for id_ in range(1, 6)]
    assert await findings(postgresql) == []


async def test_an_id_that_nobody_can_bring_any_more_is_a_gap(postgresql: Register) -> None:
    await happen(postgresql, 1)
    with suppress(Undone):
        async with adding(postgresql, 2), adding(postgresql, 3):
            await happen(postgresql, 4)
            await seal(postgresql, TERMS, NOW)
            raise Undone
    assert await links(postgresql) == [(1, None)]
    await seal(postgresql, TERMS, NOW)
    assert await links(postgresql) == [(1, None), (3, 2), (4, None)]
    assert await findings(postgresql) == []
    await execute(postgresql, "INSERT INTO journal (id, at, kind, detail) VALUES (2, :at, 'x', '{}')", at=NOW)
    await seal(postgresql, TERMS, NOW)
    assert await findings(postgresql) == [("inserted", 2, 2)]


async def test_who_began_later_holds_nothing_up(postgresql: Register) -> None:
    """There is always somebody adding: it is enough that those are over who may have had the missing id."""
    sealer = Sealer(postgresql)
    async with adding(postgresql, 1):
        await happen(postgresql, 2)
        assert await sealer.step() == 0  # the chain has not begun
        assert sealer.waits
        later = postgresql.begin()
        tx = await later.__aenter__()
        await journal.append(tx, [an_entry(3)], NOW)
    assert await sealer.step() == 2
    await later.__aexit__(None, None, None)
    assert await sealer.step() == 3


async def test_whatever_happens_side_by_side_is_sealed_whole(postgresql: Register) -> None:
    """Four who add, each in its own time, some in vain, while the sealer never rests."""
    chance, working = Random(5), 4
    sealer = Sealer(postgresql)

    async def work() -> None:
        nonlocal working
        for number in range(15):
            with suppress(Undone):
                async with adding(postgresql, number) as tx:
                    await asyncio.sleep(chance.random() / 100)
                    await journal.append(tx, [an_entry(number)] * chance.randint(1, 3), NOW)
                    if chance.random() < 0.3:
                        raise Undone
        working -= 1

    async def seal_on() -> None:
        while working:
            await sealer.step()

    await asyncio.gather(*(work() for _ in range(working)), seal_on())
    await seal(postgresql, TERMS, NOW)
    kept = [row.id for row in await rows(postgresql, "SELECT id FROM journal ORDER BY id")]
    linked = await links(postgresql)
    assert [id_ for id_, gap in linked if gap is None] == kept
    assert [gap for _, gap in linked if gap is not None] != []
    assert await findings(postgresql) == []


async def test_two_sealers_at_once_make_one_chain(sealed: Register, register_url: str) -> None:
    await happen(sealed, 7, 8)
    async with another(register_url) as other:
        made = await asyncio.gather(Sealer(sealed).step(), Sealer(other).step(), return_exceptions=True)
        assert 8 in made
        assert all(one == 8 or isinstance(one, ConstraintViolated) for one in made)
        await happen(sealed, 9)
        async with sealed.alone("seal"):
            await seal(other, TERMS, NOW)
        assert len(await links(sealed)) == 8, "somebody else was at it"
    await seal(sealed, TERMS, NOW)
    assert [id_ for id_, _ in await links(sealed)] == list(range(1, 10))
    assert await findings(sealed) == []


def test_a_sealer_killed_at_any_commit_is_made_up_for(databases: Databases) -> None:
    async def lived(fatal: int | None) -> tuple[int, Any]:
        register = Register.open(url, VAULT)
        mortal: Any = Mortal(register, fatal)
        try:
            await happen(register, 1, 2, 3)
            for day in range(2):
                try:
                    await seal(mortal, TERMS, NOW)
                except Killed:
                    assert day == 0
            assert await findings(register) == []
            heads = await rows(register, "SELECT signed FROM journal_head")
            opened = [TERMS.notary.open(row.signed, NOW) for row in heads]
            return mortal.commits, opened
        finally:
            await register.close()

    url = databases.fresh(migrated=True)
    commits, unharmed = asyncio.run(lived(None))
    assert (commits, len(unharmed)) == (3, 1)
    for fatal in range(1, commits + 1):
        url = databases.fresh(migrated=True)
        assert asyncio.run(lived(fatal))[1] == unharmed


async def test_the_service_seals_again_and_again_whatever_fails(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [Unavailable("the database"), Misconfigured("the key"), ConstraintViolated("pk_journal_link")]
    tried: list[Exception] = []
    done = asyncio.Event()

    async def sometimes(*terms: Any) -> None:
        if len(tried) < len(failures):
            tried.append(failures[len(tried)])
            raise tried[-1]
        await seal(*terms)
        done.set()

    monkeypatch.setattr(daily, "SEAL_SECONDS", 0.01)
    monkeypatch.setattr(daily, "seal", sometimes)
    await happen(register, 1, 2, 3)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(daily.keep_sealed(register, TERMS))
        await done.wait()
        keeping.cancel()
    assert tried == failures
    assert len(await links(register)) == 3


async def test_the_nightly_job_seals_looks_and_tells(register: Register) -> None:
    await happen(register, 1, 2, 3)
    await AUDIT.step(register, TERMS, NOW)
    async with register.read() as tx:
        assert (await chain.last_link(tx)).id == 3
        assert set((await watching.broken(tx)).values()) == {0}
    await forge(register, "DELETE FROM journal WHERE id = 2")
    await AUDIT.step(register, TERMS, NOW)
    async with register.read() as tx:
        assert (await watching.broken(tx))["journal-is-as-sealed"] == 1
