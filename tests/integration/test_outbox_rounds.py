"""Outgoing mails go round their recipients too: a flood of answers to one keeps nobody else's answer waiting."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mailflow.mail import composing, delivery, worker
from mailflow.register import Register, Transaction, outbox, rounds
from mailflow.register.acts import Verb
from tests.support.doors import PACE, House
from tests.support.fake_mailer import Fate
from tests.support.judging import CONSEIL, MAIRIE, RECEIVED_AT, conseil, dem_part, mailed, mairie, signed
from tests.support.operating import operate
from tests.support.records import LATER, NOW, ROOMY, a_draft, arrival, octets, rows, take_in

ROUND = 3
FLOOD = 20
HOUR = timedelta(hours=1)


KeepBack = Callable[[Transaction, int], Awaitable[object]]


class Outbox:
    """Orders, composes and sends, a chunk at a time; mails are told by their recipients."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.ordered = 0

    async def order(self, *recipients: str, at: datetime = NOW, intakes: Sequence[int | None] = ()) -> None:
        """One mail to each, in this order; of no mail, or in answer to these."""
        drafts = []
        for recipient, intake in zip(recipients, intakes or [None] * len(recipients), strict=True):
            self.ordered += 1
            drafts.append(replace(a_draft(intake, key=str(self.ordered)), recipient=recipient))
        async with self.register.begin() as tx:
            await outbox.queue(tx, drafts, at)

    async def compose(self, limit: int = 50, *, at: datetime = NOW, urgent_before: datetime | None = None) -> list[str]:
        async with self.register.begin() as tx:
            found = await outbox.claim_queued(tx, "me", limit, at, at + HOUR, urgent_before=urgent_before)
            await outbox.freeze(tx, {one.id: [octets(b"octets")] for one in found})
        return [one.recipient for one in found]

    async def claim(
        self, limit: int = 50, *, at: datetime = NOW, urgent_before: datetime | None = None
    ) -> list[outbox.Composed]:
        async with self.register.begin() as tx:
            return await outbox.claim_composed(
                tx, "me", limit, at, at + HOUR, size_bytes_max=ROOMY, urgent_before=urgent_before
            )

    async def send(self, limit: int = 50, *, at: datetime = NOW, urgent_before: datetime | None = None) -> list[str]:
        found = await self.claim(limit, at=at, urgent_before=urgent_before)
        async with self.register.begin() as tx:
            await outbox.mark_sending(tx, "me", [one.id for one in found], at)
            await outbox.mark_sent(tx, [one.id for one in found], at)
        return [one.recipient for one in found]

    async def put_off(self, limit: int, until: datetime, *, at: datetime = NOW) -> list[str]:
        """The server would not have them now."""
        found = await self.claim(limit, at=at)
        async with self.register.begin() as tx:
            await outbox.defer(tx, "me", [one.id for one in found], until, "later")
        return [one.recipient for one in found]

    async def keep_back_a_letter_in_parts(self, keep_back: KeepBack) -> None:
        """A backlog of one line is worked off, but for its last letter, whose first part is kept back."""
        await self.order(*["in parts"] * 6 * ROUND)
        async with self.register.begin() as tx:
            *_, last = found = await outbox.claim_queued(tx, "me", 50, NOW, LATER)
            parts = [octets(b"one"), octets(b"two", message_id="<2@service.test>")]
            await outbox.freeze(tx, {one.id: parts[: 2 if one is last else 1] for one in found})
        others = [one.id for one in await self.claim() if one.id != last.id]
        async with self.register.begin() as tx:
            await outbox.mark_sent(tx, others, NOW)
            await keep_back(tx, last.id)


