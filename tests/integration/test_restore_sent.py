"""What was sent or refused in a time that the register lost is not sent, or decided otherwise, once it is restored."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.ledger.differences import Kind
from mailflow.mail import composing, delivery, hindsight, late, rejecting, worker
from mailflow.mail.hindsight import Hindsight, survey
from mailflow.mail.ports import Folder
from mailflow.mail.rejecting import Refusal
from mailflow.register import issuing
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.issuing import SERVICE
from mailflow.register.journal import Act
from tests.support.fake_mailer import Fate
from tests.support.operating import ACT, operate
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, restored, resume, stopped
from tests.support.sheets import mend, read_sheet


async def _decided(loser: Loser, letter: bytes) -> None:
    """Its answer is composed, and was not sent."""
    loser.house.mailbox.deliver(letter)
    door = loser.door()
    await worker.receive(door)
    await worker.process(door)
    assert (await composing.compose(door)).composed == 1


async def _states(loser: Loser) -> list[str]:
    return [row.state for row in await rows(loser.house.register, "SELECT state FROM outbox ORDER BY id")]


@pytest.mark.parametrize("work_first", [True, False])
async def test_nothing_leaves_a_register_that_is_behind_until_it_knows_what_had_left(
    loser: Loser, *, work_first: bool
) -> None:
    house = loser.house
    await _decided(loser, a_letter(1))
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(2))
    assert (await loser.work()).sent == 2
    await house.register.close()
    loser.use(backup)
    if work_first:
        await loser.work()
        assert (await stopped(loser), len(house.mailer.accepted)) == (SERVICE, 2)
    loss, done = await restored(loser)
    assert (len(loss.unsent), done.sent) == ((0, 0) if work_first else (1, 1)), "a worker has recorded it already"
    assert await _states(loser) == ["sent"]
    await resume(loser)
    assert (await loser.work()).sent == 1, "the answer to what was taken in again, as of old"


async def test_what_was_held_and_left_in_the_lost_time_is_not_released_again(loser: Loser) -> None:
    house = loser.house
    house.mailer.fates = [Fate.REFUSE_RECIPIENT]
    house.mailbox.deliver(a_letter(1))
    assert (await loser.work()).held == 1
    backup = await loser.back_up()
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    house.mailbox.deliver(a_letter(2))
    assert (await loser.work()).sent == 2
    await house.register.close()
    loser.use(backup)
    assert (await restored(loser))[1].sent == 1
    released = await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    assert not released.done


@pytest.mark.parametrize("many", [False, True])
async def test_where_nothing_else_was_lost_it_is_recorded_before_anything_leaves(
    loser: Loser, monkeypatch: pytest.MonkeyPatch, *, many: bool
) -> None:
    """And the register is not behind. Of many that left so the looks go on."""
    house = loser.house
    for sequence in (1, 2, 3):
        await _decided(loser, a_letter(sequence))
    backup = await loser.back_up()
    assert (await loser.work()).sent == 3
    await house.register.close()
    loser.use(backup)
    if many:
        monkeypatch.setattr(hindsight, "NEWEST", 1)
        monkeypatch.setattr(hindsight, "LOOKED_AT", 1)
    assert not (await loser.work()).sent
    assert (await _states(loser), await stopped(loser)) == (["sent"] * 3, "")


@pytest.mark.parametrize("held", [False, True])
async def test_where_nothing_else_was_lost_the_reconciliation_tells_it(loser: Loser, *, held: bool) -> None:
    house = loser.house
    await _decided(loser, a_letter(1))
    if held:
        await operate(house.register, Verb.HOLD, house.now, states=["composed"])
    backup = await loser.back_up()
    if held:
        await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    sheet = await read_sheet(loser)
    assert {kind: number for kind, number in sheet.found.items() if number} == {Kind.UNRECORDED: 1}
    assert (await mend(loser, sheet, {Kind.UNRECORDED}))[Kind.UNRECORDED] == 1
    assert await _states(loser) == ["sent"]


async def test_as_often_as_it_left_and_since_when_it_has_is_recorded(loser: Loser) -> None:
    """A further copy is the proof that it left once more."""
    house = loser.house
    await _decided(loser, a_letter(1))
    backup = await loser.back_up()
    assert (await loser.work()).sent == 1
    await operate(house.register, Verb.RESEND, house.now, states=["sent"])
    assert (await loser.work()).sent == 1
    left_at = house.mailbox.clock()
    await house.register.close()
    loser.use(backup)
    await loser.work()
    ((sends, sent_at),) = await rows(house.register, "SELECT sends, sent_at FROM outbox")
    assert (sends, datetime.fromisoformat(str(sent_at)).replace(tzinfo=UTC)) == (2, left_at)
    entries = await rows(house.register, "SELECT detail FROM journal WHERE kind = 'had-left'")
    assert len(entries) == 1


async def test_what_comes_between_the_restore_and_the_resume_is_recorded_too(loser: Loser) -> None:
    house = loser.house
    await _decided(loser, a_letter(1))
    backup = await loser.back_up()
    assert (await loser.work()).sent == 1
    copy = house.mailer.mailboxes["audit"].pop()
    house.mailbox.deliver(a_letter(2))
    await loser.work()
    await house.register.close()
    loser.use(backup)
    door = loser.door()
    await loser.work(door)
    await restored(loser)
    house.mailer.mailboxes["audit"].append(copy)
    await hindsight.require_up_to_date(house.register, *loser.trails, house.now)  # as `mailflow resume`
    await resume(loser)
    assert (await loser.work(door)).sent == 1, "the answer to what was taken in again, as of old"


async def test_the_answer_of_a_lost_decision_is_none_to_what_was_decided_anew(loser: Loser) -> None:
    """It bears the same Message-ID: the true one still leaves, and the register is behind."""
    house = loser.house
    for sequence in (1, 2):
        house.mailbox.deliver(a_letter(sequence))
    await worker.receive(loser.door())
    backup = await loser.back_up()
    await operate(house.register, Verb.HOLD, house.now, intakes=[1])
    assert (await loser.work()).sent == 1
    copy = house.mailer.mailboxes["audit"].pop()
    await house.register.close()
    loser.use(backup)
    house.now += timedelta(seconds=1)
    house.mailer.fates = [Fate.DEFER_RECIPIENT] * 2
    assert (await loser.work()).registered == 2
    house.mailer.mailboxes["audit"].append(copy)
    house.now += timedelta(hours=1)
    await loser.work()
    assert (await stopped(loser), await _states(loser)) == (SERVICE, ["composed"] * 2)
    await restored(loser)
    await resume(loser)
    assert (await loser.work()).sent == 2


async def test_what_was_held_and_never_left_is_not_taken_for_sent(loser: Loser) -> None:
    house = loser.house
    house.mailer.fates = [Fate.REFUSE_RECIPIENT]
    house.mailbox.deliver(a_letter(1))
    await loser.work()
    assert not (await read_sheet(loser)).found[Kind.UNRECORDED]
    assert not (await survey(house.register, *loser.trails)).unsent


@pytest.mark.parametrize("why", [Unavailable("imap: away"), Misconfigured("imap: login refused")])
async def test_while_the_mailboxes_are_away_answers_leave_unless_the_register_was_found_behind(
    loser: Loser, why: MailflowError
) -> None:
    house = loser.house
    await _decided(loser, a_letter(1))
    await _decided(loser, a_letter(2))

    looks: list[str] = []

    def away() -> tuple[Folder, Folder]:
        looks.append("")
        raise why

    door = replace(house.door(), hindsight=Hindsight(away))
    await issuing.stop(house.register, Act(by=SERVICE, why="behind"), house.now)
    assert not await delivery.deliver(door)
    await resume(loser)
    house.now += timedelta(minutes=1)
    assert (await delivery.deliver(door)).sent == 2
    assert len(looks) == 1, "one that failed a moment ago is not tried again for that"


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("taken_in_before", [False, True])
async def test_what_an_operator_refused_in_the_lost_time_waits_for_one(
    loser: Loser, *, taken_in_before: bool, named: bool
) -> None:
    """Its sender was told that it is refused, once and for good. Its Message-ID may tell nothing."""
    house = loser.house
    backup = await loser.back_up()
    letter = a_letter(1) if named else a_letter(1).replace(b"Message-ID:", b"X-Former-ID:")
    house.mailbox.deliver(letter)
    await worker.receive(loser.door())
    if taken_in_before:
        backup = await loser.back_up()
    refusal = Refusal(act=ACT, note="Envoi d'essai.")
    assert len((await rejecting.reject(house.door("operator"), Filter(kinds=[MAIL]), refusal)).told) == 1
    house.mailbox.deliver(a_letter(2))
    assert (await loser.work()).sent == 2
    await house.register.close()
    loser.use(backup)
    _, done = await restored(loser)
    assert (done.taken_in, done.held) == (1 if taken_in_before else 2, 1)
    await resume(loser)
    assert (await loser.work()).registered == 1
    assert [row.state for row in await rows(house.register, "SELECT state FROM intake ORDER BY id")] == [
        "held",
        "answered",
    ]
    house.now += timedelta(hours=2)
    assert not (await late.acknowledge(loser.door())).late, "who was refused for good is promised no answer"
