"""Who sends more than its rates allow waits for its turn: in order, in time, seen by operators. Nobody else does."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow import registrar
from mailflow.core.model import SenderCode, Standing
from mailflow.core.rates import Budget
from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, late, worker
from mailflow.mail.desk import open_answer
from mailflow.mail.door import Progress
from mailflow.ops.alarms import Alarm
from mailflow.ops.outlook import bounds
from mailflow.register import Register, backlog, directory, rates
from tests.support.doors import PACE, House
from tests.support.judging import RECEIVED_AT, conseil, dem_part, mailed, mairie, signed
from tests.support.pki import shared_pki
from tests.support.records import rows
from tests.support.watching import RAISED, Lookout

MAIRIE = SenderCode("mairie")
HOUR = timedelta(hours=1)
AMPLE = dict.fromkeys(Budget, 1_000_000)


def a_letter(number: int, count: int = 1, *, of_conseil: bool = False) -> bytes:
    by = conseil() if of_conseil else mairie()
    return mailed(signed(dem_part(number, surname="Nom" + chr(96 + number), count=count), by), by.address)


async def turn(house: House, own: Mapping[Budget, int]) -> Progress:
    """All that is due now is received and decided."""
    door = house.door(pace=replace(PACE, rates={**AMPLE, **own}))
    await worker.receive(door)
    done = progress = await worker.process(door)
    while progress:
        progress = await worker.process(door)
        done += progress
    return done


async def answered(house: House) -> list[int]:
    """The intakes that were decided, in that order."""
    return [row.intake_id for row in await rows(house.register, "SELECT intake_id FROM outbox ORDER BY queued_at, id")]


async def waiting(house: House) -> list[tuple[int, str, str, str]]:
    told = "SELECT id, sender, reason, detail FROM intake WHERE next_at IS NOT NULL ORDER BY received_at, id"
    return [(row.id, row.sender, row.reason, row.detail) for row in await rows(house.register, told)]


async def own_rates(house: House, own: Mapping[Budget, int]) -> None:
    async with house.register.begin() as tx:
        await directory.set_rates(tx, MAIRIE, own, directory.Change(by="anna", why="year's end", at=house.now))


async def test_what_is_more_waits_in_order_and_others_do_not(house: House) -> None:
    await house.enrol(conseil())
    for number in range(1, 6):
        house.mailbox.deliver(a_letter(number))
    house.mailbox.deliver(a_letter(6, of_conseil=True))
    limit = {Budget.MAILS_AN_HOUR: 2}
    done = await turn(house, limit)
    assert (done.answered, done.put_off) == (3, 3)
    assert await answered(house) == [1, 2, 6]
    assert await waiting(house) == [(number, "mairie", "rate", "mails_an_hour") for number in (3, 4, 5)]
    assert not await turn(house, limit), "nothing is due, and nothing is judged again and again"
    for expected in (3, 4, 5):
        house.now += HOUR / 2
        assert (await turn(house, limit)).answered == 1
        assert (await answered(house))[-1] == expected
    assert sum(house.judges.chunks) == 6 + 3, "what waits is judged twice: to know whose it is, and in its turn"


async def test_octets_and_requests_are_counted_too(house: House) -> None:
    house.mailbox.deliver(a_letter(1, 3))
    house.mailbox.deliver(a_letter(2, 3))
    done = await turn(house, {Budget.REQUESTS_AN_HOUR: 5})
    assert (done.registered, done.put_off) == (3, 1)
    assert (await waiting(house))[0][3] == "requests_an_hour"
    await own_rates(house, {Budget.BYTES_AN_HOUR: 100})
    assert (await turn(house, {})).registered == 3, "a mail larger than the whole budget goes when it is unused"
    house.mailbox.deliver(a_letter(3))
    assert (await turn(house, {})).put_off == 1
    assert (await waiting(house))[0][3] == "bytes_an_hour"


async def test_a_budget_of_an_hour_endangers_no_deadline(house: House) -> None:
    for number in range(1, 12):
        house.mailbox.deliver(a_letter(number))
    assert (await turn(house, {Budget.MAILS_AN_HOUR: 1})).put_off == 10
    assert {reason for _, _, reason, _ in await waiting(house)} == {"rate"}
    house.now = RECEIVED_AT + PACE.deadline / 2
    assert (await turn(house, {Budget.MAILS_AN_HOUR: 1})).answered == 10
    assert await answered(house) == list(range(1, 12))


async def test_a_budget_of_a_day_holds_and_operators_are_told_in_time(house: House) -> None:
    limit = {Budget.MAILS_A_DAY: 1}
    for number in (1, 2):
        house.mailbox.deliver(a_letter(number))
    assert (await turn(house, limit)).put_off == 1
    assert await waiting(house) == [(2, "mairie", "rate_late", "mails_a_day")]
    lookout = Lookout(register=house.register, at=house.now)
    await lookout.look()
    assert RAISED[Alarm.SENDER_BEYOND_RATES] in lookout.ears.told()
    async with house.register.read() as tx:
        (stuck,) = await backlog.undecided(tx, house.now, bounds(house.now, PACE.deadline, [50]))
    assert (stuck.state, stuck.sender, stuck.count, stuck.stuck) == ("turn", "mairie", 1, True)
    house.now += 24 * HOUR
    assert (await turn(house, limit)).answered == 1
    async with house.register.read() as tx:
        assert await rates.endangered(tx, house.now) == {}


async def test_its_sender_is_told_when_it_will_be_answered(house: House) -> None:
    limit = {Budget.MAILS_A_DAY: 1}
    for number in (1, 2):
        house.mailbox.deliver(a_letter(number))
    await turn(house, limit)
    house.now += HOUR
    door = house.door()
    await late.acknowledge(door)
    await composing.compose(door)
    await delivery.deliver(door)
    key, certificates = mairie().decryption_key, [shared_pki().service_ec.der]
    told = [open_answer(mail.raw, [key], certificates, house.now) for mail in house.mailer.accepted]
    (receipt,) = [one for one in told if "accuse-technique-2.xml" in one.files]
    assert "03/03/2026 à 16:03:00 (heure de Paris)" in receipt.text, "its turn is a day later, and so is what is said"


async def test_other_rates_hold_at_once_also_for_what_waits(house: House) -> None:
    for number in range(1, 5):
        house.mailbox.deliver(a_letter(number))
    limit = {Budget.MAILS_A_DAY: 1}
    assert (await turn(house, limit)).put_off == 3
    await own_rates(house, {Budget.MAILS_A_DAY: 2})
    assert (await turn(house, limit)).answered == 2
    assert await answered(house) == [1, 2, 3]
    await own_rates(house, {})
    assert (await turn(house, limit)).answered == 1, "as the settings say again, and nothing of it is used"
    (entry, _) = await rows(house.register, "SELECT detail FROM journal WHERE kind = 'rates-changed' ORDER BY id")
    assert "mails_a_day" in entry.detail


async def test_who_is_suspended_meanwhile_has_no_turn(house: House) -> None:
    for number in (1, 2):
        house.mailbox.deliver(a_letter(number))
    await turn(house, {Budget.MAILS_AN_HOUR: 1})
    change = directory.Change(by="anna", why="stolen key", at=house.now)
    async with house.register.begin() as tx:
        await directory.set_sender_standing(tx, MAIRIE, Standing.SUSPENDED, change)
    house.now += HOUR
    assert (await turn(house, {Budget.MAILS_AN_HOUR: 1})).set_aside == 1
    assert await answered(house) == [1]


async def test_what_was_not_decided_is_not_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.mailbox.deliver(a_letter(1))

    async def away(*_: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(registrar, "submit", away)
        with pytest.raises(Unavailable):
            await turn(house, {Budget.MAILS_AN_HOUR: 1})
    assert (await turn(house, {Budget.MAILS_AN_HOUR: 1})).answered == 1


async def test_several_workers_count_together(register: Register) -> None:
    house = House(register)
    await house.enrol()
    for number in range(1, 13):
        house.mailbox.deliver(a_letter(number))
    pace = replace(PACE, rates=AMPLE | {Budget.MAILS_AN_HOUR: 5}, chunk=3)
    doors = [house.door(name, pace) for name in ("one", "two", "three")]
    await worker.receive(doors[0])

    async def work(number: int) -> Progress:
        done = progress = await worker.process(doors[number])
        while progress:
            progress = await worker.process(doors[number])
            done += progress
        return done

    done = await asyncio.gather(*(work(number) for number in range(3)))
    assert sum(one.answered for one in done) == 5
    assert sum(one.put_off for one in done) == 7
    turns = [row.turn_at for row in await rows(register, "SELECT turn_at FROM intake WHERE turn_at IS NOT NULL")]
    assert len(set(turns)) == 7, "no two have one turn"