@pytest.fixture
def out(register: Register, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """An outbox with short rounds."""
    monkeypatch.setattr(rounds, "MAILS_A_ROUND", ROUND)
    return Outbox(register)


async def test_an_answer_is_composed_and_sent_within_one_round_of_a_flood(out: Outbox) -> None:
    await take_in(out.register, FLOOD + 1)  # the last of which came last
    await out.order(*["flood"] * FLOOD, intakes=range(1, FLOOD + 1))
    await out.order("lone", intakes=[FLOOD + 1])
    assert sorted(await out.compose(ROUND + 1)) == ["flood"] * ROUND + ["lone"]
    while await out.compose():
        pass
    assert sorted(await out.send(ROUND + 1)) == ["flood"] * ROUND + ["lone"]


async def test_what_comes_while_a_flood_is_sent_comes_into_the_round_that_is_worked_on(out: Outbox) -> None:
    await out.order(*["flood"] * FLOOD)
    while await out.compose():
        pass
    assert await out.send(4 * ROUND) == ["flood"] * 4 * ROUND
    await out.order("lone", *["other"] * 2 * ROUND, "flood")
    assert sorted(await out.compose(ROUND + 1)) == ["lone", *["other"] * ROUND]
    assert sorted(await out.send(2 * ROUND + 1)) == ["flood"] * ROUND + ["lone"] + ["other"] * ROUND


async def test_notices_of_one_night_keep_no_answer_waiting(out: Outbox) -> None:
    """Dispatches are ordered all at once, for each desk as many as it takes; the mail is received after that."""
    await out.order(*["flood"] * FLOOD, *["other"] * 2, at=NOW - 2 * HOUR)
    await take_in(out.register, 1)
    await out.order("lone", intakes=[1])
    assert sorted(await out.compose(ROUND + 3)) == ["flood"] * ROUND + ["lone"] + ["other"] * 2


async def test_whose_time_runs_out_goes_before_all_others_the_oldest_first(out: Outbox) -> None:
    await take_in(out.register, FLOOD + 1)
    await out.order("lone", intakes=[FLOOD + 1])
    await out.order(*["flood"] * FLOOD, intakes=range(1, FLOOD + 1))
    before = arrival(FLOOD, minutes_ago=1000 - FLOOD).received_at
    assert await out.compose(FLOOD, urgent_before=before) == ["flood"] * FLOOD
    assert await out.compose() == ["lone"]
    assert await out.send(FLOOD, urgent_before=before) == ["flood"] * FLOOD
    assert await out.send() == ["lone"]


async def test_what_was_put_off_comes_in_anew_when_it_is_due_again(out: Outbox) -> None:
    await out.order(*["flood"] * FLOOD)
    await out.compose()
    assert len(await out.put_off(FLOOD, LATER)) == FLOOD
    await out.order(*["other"] * FLOOD)
    await out.compose()
    assert await out.send(4 * ROUND) == ["other"] * 4 * ROUND
    await out.order("lone")
    assert await out.compose() == ["lone"]
    assert sorted(await out.send(2 * ROUND + 1, at=LATER)) == ["flood"] * ROUND + ["lone"] + ["other"] * ROUND
    assert sorted(await out.send(2 * ROUND, at=LATER)) == ["flood"] * ROUND + ["other"] * ROUND


async def test_of_very_many_that_come_due_again_some_get_places_at_a_time(
    out: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PLACES_AT_ONCE", 4)
    await out.order(*["flood"] * 10)
    await out.compose()
    await out.put_off(10, LATER)
    sent = [await out.send(3, at=LATER) for _ in range(4)]
    assert sent == [["flood"] * 3] * 3 + [["flood"]]


async def test_a_part_of_an_answer_stands_where_the_answer_does(out: Outbox) -> None:
    await out.order(*["flood"] * 2 * ROUND)
    async with out.register.begin() as tx:
        found = await outbox.claim_queued(tx, "me", 50, NOW, LATER)
        parts = [octets(b"one"), octets(b"two", message_id="<2@service.test>")]
        await outbox.freeze(tx, {found[-1].id: parts})
    told = await rows(out.register, "SELECT part, round FROM outbox WHERE state = 'composed' ORDER BY part")
    assert [tuple(row) for row in told] == [(1, 1), (2, 1)]


async def put_off(tx: Transaction, first: int) -> None:
    await outbox.defer(tx, "me", [first], LATER, "450")


async def hold(tx: Transaction, first: int) -> None:
    await outbox.hold(tx, "me", [first], "refused: 552", NOW)


kept_back = pytest.mark.parametrize("keep_back", [put_off, hold])


@kept_back
async def test_a_part_whose_turn_has_not_come_keeps_no_other_mail_of_its_line_waiting(
    out: Outbox, keep_back: KeepBack
) -> None:
    """It has the place that it was given in a backlog that is no more, and would have all later ones come after it."""
    await out.keep_back_a_letter_in_parts(keep_back)
    await out.order(*["other"] * FLOOD, "in parts")
    assert sorted(await out.compose(ROUND + 1)) == ["in parts"] + ["other"] * ROUND
    while await out.compose():
        pass
    assert sorted(await out.send(ROUND + 1)) == ["in parts"] + ["other"] * ROUND


@kept_back
async def test_a_part_comes_in_anew_with_the_one_that_it_is_behind(out: Outbox, keep_back: KeepBack) -> None:
    await out.keep_back_a_letter_in_parts(keep_back)
    await out.order(*["other"] * FLOOD)
    while await out.compose():
        pass
    await operate(out.register, Verb.RELEASE, states=["held"])
    for _part in range(2):
        assert sorted(await out.send(ROUND + 1, at=LATER)) == ["in parts"] + ["other"] * ROUND


async def test_a_part_keeps_its_place_when_one_that_has_left_before_it_goes_once_more(out: Outbox) -> None:
    async def leave(tx: Transaction, first: int) -> None:
        await outbox.mark_sent(tx, [first], NOW)

    await out.keep_back_a_letter_in_parts(leave)
    await out.order(*["other"] * FLOOD)
    place = "SELECT round FROM outbox WHERE part = 2"
    before = await rows(out.register, place)
    await operate(out.register, Verb.RESEND, states=["sent"])
    assert await out.claim(ROUND)
    assert await rows(out.register, place) == before == [(5,)]


URGENT = PACE.deadline / 2 + HOUR


@pytest.mark.parametrize(
    ("waited", "first"),
    [(HOUR, [CONSEIL, *[MAIRIE] * ROUND]), (URGENT, [MAIRIE] * (ROUND + 1))],
    ids=["fair", "urgent"],
)
async def test_the_door_serves_each_desk_in_its_round_until_time_runs_out(
    register: Register, monkeypatch: pytest.MonkeyPatch, waited: timedelta, first: list[str]
) -> None:
    monkeypatch.setattr(rounds, "MAILS_A_ROUND", ROUND)
    house = House(register)
    await house.enrol()
    await house.enrol(conseil())
    for number in range(1, 9):
        by = conseil() if number == 8 else mairie()
        letter = signed(dem_part(number, surname="Nom" + chr(96 + number)), by)
        house.mailbox.deliver(mailed(letter, by.address))
    door = house.door(pace=replace(PACE, chunk=ROUND + 1))
    await worker.receive(door)
    await worker.process(house.door())  # all at once: what is decided earlier is no matter here
    house.now = RECEIVED_AT + waited
    claimed: list[list[str]] = []
    claim = outbox.claim_queued

    async def noted(tx: Transaction, *details: object, **more: object) -> list[outbox.Queued]:
        found = await claim(tx, *details, **more)  # type: ignore[arg-type]  # handed through
        claimed.append(sorted(one.recipient for one in found))
        return found

    monkeypatch.setattr(outbox, "claim_queued", noted)
    while await composing.compose(door):
        pass
    assert claimed[0] == first
    house.mailer.fates = [Fate.DEFER_AT_ONCE] * (ROUND + 1)
    await delivery.deliver(door)
    tried = await rows(register, "SELECT recipient FROM outbox WHERE attempts > 0")
    assert sorted(row.recipient for row in tried) == first
