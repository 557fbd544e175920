"""What a backup was taken in the middle of, or a loss: nothing of it is done twice once the register is restored."""

from pathlib import Path

import pytest

from mailflow.mail import composing, delivery, worker
from mailflow.register.acts import Left, Verb
from tests.support.doors import PACE
from tests.support.fake_mailer import Fate
from tests.support.operating import operate
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, restored, resume, stopped

REPORT = Path("tests/data/bounces/postfix_failed.eml").read_bytes()
ENVELOPE_ID = b"b13e0cff5404220122bdae9fa172ea2019d42b2d"
"""What it is about."""


async def _ordered(loser: Loser) -> None:
    """Its answer has no octets yet."""
    loser.house.mailbox.deliver(a_letter(1))
    door = loser.door()
    await worker.receive(door)
    assert (await worker.process(door)).registered == 1


async def _states(loser: Loser, table: str) -> list[str]:
    return [row.state for row in await rows(loser.house.register, f"SELECT state FROM {table} ORDER BY id")]


async def test_an_answer_that_had_no_octets_yet_and_left_since_is_composed_and_not_sent(loser: Loser) -> None:
    """Whatever hangs on its octets is kept; the register is not behind by it."""
    house = loser.house
    await _ordered(loser)
    backup = await loser.back_up()
    assert (await loser.work()).sent == 1
    left_at = house.mailbox.clock()
    await house.register.close()
    loser.use(backup)
    done = await loser.work()
    assert (done.composed, done.sent, await stopped(loser)) == (1, 0, "")
    assert await rows(house.register, "SELECT state, sends, next_at FROM outbox") == [("sent", 1, None)]
    ((digest, raw),) = await rows(house.register, "SELECT body_digest, raw FROM outbox")
    assert digest
    assert raw
    ((sent_at,),) = await rows(house.register, "SELECT sent_at FROM outbox")
    assert f"{sent_at}".startswith(f"{left_at:%Y-%m-%d %H:%M:%S}")
    assert len(house.mailer.accepted) == 1


async def test_so_it_is_where_restore_finds_it_first(loser: Loser) -> None:
    house = loser.house
    await _ordered(loser)
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(2))
    assert (await loser.work()).sent == 2
    await house.register.close()
    loser.use(backup)
    assert (await restored(loser))[1].sent == 1
    await resume(loser)
    assert (await loser.work()).sent == 1, "the answer to what was taken in again, as of old"
    assert await _states(loser, "outbox") == ["sent", "sent"]


async def test_it_is_not_sent_when_it_was_held_before_it_had_octets(loser: Loser) -> None:
    house = loser.house
    await _ordered(loser)
    await operate(house.register, Verb.HOLD, house.now, states=["queued"])
    backup = await loser.back_up()
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    assert not (await loser.work()).sent
    assert await _states(loser, "outbox") == ["held"], "an operator has its word"
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    done = await loser.work()
    assert (done.composed, done.sent, await _states(loser, "outbox")) == (1, 0, ["sent"])


def _report(loser: Loser) -> bytes:
    """That what left first did not arrive."""
    return REPORT.replace(ENVELOPE_ID, loser.house.mailer.accepted[0].envelope_id.encode())


async def _came_back(loser: Loser) -> None:
    """Of a register whose answer had no octets yet, and has left since: it came back."""
    house = loser.house
    await _ordered(loser)
    backup = await loser.back_up()
    assert (await loser.work()).sent == 1
    house.mailbox.deliver(_report(loser))
    await house.register.close()
    loser.use(backup)


async def test_one_that_had_no_octets_left_since_and_came_back_waits_for_an_operator(loser: Loser) -> None:
    house = loser.house
    await _came_back(loser)
    assert not (await loser.work()).sent
    assert await rows(house.register, "SELECT state, reason FROM outbox") == [("held", "bounced")]
    resent = await operate(house.register, Verb.RESEND, house.now, states=["held"])
    assert [why for _, why in resent.left] == [Left.HELD]
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    done = await loser.work()
    assert (done.composed, done.sent, await _states(loser, "outbox")) == (1, 1, ["sent"])
    assert [outgoing.envelope_id for outgoing in house.mailer.accepted] == [house.mailer.accepted[0].envelope_id] * 2
    assert not (await loser.work()).sent


