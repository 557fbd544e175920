"""A register that is behind its mailboxes does nothing until what it lost is brought back, however often and late."""

from collections import defaultdict
from datetime import timedelta

import pytest
import sqlalchemy as sa

from mailflow.jobs import work
from mailflow.jobs.daily import JOBS
from mailflow.mail import recovery, worker
from mailflow.mail.door import Progress
from mailflow.mail.hindsight import survey
from mailflow.mail.recovery import Recovery
from mailflow.register import issuing, restoring
from mailflow.register.issuing import SERVICE, Behind
from mailflow.register.tables import intake
from tests.support.jobs import TERMS
from tests.support.judging import mairie
from tests.support.operating import ACT
from tests.support.pki import shared_pki
from tests.support.restored import Loser, a_letter, behind, lose, recovered, resume, stopped


async def test_a_register_that_is_behind_stops_the_numbers_before_it_gives_any(loser: Loser) -> None:
    told = await lose(loser)
    loser.house.mailbox.deliver(a_letter(6))
    done = await loser.work()
    assert (await stopped(loser), done) == (SERVICE, Progress()), "nothing is taken in or decided"
    assert len(await loser.numbers()) == 1
    assert loser.told()[1:] == told
    loss = await behind(loser)
    assert (len(loss.mails), sorted(loss.answers.values())) == (2, [2, 3, 4])


@pytest.mark.long_on("postgresql")
async def test_a_loss_is_seen_whole_however_late_anybody_looks(loser: Loser) -> None:
    """The service's own stop, and what jobs write, are entries of today in a journal of long ago."""
    await lose(loser)
    loser.house.now += timedelta(days=5)
    await loser.work()
    assert await stopped(loser) == SERVICE
    loss = await behind(loser)
    assert (len(loss.mails), sorted(loss.answers.values())) == (2, [2, 3, 4])
    await recovered(loser, jump=False)
    assert not await behind(loser)


@pytest.mark.long_on("postgresql")
async def test_a_mail_of_tomorrow_hides_no_loss(loser: Loser) -> None:
    """Its server's clock was ahead, or somebody has put it there."""
    await lose(loser)
    async with loser.house.register.begin() as tx:
        ahead = sa.update(intake).where(intake.c.id == await restoring.latest_intake(tx))
        assert await tx.run(ahead.values(received_at=loser.house.now + timedelta(days=30)))
    loss = await behind(loser)
    assert (len(loss.mails), sorted(loss.answers.values())) == (2, [2, 3, 4])


@pytest.mark.parametrize("answered", [False, True])
async def test_a_mail_of_days_ago_that_came_late_hides_no_loss(loser: Loser, *, answered: bool) -> None:
    """The postmaster moved it to the inbox, which leaves it its day."""
    house = loser.house
    house.mailbox.deliver(a_letter(1))
    await loser.work()
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(2))
    await (loser.work() if answered else worker.receive(loser.door()))
    await house.register.close()
    loser.use(backup)
    for trail in loser.trails:
        trail.date_all()
    loser.days["Processed"][1] -= timedelta(days=5)
    await loser.work()
    assert await stopped(loser) == SERVICE
    assert len((await behind(loser)).mails) == 1


@pytest.mark.slow
@pytest.mark.long_on("postgresql")
async def test_a_backup_that_is_needed_twice_gives_each_request_its_number_both_times(loser: Loser) -> None:
    told = await lose(loser)
    await loser.work()
    await recovered(loser, jump=False)
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(6))
    await loser.work()
    (new,) = set(loser.told()) - set(told) - {loser.told()[0]}
    await loser.house.register.close()
    loser.use(loser.second)
    await loser.work()
    assert await stopped(loser) == SERVICE
    processed, audit = loser.trails
    loss = await survey(loser.house.register, processed, audit)
    ours = [shared_pki().service_ec.der]
    went_out = await recovery.read_answers(audit, loss, [mairie().decryption_key], ours, loser.house.now)
    assert {number for _, number in went_out.numbers} == {number for _, _, number in {*told, new}}
    todo = Recovery(loss=loss, went_out=went_out, jump=0)
    await recovery.recover(loser.house.register, processed, todo, ACT, loser.house.now)
    await resume(loser)
    loser.house.mailbox.deliver(a_letter(7))
    await loser.work()
    by_request: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for digest, position, number in loser.told():
        by_request[digest, position].add(number)
    assert [len(numbers) for numbers in by_request.values()] == [1] * 7
    assert len(set.union(*by_request.values())) == 7, "no number went to two of them"


@pytest.mark.long_on("postgresql")
async def test_no_job_is_done_in_a_register_that_is_behind(loser: Loser) -> None:
    await lose(loser)
    await loser.work()
    for job in JOBS:
        with pytest.raises(Behind):
            await work.run(loser.house.register, job, TERMS, loser.house.now)


@pytest.mark.long_on("postgresql")
async def test_who_stopped_the_numbers_before_does_not_hide_that_the_register_is_behind(loser: Loser) -> None:
    await lose(loser)
    await issuing.stop(loser.house.register, ACT, loser.house.now)
    await loser.work()
    assert await stopped(loser) == SERVICE
