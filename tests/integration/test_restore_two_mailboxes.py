"""A loss of a register with two mailboxes: each is restored by itself, and none of it says anything of the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest

from mailflow.mail import recovery, rejecting, worker
from mailflow.mail.door import MailDoor
from mailflow.mail.hindsight import Hindsight, Loss, survey
from mailflow.mail.ports import Listing
from mailflow.mail.recovery import Recovered, Recovery, WentOut
from mailflow.mail.rejecting import Refusal
from mailflow.register import restoring
from mailflow.register.cases import MAIL, Filter
from mailflow.register.restoring import JUMP
from tests.support.judging import mairie
from tests.support.operating import ACT
from tests.support.pki import shared_pki
from tests.support.restored import FakeTrail, Loser, a_letter, lose, resume, stopped

OTHER = "other"


@dataclass
class Half(FakeTrail):
    """`Processed` of one of the two, of the mails that are `mine`."""

    whose: str = ""
    mine: Callable[[bytes], bool] = bool

    @property
    def account(self) -> str:
        return self.whose

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:
        full = await super().list(marked=marked, since=since)
        mine = {uid for uid, (raw, _) in enumerate(self._mails(), 1) if self.mine(raw)}
        return replace(full, uids=tuple(uid for uid in full.uids if uid in mine))


def halves(loser: Loser, *others: int) -> tuple[Half, Half]:
    """What the house's own account has, and the other one, to which the letters of these numbers came."""

    def half(whose: str, *, other: bool) -> Half:
        def mine(raw: bytes) -> bool:
            return any(b"<%d@mairie.example>" % number in raw for number in others) is other

        whole, _ = loser.trails
        return Half(whole.house, whole.name, whole.days, whole.headless, whole.bodiless, whose=whose, mine=mine)

    return half(loser.house.door().account, other=False), half(OTHER, other=True)


def door(loser: Loser, half: Half) -> MailDoor:
    """Of a process of that mailbox that has just begun."""
    _, audit = loser.trails
    return replace(loser.house.door(), account=half.whose, hindsight=Hindsight(lambda: (half, audit)))


async def lost(loser: Loser, half: Half) -> Loss:
    return await survey(loser.house.register, half, loser.trails[1])


async def restored(loser: Loser, half: Half, *, jump: int = 0) -> Recovered:
    """As `mailflow restore` does it by the settings of that mailbox, with the key, or without it by a jump."""
    register, now, loss = loser.house.register, loser.house.now, await lost(loser, half)
    went_out = WentOut()
    if not jump:
        key, ours = mairie().decryption_key, shared_pki().service_ec.der
        went_out = await recovery.read_answers(loser.trails[1], loss, [key], [ours], now)
    todo = Recovery(loss=loss, went_out=went_out, jump=jump)
    return await recovery.recover(register, half, todo, ACT, now)


async def test_what_was_lost_of_the_other_one_is_held_too_where_nobody_can_tell_its_numbers(loser: Loser) -> None:
    told = await lose(loser)
    ours, other = halves(loser, 5)
    assert (await restored(loser, ours, jump=JUMP)).held == 2
    assert (await lost(loser, other)).answers, "else nobody would be asked for the key, or for a jump"
    done = await restored(loser, other, jump=JUMP)
    assert (done.taken_in, done.held) == (1, 1)
    await resume(loser)
    assert (await loser.work(door(loser, other))).registered == 0
    assert len(loser.told()) == 1 + len(told), "no desk has a second number for what it was told of"


async def test_the_numbering_of_mails_jumps_once_for_one_loss(loser: Loser) -> None:
    """The same backup may be restored ten times, however many mailboxes there are."""
    await lose(loser)
    ours, other = halves(loser, 5)
    jumps = {(await restored(loser, half)).skipped_to // restoring.INTAKES_AHEAD for half in (ours, other)}
    assert jumps == {1}


async def test_what_an_operator_had_refused_is_held_whichever_mailbox_it_came_to(loser: Loser) -> None:
    house = loser.house
    ours, other = halves(loser, 1)
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(1))
    await worker.receive(door(loser, other))
    refusal = Refusal(act=ACT, note="Envoi d'essai.")
    assert len((await rejecting.reject(house.door("operator"), Filter(kinds=[MAIL]), refusal)).told) == 1
    for sequence in (2, 3):
        house.mailbox.deliver(a_letter(sequence))
    await loser.work(door(loser, ours))
    await house.register.close()
    loser.use(backup)
    assert [(await restored(loser, half)).held for half in (ours, other)] == [0, 1]
    await resume(loser)
    assert (await loser.work(door(loser, other))).registered == 2


async def test_the_other_one_looks_as_far_back_as_its_own_mails_say(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a busy one the latest mails are all of today, of what was restored too."""
    monkeypatch.setattr(restoring, "LATEST", 2)
    house = loser.house
    house.mailbox.clock = lambda: house.now
    ours, other = halves(loser, 1, 5)
    house.mailbox.deliver(a_letter(1))
    await loser.work(door(loser, other))
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(5))
    await loser.work(door(loser, other))
    for sequence in (2, 3, 4):
        house.now += timedelta(days=2)
        house.mailbox.deliver(a_letter(sequence))
        await loser.work(door(loser, ours))
    await house.register.close()
    loser.use(backup)
    await restored(loser, ours)
    await resume(loser)
    assert await stopped(loser) == ""
    assert not await door(loser, other).is_whole()
    assert (await lost(loser, other)).mails == (2,)
    await restored(loser, other)
    await resume(loser)
    assert await door(loser, other).is_whole()
    assert await door(loser, ours).is_whole()


async def test_a_mail_of_the_other_one_with_the_same_header_stands_for_none_of_ours(loser: Loser) -> None:
    house = loser.house
    ours, _ = halves(loser)
    house.mailbox.deliver(a_letter(2, name="x"))
    await loser.work(replace(door(loser, ours), account=OTHER))
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(3, name="x"))
    await worker.receive(door(loser, ours))
    await house.register.close()
    loser.use(backup)
    del house.mailbox.folders["Processed"][0]  # that of the other one lies there
    assert (await lost(loser, ours)).mails == (1,)
