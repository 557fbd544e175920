"""Reconciliation sends an answer again once at the most: what has left meanwhile, or has its copy by now, is left."""

from datetime import timedelta

import pytest

from mailflow.ledger.differences import Kind
from mailflow.ledger.reading import Sheet
from mailflow.mail import delivery
from tests.support.fake_mailer import Fate
from tests.support.records import rows
from tests.support.restored import Loser, a_letter
from tests.support.sheets import TERMS, mend, read_sheet

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def bereft(loser: Loser) -> Loser:
    """One answer has left, so long ago that its copy should be there; and the audit mailbox is empty."""
    loser.house.mailbox.deliver(a_letter(1))
    await loser.work()
    loser.house.mailer.mailboxes["audit"].clear()
    loser.house.now += TERMS.copy_takes + MINUTE
    return loser


async def sent_again(loser: Loser, sheet: Sheet) -> int:
    return (await mend(loser, sheet, {Kind.COPY_MISSING}))[Kind.COPY_MISSING]


async def lose_copies(loser: Loser) -> list[bytes]:
    """What the mail server has not delivered to the audit mailbox yet."""
    copies = loser.house.mailer.mailboxes["audit"]
    kept = copies[:]
    copies.clear()
    return kept


async def work_on(loser: Loser) -> None:
    """For two hours."""
    for _ in range(8):
        await loser.work()
        await delivery.settle_doubtful(loser.door())
        loser.house.now += 15 * MINUTE


async def test_of_two_who_read_the_same_sheet_one_sends_it_again(bereft: Loser) -> None:
    house = bereft.house
    one, other = await read_sheet(bereft), await read_sheet(bereft)
    assert (one.found, one.found[Kind.COPY_MISSING]) == (other.found, 1)
    assert await sent_again(bereft, one) == 1
    assert await sent_again(bereft, other) == 0, "it is on its way"
    await bereft.work()
    assert await sent_again(bereft, other) == 0, "its copy has come"
    await lose_copies(bereft)
    assert await sent_again(bereft, other) == 0, "it was sent since"
    await bereft.work()
    assert len(house.mailer.accepted) == 2
    resent = await rows(house.register, "SELECT id FROM journal WHERE kind = 'outbox-resent'")
    assert len(resent) == 1


async def test_a_copy_that_comes_after_the_sheet_was_read_is_not_missing(bereft: Loser) -> None:
    house = bereft.house
    sheet = await read_sheet(bereft)
    house.mailer.mailboxes["audit"].append(house.mailer.accepted[0].raw)
    assert await sent_again(bereft, sheet) == 0
    await bereft.work()
    assert len(house.mailer.accepted) == 1


async def test_a_copy_of_what_was_sent_again_has_the_time_that_every_copy_has(bereft: Loser) -> None:
    house = bereft.house
    assert await sent_again(bereft, await read_sheet(bereft)) == 1
    await bereft.work()
    await lose_copies(bereft)
    house.now += TERMS.copy_takes
    assert not (await read_sheet(bereft)).found
    house.now += MINUTE
    sheet = await read_sheet(bereft)
    assert dict(sheet.found) == {Kind.COPY_MISSING: 1}
    assert await sent_again(bereft, sheet) == 1, "this one was lost as well"
    await bereft.work()
    assert not (await read_sheet(bereft)).found
    assert len(house.mailer.accepted) == 3


async def test_a_copy_is_looked_for_as_long_as_the_folders_keep_it(bereft: Loser) -> None:
    house = bereft.house
    assert await sent_again(bereft, await read_sheet(bereft)) == 1
    house.now += TERMS.keeps - MINUTE
    await work_on(bereft)
    assert len(house.mailer.accepted) == 2, "so long after the sheet was read it is looked for anew before it goes"
    house.now += TERMS.copy_takes + MINUTE
    await lose_copies(bereft)
    assert (await read_sheet(bereft)).found[Kind.COPY_MISSING] == 1, "it left again lately, whenever it left first"


async def test_none_is_discounted_of_copies_that_are_gone(bereft: Loser) -> None:
    """It leaves again, and the reply is lost; its copy tells that it left."""
    house = bereft.house
    assert await sent_again(bereft, await read_sheet(bereft)) == 1
    house.mailer.fates = [Fate.LOSE_REPLY]
    await work_on(bereft)
    assert [row.state for row in await rows(house.register, "SELECT state FROM outbox")] == ["sent"]
    assert len(house.mailer.accepted) == 2


async def test_what_goes_again_for_want_of_a_copy_goes_at_once(bereft: Loser) -> None:
    assert await sent_again(bereft, await read_sheet(bereft)) == 1
    assert (await bereft.work()).sent == 1
