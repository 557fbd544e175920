"""Gates: who changes what others decide by gets its turn among them, however many they are and however busy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import sqlalchemy as sa

from mailflow.core.model import Standing
from mailflow.core.rates import Budget
from mailflow.core.revocation import SourceKey, SourceKind
from mailflow.core.service_keys import KeyUse, ServiceKey
from mailflow.mail import worker
from mailflow.register import Register, Transaction, directory, gates, issuing, revocations, service_keys, tables
from mailflow.register.gates import Gate
from tests.support.databases import VAULT, PostgresDatabases
from tests.support.doors import House
from tests.support.judging import a_mail, dem_part, mairie
from tests.support.operating import ACT
from tests.support.records import NOW, another, rows

MAIRIE = mairie().enrolment().code
CHANGE = directory.Change(by="anna", why="contract 12", at=NOW)
BUSY = 6
HELD_SECONDS = 0.5
"""So much longer than it takes to have it again that there is never a moment when nobody has it."""
LIST = SourceKey(SourceKind.LIST, "http://crl.example/1", "")
WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def url(postgres_server: PostgresDatabases) -> str:
    """Of a register on PostgreSQL, where more than one writes at a time."""
    return postgres_server.fresh(migrated=True)


@pytest.fixture
async def register(url: str) -> AsyncIterator[Register]:
    async with another(url) as opened:
        yield opened


@pytest.fixture
async def house(register: Register) -> House:
    made = House(register)
    await made.enrol()
    return made


async def others_wait(register: Register, count: int, *, unless: asyncio.Task[int] | None = None) -> None:
    """Until so many wait for a lock, or that task has ended."""
    async with asyncio.timeout(60):
        while unless is None or not unless.done():
            async with register.read() as tx:
                ((waiting,),) = await tx.all(WAITING)
            if waiting >= count:
                return
            await asyncio.sleep(0.01)


async def suspend(tx: Transaction) -> None:
    await directory.set_sender_standing(tx, MAIRIE, Standing.SUSPENDED, CHANGE)


async def test_a_suspension_and_a_stop_get_their_turn_among_many_who_never_pause(house: House, url: str) -> None:
    """There is always one that decides, and each has gone on when both are done."""
    decided, over = [asyncio.Event() for _ in range(BUSY)], asyncio.Event()

    async def each() -> None:
        for one in decided:
            one.clear()
        await asyncio.gather(*(one.wait() for one in decided))

    async def decide(register: Register, place: int) -> None:
        while not over.is_set():
            async with register.begin() as tx:
                await directory.generation(tx)
                await issuing.hold(tx)
                await asyncio.sleep(HELD_SECONDS * (1 + place / BUSY))  # one at least has it at any time
            decided[place].set()

    async with asyncio.timeout(300), AsyncExitStack() as opened:
        busy = [await opened.enter_async_context(another(url)) for _ in range(BUSY)]
        deciding = [asyncio.create_task(decide(one, place)) for place, one in enumerate(busy)]
        await each()
        async with house.register.begin() as tx:
            await suspend(tx)
        await issuing.stop(house.register, ACT, NOW)
        await each()
        over.set()
        await asyncio.gather(*deciding)
    assert [row.standing for row in await rows(house.register, "SELECT standing FROM sender")] == ["suspended"]


async def stage_key(tx: Transaction) -> None:
    await service_keys.stage(tx, ServiceKey(fingerprint="ab" * 32, use=KeyUse.SIGNING, active_from=NOW), ACT, NOW)


async def keep_list(tx: Transaction) -> None:
    await revocations.keep(tx, LIST, b"der", published=NOW, expires=NOW, at=NOW, next_at=NOW)


@pytest.mark.parametrize("change", [suspend, stage_key, keep_list])
async def test_who_begins_later_does_not_overtake_a_change_that_waits(
    house: House, url: str, change: Callable[[Transaction], Awaitable[None]]
) -> None:
    async def make(register: Register) -> None:
        async with register.begin() as tx:
            await change(tx)

    async def look(register: Register) -> int:
        async with register.begin() as tx:
            return await directory.generation(tx)

    async with another(url) as second, another(url) as third, another(url) as fourth:
        async with house.register.begin() as tx:
            before = await directory.generation(tx)
            changing = asyncio.create_task(make(second))
            await others_wait(fourth, 1)
            later = asyncio.create_task(look(third))
            await others_wait(fourth, 2, unless=later)
        await changing
        assert await later == before + 1


async def test_who_decides_has_locked_no_sender_when_it_waits_for_a_change(house: House, url: str) -> None:
    """So a change of several things, rates among them, and a worker never wait for each other in a ring."""
    house.mailbox.deliver(a_mail(dem_part(1)))
    door = house.door()
    await worker.receive(door)
    async with another(url) as other, another(url) as third:
        async with other.begin() as tx:
            await directory.set_answer_address(tx, MAIRIE, "new@mairie.example", CHANGE)
            processing = asyncio.create_task(worker.process(door))
            await others_wait(third, 1)
            await directory.set_rates(tx, MAIRIE, {Budget.MAILS_AN_HOUR: 5}, CHANGE)
        await processing
    while await worker.process(door):
        pass
    assert [row.state for row in await rows(house.register, "SELECT state FROM intake")] == ["answered"]


async def test_of_several_who_stop_the_numbers_at_once_one_does_and_the_others_are_told(
    register: Register, url: str
) -> None:
    """As workers do that find at their start that the register is behind."""
    async with AsyncExitStack() as opened:
        workers = [await opened.enter_async_context(another(url)) for _ in range(3)]
        async with register.begin() as tx:
            await tx.all(sa.select(tables.issuing).with_for_update())
            stops = [asyncio.create_task(issuing.stop(one, ACT, NOW)) for one in workers]
            await others_wait(workers[0], len(workers))
        before = await asyncio.gather(*stops)
    assert sorted(one is None for one in before) == [False, False, True]
    assert len(await rows(register, "SELECT id FROM journal WHERE kind = 'numbers-stopped'")) == 1


async def test_two_registers_in_one_database_do_not_wait_for_each_other(register: Register, url: str) -> None:
    async with register.begin() as tx:
        await tx.run(sa.text("CREATE SCHEMA beside"))
    beside = Register.open(f"{url}&options=-csearch_path%3Dbeside", VAULT)
    try:
        async with register.begin() as one, beside.begin() as two:
            await gates.have_alone(one, Gate.TRUST)
            await gates.have_alone(two, Gate.TRUST)
    finally:
        await beside.close()
