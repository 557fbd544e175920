"""The independent audit: what the worker decided agrees with the mails; what is altered is told, night after night."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from mailflow.app import daily
from mailflow.core.promises import Doubt, Promise
from mailflow.jobs import rederiving
from mailflow.jobs.daily import JOBS
from mailflow.jobs.rederiving import REDERIVE
from mailflow.jobs.work import JobTerms, run
from mailflow.ops.metrics import Metrics
from mailflow.register import Register, issued, retention, watching
from mailflow.review.archive import Archive
from mailflow.review.rederiving import rederive
from tests.support.archives import archived, work
from tests.support.clock import at_instant
from tests.support.doors import House
from tests.support.jobs import TERMS
from tests.support.judging import a_judge, a_mail, dem_part
from tests.support.records import execute, rows

__all__ = ["archived"]


async def examine(register: Register, intakes: Sequence[int]) -> list[Doubt]:
    return await rederive(register, Archive(register, a_judge), intakes)


async def whole() -> bool:
    return True


TERMS_HERE: JobTerms = replace(TERMS, examine=examine)


async def night(house: House) -> dict[str, int]:
    """The job, a day later: what alarms would be told of."""
    house.now += timedelta(days=1)
    await run(house.register, REDERIVE, TERMS_HERE, house.now)
    async with house.register.read() as tx:
        assert await issued.due(tx, house.now - rederiving.SETTLED) == 0
        found = await watching.broken(tx)
    assert {promise.value for promise in Promise} <= found.keys()
    return {name: times for name, times in found.items() if times}


async def test_what_was_decided_agrees_with_the_mails(archived: House) -> None:
    read: list[int] = []

    async def seen(register: Register, intakes: Sequence[int]) -> list[Doubt]:
        read.extend(intakes)
        return await examine(register, intakes)

    terms = replace(TERMS, examine=seen)
    archived.now += timedelta(days=1)
    assert await run(archived.register, REDERIVE, terms, archived.now) == 3
    assert read == [1, 2, 3], "only what was accepted"
    assert await run(archived.register, REDERIVE, terms, archived.now + timedelta(days=1)) == 0
    assert await night(archived) == {}


ALTERED = {
    "UPDATE outbox SET recipient = 'a@elsewhere.example' WHERE intake_id = 1": Promise.RECIPIENT,
    "UPDATE request SET position = 7 WHERE number = (SELECT max(number) FROM request)": Promise.ONE,
    "UPDATE file SET returned = NULL WHERE intake_id = 3": Promise.RETURNED,
    "UPDATE outbox SET payload = NULL WHERE intake_id = 2": Promise.TOLD,
}


async def test_what_was_altered_is_told_until_it_agrees_or_is_erased(archived: House) -> None:
    for statement in ALTERED:
        await execute(archived.register, statement)
    told = await night(archived)
    assert told == {promise.value: 1 for promise in ALTERED.values()}
    noted = "SELECT intake_id FROM journal WHERE kind = 'mail-doubted'"
    assert len(await rows(archived.register, noted)) == len(ALTERED)
    assert await night(archived) == told, "it is still so"
    assert len(await rows(archived.register, noted)) == len(ALTERED), "and is on record already"

    await execute(archived.register, "UPDATE request SET position = 0 WHERE position = 7")
    assert Promise.ONE not in await night(archived), "it was mended"
    async with archived.register.begin() as tx:
        await tx.run(sa.text("UPDATE outbox SET state = 'sent', sent_at = received_at"))
        assert await retention.erase_these(tx, [1, 2, 3], archived.now) == 3
    assert await night(archived) == {}, "nobody can say any more"


async def test_a_run_has_its_bound_and_the_next_one_goes_on(archived: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rederiving, "MAILS_A_RUN", 2)
    monkeypatch.setattr(rederiving, "BATCH", 1)
    archived.now += timedelta(days=1)
    assert await run(archived.register, REDERIVE, TERMS_HERE, archived.now) == 2
    async with archived.register.read() as tx:
        assert (await REDERIVE.due(tx, TERMS_HERE, archived.now)).count == 1
    archived.mailbox.deliver(a_mail(dem_part(9, surname="Neuvième")))
    await work(archived)
    async with archived.register.read() as tx:
        assert (await REDERIVE.due(tx, TERMS_HERE, archived.now)).count == 1, "the new one is not settled yet"
    assert await night(archived) == {}


async def test_more_than_a_run_reads_is_read_before_the_job_counts_as_done(
    archived: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that reads so many a night only would fall behind one who sends more in a day, and nobody would see."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(rederiving, "MAILS_A_RUN", 1)
    archived.now += timedelta(days=1)
    reached, metrics = [], Metrics()
    for _ in range(5):
        archived.now += timedelta(minutes=5)
        with at_instant(archived.now):
            done = await daily.catch_up(archived.register, TERMS_HERE, "02:30", metrics, whole)
        async with archived.register.read() as tx:
            recorded = {one.job for one in await watching.job_runs(tx)}
            left = (await REDERIVE.due(tx, TERMS_HERE, archived.now)).count
        assert recorded >= {job.name for job in JOBS} - {REDERIVE.name}, "the others have had their turn"
        assert (REDERIVE.name in recorded) is done is (metrics.known("job_done_at", REDERIVE.name) is not None)
        reached.append((left, done))
    assert reached == [(2, False), (1, False), (0, False), (0, True), (0, True)]
    assert caplog.messages.count("job-goes-on") == 3
