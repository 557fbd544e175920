"""Doubtful sends are settled one by one: what befalls one of them is nothing to the others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import audit, composing, delivery, worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.kinds import ANSWER
from mailflow.register import clocks, outbox
from mailflow.register.acts import Verb
from tests.support.doors import PACE, AuditCopies, House
from tests.support.fake_mailer import Fate
from tests.support.judging import a_mail, dem_part
from tests.support.operating import operate
from tests.support.records import execute, rows

TICK = timedelta(seconds=30)
"""From one turn to the next."""


@dataclass(slots=True)
class Spoilt(AuditCopies):
    """A mailbox where mails of one Message-ID cannot be read, or that is away."""

    message_id: str
    away: bool = False

    async def find(self, message_id: str) -> Sequence[bytes]:
        if self.away or message_id == self.message_id:
            raise Unavailable("imap: FETCH NO")
        return await AuditCopies.find(self, message_id)


async def decided(door: MailDoor) -> Progress:
    """What one turn comes to, but for looks in vain."""
    return replace(await delivery.settle_doubtful(door), looked_for=0)


async def states(house: House) -> list[str]:
    return [row.state for row in await rows(house.register, "SELECT state FROM outbox ORDER BY id")]


@pytest.fixture
async def door(house: House) -> MailDoor:
    """Three answers were taken, and nobody heard that they were; the first of them is the spoilt one."""
    for number in range(3):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number))))
    house.mailer.fates = [Fate.LOSE_REPLY] * 3
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    assert await states(house) == ["sending"] * 3
    house.now += PACE.lease
    (first,) = await rows(house.register, "SELECT message_id FROM outbox ORDER BY id LIMIT 1")
    return replace(door, copies=Spoilt(house.mailer, first.message_id))


async def test_one_that_cannot_be_looked_for_keeps_no_other_one_waiting(
    house: House, door: MailDoor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert await decided(door) == Progress(sent=2)
    assert await states(house) == ["sending", "sent", "sent"]
    assert [record.getMessage() for record in caplog.records] == ["not-looked-for"]
    house.now += PACE.deadline
    assert await decided(door) == Progress(), "nor is it sent again unseen"
    assert await decided(house.door()) == Progress(sent=1)
    assert len(house.mailer.accepted) == 3


@dataclass(slots=True)
class Meanwhile(AuditCopies):
    """A mailbox so slow to answer that another worker decides about the same mail, and is cut off as it sends it."""

    house: House

    async def find(self, message_id: str) -> Sequence[bytes]:
        found = await AuditCopies.find(self, message_id)
        other = self.house.door("other")
        await decided(other)
        self.house.mailer.fates = [Fate.LOSE_REPLY]
        await delivery.deliver(other)
        self.house.now += PACE.lease
        return found


async def test_a_look_at_one_send_decides_no_later_one(house: House) -> None:
    """Nothing was found of the first; of the second, which another worker made, nobody has looked yet."""
    house.mailbox.deliver(a_mail(dem_part(0)))
    house.mailer.fates = [Fate.LOSE_MAIL]
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    house.now += PACE.lease
    await house.miss()
    await decided(replace(door, copies=Meanwhile(house.mailer, house)))
    assert await states(house) == ["sending"], "the second one is in doubt"
    house.now += PACE.defer_most
    assert await delivery.deliver(door) == Progress()
    assert await decided(door) == Progress(sent=1)
    assert len(house.mailer.accepted) == 1


# How long one waits for a copy that is not there


@pytest.mark.parametrize("gone_by", [PACE.audit_wait, timedelta(hours=10), timedelta(days=3)])
@pytest.mark.parametrize("was_away", [True, False])
@pytest.mark.parametrize("missed_before", [True, False])
async def test_time_in_which_no_copy_could_come_is_none(
    house: House, door: MailDoor, gone_by: timedelta, was_away: bool, missed_before: bool
) -> None:
    """A mail host that was down delivers what it took a little after it is up; nor has a copy had the time by which a
    clock was put ahead. The answers left: each once, and so it stays."""
    assert isinstance(door.copies, Spoilt)
    late, house.mailer.mailboxes["audit"] = house.mailer.mailboxes["audit"], []
    if missed_before:
        assert await decided(house.door()) == Progress()
    house.now += gone_by
    if was_away:
        door.copies.away = True
        with pytest.raises(Unavailable):
            await decided(door)
    for _ in range(2):
        assert await decided(house.door()) == Progress()
        house.now += TICK
    house.mailer.mailboxes["audit"] = late
    assert await decided(house.door()) == Progress(sent=3)
    assert len(house.mailer.accepted) == 3


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(days=3)])
async def test_hosts_whose_clocks_differ_give_up_no_copy_too_early(
    house: House, door: MailDoor, ahead: timedelta
) -> None:
    """By a little, and its time is shorter by that; by days, and nobody can tell, so it waits."""
    house.mailer.mailboxes["audit"] = []
    right, looks = house.now, int(PACE.audit_wait / TICK)
    given_up, shorter = (3, ahead) if ahead < clocks.APART_MAX else (0, timedelta(0))
    for look in range(int((PACE.audit_wait - shorter) / TICK)):
        for owner, host in (("me", timedelta(0)), ("other", ahead)):
            house.now = right + look * TICK + host
            assert await decided(house.door(owner)) == Progress(), look
    house.now = right + looks * TICK + ahead
    assert await decided(house.door()) == Progress(deferred=given_up)


async def test_one_missed_by_a_clock_that_was_ahead_is_missed_anew(house: House, door: MailDoor) -> None:
    """Else it would wait until that time has come."""
    house.mailer.mailboxes["audit"] = []
    right = house.now
    for house.now in (right + timedelta(days=3), right):
        assert await decided(house.door()) == Progress()
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)


async def test_a_later_send_of_the_same_octets_is_missed_for_itself(house: House, door: MailDoor) -> None:
    house.mailer.mailboxes["audit"] = []
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)
    house.mailer.fates = [Fate.LOSE_MAIL] * 3
    assert await delivery.deliver(house.door()) == Progress(doubtful=3)
    house.now += PACE.lease
    assert await decided(house.door()) == Progress()
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)


@pytest.mark.parametrize("why", ["the server would not have them", "nobody sent them"])
async def test_what_was_not_found_is_looked_for_anew_before_it_goes_later(
    house: House, door: MailDoor, why: str
) -> None:
    """The mail server was down with the mails in its queue, and delivers them when it is back."""
    late, house.mailer.mailboxes["audit"] = house.mailer.mailboxes["audit"], []
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)
    if why == "nobody sent them":
        house.now += PACE.audit_wait / audit.GAPS_MIN
    else:
        house.mailer.fates = [Fate.DEFER_AT_ONCE] * 3
        assert await delivery.deliver(house.door()) == Progress(deferred=3)
        house.now += PACE.defer_most
    assert await delivery.deliver(house.door()) == Progress()
    assert await states(house) == ["sending"] * 3
    assert await decided(house.door()) == Progress()
    house.mailer.mailboxes["audit"] = late
    assert await decided(house.door()) == Progress(sent=3)
    assert len(house.mailer.accepted) == 3


async def test_when_time_is_short_too_one_look_anew_is_not_enough(house: House, door: MailDoor) -> None:
    """The server is just up again, with the mails in its queue."""
    late, house.mailer.mailboxes["audit"] = house.mailer.mailboxes["audit"], []
    await house.miss()
    await decided(house.door())
    house.now += PACE.deadline
    assert await delivery.deliver(house.door()) == Progress()
    for _ in range(2):
        assert await decided(house.door()) == Progress()
        house.now += TICK
    kept = house.mailer.mailboxes["audit"] = late[1:]
    assert await decided(house.door()) == Progress(sent=len(kept))
    house.now += PACE.audit_wait / audit.GAPS_MIN
    assert await decided(house.door()) == Progress(deferred=1)
    assert await delivery.deliver(house.door()) == Progress(sent=1)


async def test_what_a_restored_register_did_not_know_to_have_left_is_looked_for_as_well(
    house: House, door: MailDoor
) -> None:
    """Its copy was found, and an operator has it sent once more: that send is cut off, and cannot go at once."""
    await execute(
        house.register, "UPDATE outbox SET state = 'composed', sends = 0, next_at = dated_at, sending_at = NULL"
    )
    async with house.register.begin() as tx:
        await outbox.mark_sent(tx, [1, 2, 3], house.now)
    await operate(house.register, Verb.RESEND, house.now, kinds=[ANSWER])
    house.mailer.fates = [Fate.LOSE_MAIL] * 3
    assert await delivery.deliver(house.door()) == Progress(doubtful=3)
    house.now += PACE.lease
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)
    house.now += PACE.audit_wait
    assert await delivery.deliver(house.door()) == Progress()
    assert await states(house) == ["sending"] * 3


async def test_a_mailbox_that_is_away_is_said(house: House, door: MailDoor) -> None:
    assert isinstance(door.copies, Spoilt)
    door.copies.away = True
    with pytest.raises(Unavailable):
        await decided(door)
    assert await states(house) == ["sending"] * 3
    door.copies.away = False
    assert await decided(door) == Progress(sent=2)


# More of them than one turn looks for


@dataclass(slots=True)
class Odd(AuditCopies):
    """A mailbox that cannot read mails of some Message-IDs, or goes away when it is asked for them, or takes its time.

    It goes away for the next question, too: that is the one whether it can be searched at all.
    """

    house: House
    unreadable: Sequence[str] = ()
    fatal: Sequence[str] = ()
    takes: timedelta = timedelta(0)
    away: bool = False

    async def find(self, message_id: str) -> Sequence[bytes]:
        self.house.now += self.takes
        was_away, self.away = self.away, message_id in self.fatal
        if was_away or self.away or message_id in self.unreadable:
            raise Unavailable("imap: FETCH NO")
        return await AuditCopies.find(self, message_id)


async def settled(house: House, door: MailDoor) -> Progress:
    """What one turn comes to, one tick after the last."""
    house.now += TICK
    try:
        return await decided(door)
    except Unavailable:
        return Progress()


async def names(house: House) -> list[str]:
    return [row.message_id for row in await rows(house.register, "SELECT message_id FROM outbox ORDER BY id")]


async def test_those_that_cannot_be_looked_for_give_the_others_their_turn(house: House, door: MailDoor) -> None:
    copies = Odd(house.mailer, house, unreadable=(await names(house))[:2])
    narrow = replace(door, copies=copies, pace=replace(PACE, chunk=2))
    assert await settled(house, narrow) == Progress()
    assert await settled(house, narrow) == Progress(sent=1)
    assert await states(house) == ["sending", "sending", "sent"]
    copies.unreadable = ()
    assert await settled(house, narrow) == Progress(sent=2), "nor are they forgotten"
    assert len(house.mailer.accepted) == 3


async def test_those_without_a_copy_give_the_others_their_turn(house: House, door: MailDoor) -> None:
    for mail in house.mailer.mailboxes["audit"][:2]:
        house.mailer.mailboxes["audit"].remove(mail)
    narrow = replace(house.door(), pace=replace(PACE, chunk=2))
    assert await settled(house, narrow) == Progress()
    assert await settled(house, narrow) == Progress(sent=1)
    assert await states(house) == ["sending", "sending", "sent"]
    await house.miss()
    assert await settled(house, narrow) == Progress(deferred=2), "their time is what it was"


async def test_all_are_looked_for_without_a_pause_until_each_was_of_late(house: House, door: MailDoor) -> None:
    """A mail server that cuts every connection leaves thousands in doubt, and each needs several looks."""
    house.mailer.mailboxes["audit"] = []
    narrow = replace(house.door(), pace=replace(PACE, chunk=2))
    for _ in range(2):
        house.now += PACE.audit_wait / 10
        for looked_for in (2, 1, 0):  # the second time one of them had its look
            house.now += TICK
            assert await delivery.settle_doubtful(narrow) == Progress(looked_for=looked_for)


async def test_one_by_a_clock_that_was_ahead_comes_first_not_last(house: House, door: MailDoor) -> None:
    await execute(house.register, "UPDATE outbox SET lease_until = :far WHERE id = 3", far=house.now + 30 * PACE.lease)
    house.mailer.mailboxes["audit"] = house.mailer.mailboxes["audit"][2:]
    assert await decided(replace(house.door(), pace=replace(PACE, chunk=1))) == Progress(sent=1)
    assert await states(house) == ["sending", "sending", "sent"]


async def test_what_was_given_up_goes_before_what_waits(
    house: House, door: MailDoor, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind what waits for the same desk it would be looked for anew, and lose its place again."""
    caplog.set_level(logging.INFO)
    for number in range(3, 6):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number))))
    for turn in (worker.receive, worker.process, composing.compose):
        await turn(house.door())
    house.mailer.mailboxes["audit"] = []
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)
    taken = len(house.mailer.accepted)
    one_by_one = replace(house.door(), pace=replace(PACE, chunk=1))
    assert (await delivery.deliver(one_by_one)).sent == delivery.CHUNKS_A_TURN
    again = {outgoing.envelope_id for outgoing in house.mailer.accepted[taken : taken + 3]}
    assert again == {outgoing.envelope_id for outgoing in house.mailer.accepted[:3]}
    assert "looked-for-anew" not in [record.getMessage() for record in caplog.records]