async def test_so_it_is_where_restore_takes_the_report_in_again(loser: Loser) -> None:
    house = loser.house
    await _ordered(loser)
    backup = await loser.back_up()
    await loser.work()
    house.mailbox.deliver(_report(loser))
    await loser.work()
    assert await rows(house.register, "SELECT state, reason FROM outbox") == [("held", "bounced")]
    await house.register.close()
    loser.use(backup)
    done = (await restored(loser))[1]
    assert (done.sent, done.taken_in) == (1, 1)
    await resume(loser)
    assert not (await loser.work()).sent
    assert await rows(house.register, "SELECT state, reason FROM outbox") == [("held", "bounced")]


async def test_it_came_back_though_it_was_held_before_it_had_octets(loser: Loser) -> None:
    """What an operator held, or what could not be composed then."""
    house = loser.house
    await _came_back(loser)
    await operate(house.register, Verb.HOLD, house.now, states=["queued"])
    assert not (await loser.work()).sent
    assert await rows(house.register, "SELECT state, reason FROM outbox") == [("held", "bounced")]
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    assert (await loser.work()).sent == 1


async def test_a_second_report_does_not_stop_what_was_released(loser: Loser) -> None:
    """It is about the octets that are lost: those that are to go are on their way."""
    house = loser.house
    await _came_back(loser)
    await loser.work()
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    house.mailbox.deliver(_report(loser).replace(b"Message-Id: <", b"Message-Id: <second.", 1))
    assert (await loser.work()).sent == 1
    assert await _states(loser, "outbox") == ["sent"]
    (reports,) = (await rows(house.register, "SELECT count(*) FROM journal WHERE kind = 'bounced'"))[0]
    assert reports == 2


@pytest.mark.parametrize("fate", [Fate.LOSE_REPLY, Fate.LOSE_MAIL])
async def test_a_second_way_in_other_octets_is_told_by_its_own_copy(loser: Loser, fate: Fate) -> None:
    """The copy of the lost octets proves nothing, and does not have to be there twice."""
    house = loser.house
    await _came_back(loser)
    await loser.work()
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    house.mailer.fates = [fate]
    assert not (await loser.work()).sent
    assert await _states(loser, "outbox") == ["sending"]
    house.now += PACE.lease
    await delivery.settle_doubtful(house.door())
    assert await _states(loser, "outbox") == ["sent" if fate is Fate.LOSE_REPLY else "sending"]
    await house.miss()
    await delivery.settle_doubtful(house.door())
    await loser.work()
    assert (await _states(loser, "outbox"), len(house.mailer.accepted)) == (["sent"], 2)


async def test_one_that_had_no_octets_and_did_not_leave_is_sent(loser: Loser) -> None:
    house = loser.house
    await _ordered(loser)
    backup = await loser.back_up()
    assert (await composing.compose(loser.door())).composed == 1
    await house.register.close()
    loser.use(backup)
    door = loser.door()
    assert (await composing.compose(door)).composed == 1
    assert (await delivery.deliver(door)).sent == 1


async def test_a_mail_whose_move_was_cut_off_in_the_lost_time_is_one(loser: Loser) -> None:
    """It lies in both folders, or twice in `Processed`."""
    house = loser.house
    backup = await loser.back_up()
    for sequence in (1, 2):
        house.mailbox.deliver(a_letter(sequence))
    half = dict(house.mailbox.inbox)
    assert (await loser.work()).sent == 2
    house.mailbox.inbox[1] = half[1]
    house.mailbox.folders["Processed"].append(half[2])
    await house.register.close()
    loser.use(backup)
    assert (await restored(loser))[1].taken_in == 2
    await resume(loser)
    assert (await loser.work()).sent == 2
    assert sorted(await _states(loser, "intake")) == ["answered", "answered", "same_delivery"]
    assert not house.mailbox.inbox
