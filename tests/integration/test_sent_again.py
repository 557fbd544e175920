"""An answer that an operator sends once more: the same octets, told from the copies of before, and no breach."""

from datetime import timedelta

import pytest

from mailflow.mail import composing, delivery, worker
from mailflow.mail.kinds import ANSWER
from mailflow.ops.reading import read_outlook
from mailflow.register import Register, backlog, cases, directory, queues, retention
from mailflow.register.acts import Left, Verb
from mailflow.register.cases import Filter, Item
from tests.support.doors import PACE, House
from tests.support.fake_mailer import Fate
from tests.support.judging import MAIRIE, RECEIVED_AT, a_mail, dem_part, mairie
from tests.support.operating import ids, operate

LONG = timedelta(days=2)


@pytest.fixture
async def house(register: Register) -> House:
    """One mail that was answered, and whose answer has left."""
    house = House(register)
    await house.enrol()
    house.mailbox.deliver(a_mail(dem_part(1)))
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    assert len(house.mailer.accepted) == 1
    house.now += LONG
    return house


async def the_answer(house: House) -> Item:
    async with house.register.read() as tx:
        (item,) = await cases.find(tx, Filter(kinds=[ANSWER]))
    return item


async def resend(house: House) -> list[int]:
    return ids(await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER]))


async def test_the_same_octets_go_again_and_the_time_to_answer_stays(house: House) -> None:
    before = await the_answer(house)
    assert await resend(house) == [before.id]
    assert await resend(house) == [], "it is on its way"
    async with house.register.read() as tx:
        view = await read_outlook(tx, ANSWER, house.now, deadline=PACE.deadline, percents=[50])
        assert [row.state for row in await queues.unanswered(tx, 9)] == ["composed"]
    assert view.waiting == 0, "nobody waits for it"
    await delivery.deliver(house.door())
    first, second = house.mailer.accepted
    assert (second.raw, second.recipient, second.envelope_id) == (first.raw, first.recipient, first.envelope_id)
    after = await the_answer(house)
    assert (after.state, after.sent_at, after.sends) == ("sent", before.sent_at, 2)
    async with house.register.read() as tx:
        (told,) = await backlog.answered(tx, ANSWER, RECEIVED_AT, house.now + LONG)
    assert told.sent_at == before.sent_at


async def doubtful(house: House, fate: Fate) -> None:
    """It is sent again, and its end is not seen."""
    await resend(house)
    house.mailer.fates = [fate]
    await delivery.deliver(house.door())
    house.now += PACE.lease
    await delivery.settle_doubtful(house.door())


async def test_the_first_copy_is_not_taken_for_the_second(house: House) -> None:
    await doubtful(house, Fate.LOSE_MAIL)
    assert (await the_answer(house)).state == "sending"
    weighed = await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER])
    assert [why for _, why in weighed.left] == [Left.PERHAPS_SENT]
    await house.miss()
    await delivery.settle_doubtful(house.door())
    assert (await the_answer(house)).state == "composed"
    await delivery.deliver(house.door())
    assert len(house.mailer.accepted) == 2
    assert (await the_answer(house)).state == "sent"


async def test_a_second_copy_shows_that_it_went(house: House) -> None:
    await doubtful(house, Fate.LOSE_REPLY)
    assert (await the_answer(house)).state == "sent"
    assert len(house.mailer.accepted) == 2


@pytest.mark.parametrize("verb", [Verb.RELEASE, Verb.RESEND])
async def test_what_came_back_is_owed_until_it_is_sent_again(house: House, verb: Verb) -> None:
    async with house.register.begin() as tx:
        names = {"envelope_id": house.mailer.accepted[0].envelope_id, "message_id": "", "verp": ""}
        await queues.record_bounce(tx, **names, intake_id=1, at=house.now)
    assert (await the_answer(house)).state == "held"
    async with house.register.read() as tx:
        view = await read_outlook(tx, ANSWER, house.now, deadline=PACE.deadline, percents=[50])
    assert (view.waiting, view.late) == (1, 1)
    weighed = await operate(house.register, verb, house.now, kinds=[ANSWER])
    assert len(weighed.done) == 1
    await delivery.deliver(house.door())
    assert len({outgoing.raw for outgoing in house.mailer.accepted}) == 1
    assert (await the_answer(house)).state == "sent"


async def test_an_answer_goes_to_the_address_that_its_sender_has_now(house: House) -> None:
    change = directory.Change(by="me", why="it came back", at=house.now)
    async with house.register.begin() as tx:
        await directory.set_answer_address(tx, mairie().enrolment().code, "neuf@mairie.example", change)
    await resend(house)
    await delivery.deliver(house.door())
    first, second = house.mailer.accepted
    assert (first.recipient, second.recipient) == (MAIRIE, "neuf@mairie.example")
    assert second.raw == first.raw


async def test_what_is_held_on_its_second_way_goes_on_when_it_is_released(house: House) -> None:
    await resend(house)
    await operate(house.register, Verb.HOLD, house.now, kinds=[ANSWER])
    await operate(house.register, Verb.RELEASE, house.now, kinds=[ANSWER])
    house.mailer.fates = [Fate.LOSE_MAIL]
    await delivery.deliver(house.door())
    house.now += PACE.lease
    await delivery.settle_doubtful(house.door())
    assert (await the_answer(house)).state == "sending", "the first copy is not taken for the second"


async def test_a_second_way_that_the_server_refuses_is_held_and_goes_on_likewise(house: House) -> None:
    await resend(house)
    house.mailer.fates = [Fate.REFUSE_DATA]
    await delivery.deliver(house.door())
    held = await the_answer(house)
    assert (held.state, held.sends) == ("held", 1)
    await operate(house.register, Verb.RELEASE, house.now, kinds=[ANSWER])
    await delivery.deliver(house.door())
    assert ((await the_answer(house)).state, len(house.mailer.accepted)) == ("sent", 2)


async def test_what_is_not_kept_any_more_cannot_be_sent_again(house: House) -> None:
    async with house.register.begin() as tx:
        assert await retention.erase_these(tx, [1], house.now) == 1
    weighed = await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER])
    assert [why for _, why in weighed.left] == [Left.ERASED]