async def test_it_goes_before_what_is_urgent_as_well(house: House, door: MailDoor) -> None:
    """After hours without a mail server everything is."""
    house.mailer.mailboxes["audit"] = []
    await house.miss()
    assert await decided(house.door()) == Progress(deferred=3)
    await execute(house.register, "UPDATE outbox SET received_at = :old WHERE id > 1", old=house.now - PACE.deadline)
    await execute(house.register, "UPDATE outbox SET round = 0, missed_at = NULL, sends = 0 WHERE id > 1")
    assert (await delivery.deliver(replace(house.door(), pace=replace(PACE, chunk=1)))).sent
    first = house.mailer.accepted[0].envelope_id
    assert house.mailer.accepted[3].envelope_id == first


async def test_one_whose_look_ends_the_turn_gives_the_others_their_turn(house: House, door: MailDoor) -> None:
    narrow = replace(door, copies=Odd(house.mailer, house, fatal=(await names(house))[:1]))
    await settled(house, narrow)
    assert await states(house) == ["sending"] * 3
    await settled(house, narrow)
    assert await states(house) == ["sending", "sent", "sent"]


async def test_a_slow_mailbox_is_not_asked_for_longer_than_a_lease(house: House, door: MailDoor) -> None:
    slow = replace(door, copies=Odd(house.mailer, house, takes=PACE.lease / 2))
    assert await settled(house, slow) == Progress(sent=2)
    assert await settled(house, slow) == Progress(sent=1)
