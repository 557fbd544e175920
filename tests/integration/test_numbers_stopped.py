"""The switch: once numbers are stopped none is given, whoever is at it; what needs none goes on, the rest waits."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from mailflow import registrar
from mailflow.core.model import Right
from mailflow.core.numbers import DeskCode, Territory
from mailflow.errors import Unavailable
from mailflow.mail import late, worker
from mailflow.mail.door import Progress
from mailflow.ops.alarms import Alarm
from mailflow.ops.outlook import bounds
from mailflow.register import Register, acts, backlog, dispatches, issuing
from mailflow.register.dispatches import Made
from mailflow.register.journal import Act
from tests.support.databases import VAULT
from tests.support.doors import PACE, House
from tests.support.judging import dem_part, ges_part, mailed, multipart, signed
from tests.support.operating import ACT, operate
from tests.support.reception import AT, Reception, a_file, a_request, sent
from tests.support.records import rows
from tests.support.watching import RAISED, Lookout

COUNTED = "SELECT territory, month, last FROM counter ORDER BY territory, month"


def a_letter(*sequences: int, more: bytes = b"") -> bytes:
    """A mail with a creation of a person of its own for each sequence."""
    parts = [dem_part(sequence, surname="Nom" + chr(96 + sequence)) for sequence in sequences]
    return mailed(signed(multipart(*parts, *([more] if more else []))))


async def turn(house: House) -> Progress:
    door = house.door()
    await worker.receive(door)
    done = progress = await worker.process(door)
    while progress:
        progress = await worker.process(door)
        done += progress
    return done


async def resume(house: House) -> bool:
    async with house.register.begin() as tx:
        return await issuing.resume(tx, ACT, house.now)


async def states(house: House) -> list[tuple[str, str | None, int]]:
    found = await rows(house.register, "SELECT state, reason, attempts FROM intake ORDER BY id")
    return [(row.state, row.reason, row.attempts) for row in found]


async def test_creations_wait_without_an_attempt_and_all_else_goes_on(house: House) -> None:
    house.mailbox.deliver(a_letter(1))
    assert (await turn(house)).registered == 1
    counted = await rows(house.register, COUNTED)
    assert await issuing.stop(house.register, ACT, house.now) is None
    house.mailbox.deliver(a_letter(2))
    house.mailbox.deliver(a_letter(1))
    house.mailbox.deliver(a_letter(3, more=ges_part()))
    house.mailbox.deliver(mailed(signed(ges_part(sequence=2))))
    house.mailbox.deliver(mailed(dem_part(4)))
    done = await turn(house)
    assert (done.stopped, done.answered, done.replayed, done.questions) == (2, 2, 1, 1)
    waits = ("received", "stopped", 0)
    told = [("answered", None, 0), waits, ("answered", None, 0), waits, ("answered", None, 0)]
    assert await states(house) == [*told, ("set_aside", "CTRL_SIG_0001", 0)]
    assert not await turn(house), "it is not judged again and again"
    house.now += timedelta(minutes=20)
    await late.acknowledge(house.door())
    receipts = await rows(house.register, "SELECT intake_id FROM outbox WHERE kind = 'receipt'")
    assert {2, 4} < {row.intake_id for row in receipts}, "their senders are told that their mails are here"
    house.now += timedelta(hours=1)
    assert (await turn(house)).stopped == 2
    await operate(house.register, acts.Verb.RETRY, house.now, states=["received"])
    assert (await turn(house)).stopped == 2
    assert await rows(house.register, COUNTED) == counted
    async with house.register.read() as tx:
        (stuck,) = await backlog.undecided(tx, house.now, bounds(house.now, PACE.deadline, [50]))
        assert await issuing.waiting(tx) == 2
    assert (stuck.state, stuck.count, stuck.stuck) == ("stopped", 2, True)
    assert await resume(house)
    assert not await resume(house)
    done = await turn(house)
    assert (done.answered, done.registered, done.questions) == (2, 2, 1)
    assert (await rows(house.register, COUNTED))[0].last == 3
    entries = await rows(house.register, "SELECT kind, detail FROM journal WHERE kind LIKE 'numbers-%' ORDER BY id")
    assert [entry.kind for entry in entries] == ["numbers-stopped", "numbers-resumed"]
    assert all('"by": "anna"' in entry.detail and '"why": "a reason"' in entry.detail for entry in entries)


async def test_who_resumes_undoes_no_stop_that_he_has_not_seen(house: House) -> None:
    """A worker may find the register behind its mailboxes just then, and looks through them once only."""
    await issuing.stop(house.register, ACT, house.now)
    async with house.register.read() as tx:
        seen = await issuing.read(tx)
    await issuing.stop(house.register, Act(by=issuing.SERVICE, why="behind"), house.now)
    with pytest.raises(Unavailable, match="stopped once more meanwhile, by the service: behind"):
        async with house.register.begin() as tx:
            await issuing.resume(tx, ACT, house.now, seen=seen)
    async with house.register.read() as tx:
        assert not await issuing.is_whole(tx)


async def test_a_mail_is_counted_to_its_sender_once_though_it_waits(house: House) -> None:
    await issuing.stop(house.register, ACT, house.now)
    house.mailbox.deliver(a_letter(1))
    await turn(house)
    spent = "SELECT mails_an_hour FROM spending"
    assert [row.mails_an_hour for row in await rows(house.register, spent)] == [None]
    await resume(house)
    assert (await turn(house)).answered == 1
    assert [row.mails_an_hour is None for row in await rows(house.register, spent)] == [False]


async def test_operators_are_told_and_reminded_until_it_is_over(house: House) -> None:
    await issuing.stop(house.register, ACT, house.now)
    lookout = Lookout(register=house.register, at=house.now)
    await lookout.look()
    assert RAISED[Alarm.NUMBERS_STOPPED] in lookout.ears.told()
    await lookout.look(timedelta(hours=25))
    assert f"reminder {Alarm.NUMBERS_STOPPED}" in lookout.ears.told()
    await resume(house)
    await lookout.last(15)
    assert f"cleared {Alarm.NUMBERS_STOPPED}" in lookout.ears.told()


async def test_no_dispatch_gets_a_number_either(register: Register) -> None:
    made = Made(
        sender="mairie",
        desk=DeskCode("59123"),
        number=1,
        territory=Territory("059"),
        follows=0,
        through=1,
        requests=1,
        made_at=AT,
    )
    await issuing.stop(register, ACT, AT)
    with pytest.raises(issuing.NumbersStopped):
        async with register.begin() as tx:
            await dispatches.record(tx, made)
    assert await rows(register, "SELECT number FROM dispatch") == []


async def test_who_decides_when_it_is_stopped_is_waited_for(register: Register, register_url: str) -> None:
    """A number that was taken, but not committed, when the switch was thrown is given before `stop` returns."""
    reception, holds, go_on = Reception(register), asyncio.Event(), asyncio.Event()
    await reception.enrol()
    terms, submissions = await reception.prepare(sent(a_file(a_request("Durand"))))

    async def decide() -> None:
        async with register.begin() as tx:
            await registrar.submit(tx, submissions, terms, AT)
            holds.set()
            await go_on.wait()

    other = Register.open(register_url, VAULT)
    deciding = asyncio.create_task(decide())
    await holds.wait()
    stopping = asyncio.create_task(issuing.stop(other, ACT, AT))
    await asyncio.sleep(0.3)
    assert not stopping.done()
    go_on.set()
    await asyncio.gather(deciding, stopping)
    assert len(await rows(other, "SELECT number FROM request")) == 1
    with pytest.raises(issuing.NumbersStopped):
        await reception.outcome(a_request("Petit"), sequence=2)
    await other.close()


async def test_among_many_who_give_numbers_it_is_thrown_at_once_and_holds(
    register: Register, register_url: str
) -> None:
    opened = [register, *(Register.open(register_url, VAULT) for _ in range(4))]
    receptions, begun = [Reception(one) for one in opened[:4]], asyncio.Event()
    for place, reception in enumerate(receptions):
        rights = frozenset({Right.CREATION})
        await reception.enrol(f"sender{place}", f"5900{place}", ["059"], rights=rights)

    async def give(place: int) -> int:
        given = 0
        with contextlib.suppress(issuing.NumbersStopped):
            while True:
                surname = chr(97 + place) + chr(97 + given % 26) * (1 + given // 26)
                form = a_request(surname, desk=f"5900{place}")
                await receptions[place].outcome(form, sequence=given + 1, sender=f"sender{place}")
                given += 1
                begun.set()
        return given

    async with asyncio.timeout(120):
        giving = [asyncio.create_task(give(place)) for place in range(4)]
        await begun.wait()
        await issuing.stop(opened[4], ACT, AT)
        (counted,) = await rows(opened[4], COUNTED)
        given = sum(await asyncio.gather(*giving))
    assert given == counted.last > 0, "what was given until then, and nothing after"
    assert await rows(opened[4], COUNTED) == [counted]
    for one in opened[1:]:
        await one.close()
