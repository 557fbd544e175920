"""A restore that is cut off, is done with another day, or comes after another one: it forgets nothing."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import recovery, rejecting, worker
from mailflow.mail.hindsight import survey
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing
from mailflow.mail.recovery import Recovery, WentOut
from mailflow.mail.rejecting import Refusal
from mailflow.register import restoring
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.restoring import JUMP
from tests.support.operating import ACT, operate
from tests.support.records import rows
from tests.support.restored import FakeTrail, Loser, a_letter, behind, lose, recover, recovered, resume, what_went_out


class Failing(FakeTrail):
    """`Processed`, whose server goes away after so many mails."""

    left = 2

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        async for mail in super().fetch(listing, uids):
            if not self.left:
                raise Unavailable("away")
            self.left -= 1
            yield mail


async def test_what_was_refused_is_known_however_often_it_is_cut_off(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MAILS_AT_A_TIME", 1)
    house = loser.house
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(1))
    await worker.receive(loser.door())
    refusal = Refusal(act=ACT, note="Envoi d'essai.")
    assert len((await rejecting.reject(house.door("operator"), Filter(kinds=[MAIL]), refusal)).told) == 1
    for sequence in range(2, 8):
        house.mailbox.deliver(a_letter(sequence))
    await loser.work()
    await house.register.close()
    loser.use(backup)
    processed, _ = loser.trails
    for _ in range(3):
        loss, went_out = await what_went_out(loser)
        cut = Failing(house, processed.name, processed.days, set(), set())
        todo = Recovery(loss=loss, went_out=went_out, jump=0)
        with pytest.raises(Unavailable):
            await recovery.recover(house.register, cut, todo, ACT, house.now)
    loss, went_out = await what_went_out(loser)
    assert (await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))).held == 1
    await resume(loser)
    assert (await loser.work()).registered == 6


async def test_who_looks_back_to_a_later_day_leaves_nothing_out(loser: Loser) -> None:
    house = loser.house
    house.mailbox.deliver(a_letter(1))
    await loser.work()
    backup = await loser.back_up()
    for sequence in (2, 3):
        house.now += timedelta(days=1)
        house.mailbox.deliver(a_letter(sequence))
        await loser.work()
    await house.register.close()
    loser.use(backup)
    for since in (house.now.date(), house.now.date() + timedelta(days=9), None):
        loss = await survey(house.register, *loser.trails, since=since)
        assert (len(loss.mails), len(loss.answers)) == (2, 2)


async def test_what_is_accounted_for_stays_so_where_a_folder_has_nothing_new(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the days that are looked at it has no mail at all."""
    monkeypatch.setattr(restoring, "LATEST", 1)
    house = loser.house
    await lose(loser)
    await recovered(loser, jump=False)
    await resume(loser)
    await loser.work()
    house.now += timedelta(days=9)
    house.mailbox.clock = lambda: house.now
    house.mailbox.deliver(a_letter(7))
    await worker.receive(loser.door())
    loss = await behind(loser)
    assert not loss.audit.listing.uids
    await recover(loser, Recovery(loss=loss, went_out=WentOut(), jump=JUMP))
    assert not await survey(house.register, *loser.trails, since=house.now.date() - timedelta(days=30))


async def test_of_two_lives_of_one_request_both_numbers_are_kept(loser: Loser) -> None:
    """The first restore had let the counters jump; then the same backup is restored with the key."""
    house = loser.house
    backup, second = await loser.back_up(), await loser.back_up()
    house.mailbox.deliver(a_letter(1))
    await loser.work()
    told = await loser.numbers()
    await house.register.close()
    loser.use(backup)
    await recover(loser, Recovery(loss=await behind(loser), went_out=WentOut(), jump=JUMP))
    await resume(loser)
    await operate(house.register, Verb.RELEASE, house.now, states=["held"])
    await loser.work()
    told += await loser.numbers()
    await house.register.close()
    loser.use(second)
    loss, went_out = await what_went_out(loser)
    await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))
    async with house.register.read() as tx:
        assert [one.number for one in await restoring.reserved(tx)] == sorted(told)
    assert len(told) == len({*told}) == 2
    assert not await rows(house.register, "SELECT number FROM request")
