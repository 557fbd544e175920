"""Who works by batches has the jobs of the day done as well: by the first batch after the hour at which they begin."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.app import daily
from mailflow.errors import Unavailable
from mailflow.jobs.daily import JOBS
from mailflow.jobs.work import Job, JobTerms, Ran
from mailflow.ops.metrics import Metrics
from mailflow.register import Register, Taken, clocks, intake, watching
from tests.support.clock import at_instant
from tests.support.jobs import TERMS
from tests.support.records import arrival

BEGINS = "02:30"
EVENING = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
BEFORE = datetime(2026, 7, 2, 0, 29, tzinfo=UTC)
AFTER = datetime(2026, 7, 2, 0, 31, tzinfo=UTC)
"""02:31 in Paris, in summer."""


async def whole() -> bool:
    return True


async def done_after_a_batch(register: Register, at: datetime) -> set[datetime | None]:
    with at_instant(at):
        await daily.catch_up(register, TERMS, BEGINS, Metrics(), whole)
    async with register.read() as tx:
        runs = await watching.job_runs(tx)
    assert {run.job for run in runs} == {job.name for job in JOBS}
    return {run.done_at for run in runs}


async def test_the_first_batch_after_the_hour_does_them(register: Register) -> None:
    assert await done_after_a_batch(register, EVENING) == {EVENING}
    assert await done_after_a_batch(register, BEFORE) == {EVENING}
    assert await done_after_a_batch(register, AFTER) == {AFTER}


async def test_a_clock_that_was_ahead_puts_nothing_off(register: Register) -> None:
    assert await done_after_a_batch(register, AFTER + timedelta(days=400)) == {AFTER + timedelta(days=400)}
    assert await done_after_a_batch(register, AFTER) == {AFTER}


async def test_by_a_clock_that_is_far_ahead_nothing_ends_and_nothing_is_erased(
    register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """A host starts before its clock is set. What a mail server says, or the jobs of yesterday, bears witness."""
    later = EVENING + clocks.SILENCE_MAX + timedelta(minutes=1)
    assert await done_after_a_batch(register, EVENING) == {EVENING}
    assert await done_after_a_batch(register, later) == {EVENING}
    assert "clock-perhaps-ahead" in caplog.messages
    async with register.begin() as tx:
        await intake.take_in(tx, [replace(arrival(1), received_at=later - timedelta(hours=1))], later)
    assert await done_after_a_batch(register, later) == {later}


async def test_while_another_worker_is_at_them_none_is_tried_and_nothing_is_a_warning(
    register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    async with register.alone("jobs") as held:
        assert held
        with pytest.raises(Taken):
            await daily.catch_up(register, TERMS, BEGINS, Metrics(), whole)
    assert [record for record in caplog.records if record.name == daily.__name__] == []
    assert await done_after_a_batch(register, EVENING) == {EVENING}


async def test_what_could_not_be_done_is_left_for_the_next_batch(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, do = JOBS[1], daily.run_job

    async def run_job(register: Register, job: Job, terms: JobTerms, at: datetime) -> Ran:
        if job is failing:
            raise Unavailable("the database: OperationalError")
        return await do(register, job, terms, at)

    with monkeypatch.context() as patch, at_instant(EVENING):
        patch.setattr(daily, "run_job", run_job)
        await daily.catch_up(register, TERMS, BEGINS, Metrics(), whole)
    async with register.read() as tx:
        assert {run.job for run in await watching.job_runs(tx)} == {job.name for job in JOBS} - {failing.name}
    assert await done_after_a_batch(register, BEFORE) == {EVENING, BEFORE}
