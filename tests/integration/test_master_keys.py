"""Another master key, without stopping: new keys are wrapped by it at once, the others anew, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.errors import Misconfigured
from mailflow.jobs import rewrapping, work
from mailflow.jobs.rewrapping import REWRAP
from mailflow.register import ConstraintViolated, Register, intake, keys, masters, outbox, requests
from mailflow.register.key_tables import content_key
from mailflow.register.vault import KEY_BYTES, SealBroken, Vault
from tests.integration.test_jobs_killed import Killed, Mortal
from tests.support.databases import Databases
from tests.support.jobs import TERMS
from tests.support.records import NOW, a_draft, arrival, key_rows, registered, rows

LOOKUP = b"l" * KEY_BYTES
OLD, NEW = {"test": b"m" * KEY_BYTES}, {"next": b"n" * KEY_BYTES}
SAID = b"what the request says"


@pytest.fixture
async def used(register_url: str) -> AsyncIterator[Register]:
    """A register whose vault finds the next master key when it looks again."""
    register = a_register(register_url)
    await registered(register, payload=SAID)
    await take_in(register, 50, 51, 52)
    yield register
    await register.close()


def a_register(url: str) -> Register:
    return Register.open(url, Vault(OLD, first="test", lookup_key=LOOKUP, read_again=lambda: OLD | NEW))


async def make_current(register: Register, name: str = "next") -> None:
    async with register.keys.begin() as store:
        await masters.make_current(store, register.vault, name)


async def wrapped_by(register: Register) -> dict[str, int]:
    async with register.keys.read() as store:
        return {master.name: master.wraps for master in await masters.known(store)}


async def rewrap(register: Any) -> int:
    return await work.run(register, REWRAP, TERMS, NOW)


async def take_in(register: Register, *uids: int) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(uid) for uid in uids], NOW)


async def order(register: Register, key: str) -> None:
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key=key)], NOW)


async def keep_under_a_former_one(register: Register) -> None:
    kept = register.vault.wrap(register.vault.new_key(), "test")
    row = {"id": kept.id, "master": kept.master, "wrapped": kept.wrapped, "created_at": NOW, "owner": "nir x"}
    async with register.keys.begin() as store:
        await store.run(sa.insert(content_key), [row])


async def opened(register: Register) -> bytes | None:
    """All content keys are opened, and what the request says."""
    (request,) = await rows(register, "SELECT number FROM request")
    ids = [row.id for row in await key_rows(register)]
    async with register.read() as tx:
        assert len(await keys.find(tx, ids)) == len(ids)
        found = await requests.find(tx, request.number)
    assert found is not None
    return found.payload


async def test_who_is_at_work_wraps_by_the_next_one_at_once(used: Register, register_url: str) -> None:
    other = a_register(register_url)
    await make_current(other)
    await order(used, "since")
    assert await wrapped_by(used) == {"next": 1, "test": 5}
    assert await opened(used) == SAID
    await other.close()


async def test_all_is_wrapped_anew_and_what_is_sealed_is_not_touched(used: Register) -> None:
    before = await rows(used, "SELECT id, raw FROM intake ORDER BY id")
    await make_current(used)
    assert (await rewrap(used), await rewrap(used)) == (5, 0)
    assert await wrapped_by(used) == {"next": 5, "test": 0}
    assert await rows(used, "SELECT id, raw FROM intake ORDER BY id") == before
    assert await opened(used) == SAID


async def test_a_master_key_goes_only_when_it_wraps_nothing(used: Register, register_url: str) -> None:
    await make_current(used)
    with pytest.raises(ConstraintViolated):
        async with used.keys.begin() as store:
            await masters.remove(store, "test")
    await rewrap(used)
    async with used.keys.begin() as store:
        await masters.remove(store, "test")
        await masters.remove(store, "next")
    assert await wrapped_by(used) == {"next": 5}
    without = Register.open(register_url, Vault(NEW, first="next", lookup_key=LOOKUP))
    assert await opened(without) == SAID
    await without.close()


async def test_who_wraps_by_one_that_is_gone_is_refused(used: Register) -> None:
    await make_current(used)
    await rewrap(used)
    async with used.keys.begin() as store:
        await masters.remove(store, "test")
    with pytest.raises(ConstraintViolated):
        await keep_under_a_former_one(used)
    await order(used, "again")
    assert await wrapped_by(used) == {"next": 6}


async def test_none_becomes_current_whose_octets_are_not_here(used: Register) -> None:
    with pytest.raises(Misconfigured, match="'another'"):
        await make_current(used, "another")
    await order(used, "as before")
    assert await wrapped_by(used) == {"test": 6}


async def test_a_key_that_does_not_open_is_named_and_keeps_no_other(used: Register) -> None:
    (request,) = await rows(used, "SELECT key_id FROM request")
    async with used.keys.begin() as store:
        spoilt = sa.update(content_key).where(content_key.c.id == request.key_id)
        await store.run(spoilt.values(wrapped=b"x" * 60))
    await make_current(used)
    with pytest.raises(SealBroken, match="by test is one"):
        await rewrap(used)
    assert await wrapped_by(used) == {"next": 4, "test": 1}


async def test_it_is_done_while_others_work(used: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrapping, "BATCH", 1)
    await make_current(used)
    erased = [row.key_id for row in await rows(used, "SELECT key_id FROM intake ORDER BY id LIMIT 2")]

    async def erase() -> None:
        async with used.begin() as tx:
            keys.erase(tx, erased)

    await asyncio.gather(rewrap(used), *(order(used, str(n)) for n in range(5)), erase())
    assert await rewrap(used) == 0
    assert await wrapped_by(used) == {"next": 8, "test": 0}
    assert {row.id for row in await key_rows(used)}.isdisjoint(erased)
    assert await opened(used) == SAID


def test_killed_at_any_commit_nothing_is_lost(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before a commit of the rotation, and before another; a worker takes in mails in between."""
    monkeypatch.setattr(rewrapping, "BATCH", 1)

    async def rotated(url: str, fatal: int | None) -> int:
        register = a_register(url)
        await registered(register, payload=SAID)
        mortal: Any = Mortal(register, fatal)
        for again in range(3):
            try:
                await make_current(mortal)
                await take_in(register, 50 + again)
                await rewrap(mortal)
            except Killed:
                assert await opened(register) == SAID
        assert await opened(register) == SAID
        assert (await wrapped_by(register))["test"] == 0
        await register.close()
        return int(mortal.commits)

    commits = asyncio.run(rotated(databases.fresh(migrated=True), None))
    for fatal in range(1, commits + 1):
        asyncio.run(rotated(databases.fresh(migrated=True), fatal))
