"""A mail of the lost time whose Message-ID is on record: desks send a mail once more as it lies in `Sent`."""

from datetime import timedelta

import pytest

from mailflow.mail import worker
from mailflow.register.issuing import SERVICE
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, behind, restored, resume, stopped


@pytest.fixture
async def again(loser: Loser) -> tuple[Loser, str]:
    """One mail of that name is in the backup, of which the URL is given."""
    loser.house.mailbox.deliver(a_letter(1, name="same"))
    await loser.work()
    return loser, await loser.back_up()


@pytest.mark.parametrize("later", [timedelta(), timedelta(hours=3)], ids=["in the same second", "hours later"])
async def test_one_that_was_only_taken_in_is_noticed_and_answered(again: tuple[Loser, str], later: timedelta) -> None:
    loser, backup = again
    house = loser.house
    house.now += later
    now = house.now
    house.mailbox.clock = lambda: now
    house.mailbox.deliver(a_letter(2, name="same"))
    await worker.receive(loser.door())
    await house.register.close()
    loser.use(backup)
    await loser.work()
    assert await stopped(loser) == SERVICE
    _, done = await restored(loser)
    assert done.taken_in == 1
    await resume(loser)
    await loser.work()
    assert len(await loser.numbers()) == 2
    assert not await behind(loser)


async def test_one_that_was_answered_has_its_own_number_again(again: tuple[Loser, str]) -> None:
    loser, backup = again
    loser.house.mailbox.deliver(a_letter(2, name="same"))
    await loser.work()
    given = await loser.numbers()
    await loser.house.register.close()
    loser.use(backup)
    await restored(loser)
    await resume(loser)
    await loser.work()
    assert await loser.numbers() == given


async def test_the_same_mail_that_lies_twice_is_no_loss(again: tuple[Loser, str]) -> None:
    """As where a MOVE was cut off between its COPY and its EXPUNGE."""
    loser, _ = again
    (laid,) = loser.house.mailbox.folders["Processed"]
    loser.house.mailbox.folders["Processed"].append(laid)
    assert not await behind(loser)
    assert [row.state for row in await rows(loser.house.register, "SELECT state FROM intake")] == ["answered"]
