"""The jobs of the day, at work: at the set time, at the start for what a stop has missed, and after a batch."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, time, timedelta
from typing import Any

from mailflow.app.apart import apart
from mailflow.app.keys import make_notary
from mailflow.app.parts import now
from mailflow.app.reviewing import examine_of
from mailflow.core.calendar import PARIS
from mailflow.errors import MailflowError, Unavailable
from mailflow.jobs import work
from mailflow.jobs.daily import JOBS
from mailflow.jobs.sealing import seal
from mailflow.jobs.work import Job, JobTerms, Ran
from mailflow.log import event, fault
from mailflow.mail.trust.expiry import validity
from mailflow.meter import Meter
from mailflow.register import ConstraintViolated, Register, Taken, clocks, watching
from mailflow.register.transaction import TAKEN_SECONDS
from mailflow.settings import Settings

AGAIN_SECONDS = 300.0
"""Until jobs are tried again that could not be done, the register being unavailable, say; or that go on."""
LOOK_SECONDS = 3600.0
"""How often it is looked whether any are due for which nobody woke us: a clock that was put back does so late."""

SEAL_SECONDS = 60.0
"""How often the journal is sealed: what was committed since may still be changed unseen."""
SEAL_AT_END_SECONDS = 5.0
"""How long who is to stop may go on sealing."""

IsWhole = Callable[[], Awaitable[bool]]
"""Whether the register is not behind its mailboxes. Raises Misconfigured and Unavailable."""

log = logging.getLogger(__name__)


def job_terms(settings: Settings) -> JobTerms:
    """The terms of the settings."""
    return JobTerms(
        environment=settings.environment,
        domain=settings.service.address.rpartition("@")[2],
        notice=timedelta(days=settings.jobs.notice_days),
        retention=timedelta(days=settings.jobs.retention_days),
        notary=make_notary(settings, now),
        validity=validity,
        examine=examine_of(settings),
    )


async def run_job(register: Register, job: Job, terms: JobTerms, at: datetime) -> Ran:
    """Do all that is due, or as much as a run does. One that goes on is not on record as done.

    Raises Unavailable: Taken, when another worker is at the jobs.
    """
    async with register.alone("jobs") as ours:
        if not ours:
            raise Taken("another worker is at the jobs")
        done = await work.run(register, job, terms, at)
        async with register.begin() as tx:
            goes_on = await job.goes_on(tx)
            if not goes_on:
                await watching.job_done(tx, job.name, at)
    event(log, "job-goes-on" if goes_on else "job-done", job=job.name, done=done)
    return Ran(done=done, goes_on=goes_on)


async def keep_jobs(
    register: Register, terms: JobTerms, daily_at: str, wake: asyncio.Event, meter: Meter, is_whole: IsWhole
) -> None:
    """Catch up now, each time that `wake` is set, and at the latest after LOOK_SECONDS by the clock of the event loop.

    Until cancelled. What is cut off is done the next time: by another worker, who looks often while one is at them.
    """
    taken = False
    while True:
        wake.clear()
        try:
            well = await catch_up(register, terms, daily_at, meter, is_whole)
            taken, seconds = False, LOOK_SECONDS if well else AGAIN_SECONDS
        except Taken:
            if not taken:
                event(log, "taken", work="jobs")
            taken, seconds = True, TAKEN_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), seconds)


async def catch_up(register: Register, terms: JobTerms, daily_at: str, meter: Meter, is_whole: IsWhole) -> bool:
    """Do the jobs that have not been done since they last were to begin; whether none of them failed, or goes on.

    Nothing that fails here disturbs the mails: the next time tries again. None is begun by a clock that may be far
    ahead: a mail that comes says that it is right, or an operator who does the jobs by hand. Raises Taken.
    """
    if not await _may_begin(is_whole):
        return False
    at = now()
    begun = _last(time.fromisoformat(daily_at), at)
    try:
        async with register.read() as tx:
            done_at = {one.job: one.done_at for one in await watching.job_runs(tx)}
            perhaps_ahead = await clocks.is_perhaps_ahead(tx, at)
    except Unavailable:
        event(log, "unavailable", level=logging.WARNING, work="jobs")
        return False
    if perhaps_ahead:  # what ends and is erased by such a clock does not come back
        event(log, "clock-perhaps-ahead", level=logging.ERROR, work="jobs", now=at.isoformat())
        return False
    not_done = []
    for job in JOBS:
        done = done_at.get(job.name)
        if done is None or not begun <= done <= at:  # after now: the clock was wrong then
            not_done.append(not await _is_done(_run(register, job, terms, meter), job))
        else:  # by a process before this one, perhaps: its gauge says so all the same
            meter.level("job_done_at", done.timestamp(), task=job.name)
    return not any(not_done)


async def _may_begin(is_whole: IsWhole) -> bool:
    """Whether the register was held against its mailboxes, and is not behind them."""
    try:
        return await is_whole()
    except MailflowError:  # a secret may just be in rotation
        event(log, "unavailable", level=logging.WARNING, work="jobs")
        return False


async def seal_now(register: Register, terms: JobTerms, seconds: float | None = None) -> None:
    """Seal the journal, for so long at most. What fails is logged; whatever is left is made up for the next time."""
    task = await apart(seal(register, terms, now()), seconds)
    error = task.exception() if task.done() and not task.cancelled() else None
    if isinstance(error, Unavailable | ConstraintViolated):
        event(log, "unavailable", level=logging.WARNING, work="seal")
    elif error is not None:
        fault(log, "seal-failed", error)


async def keep_sealed(register: Register, terms: JobTerms) -> None:
    """Seal the journal again and again, until cancelled."""
    while True:
        await asyncio.sleep(SEAL_SECONDS)
        await seal_now(register, terms)


def _last(begins: time, at: datetime) -> datetime:
    """The last instant before `at` at which it was that time in Paris."""
    here = at.astimezone(PARIS)
    today = datetime.combine(here, begins, PARIS)
    return today if today <= here else datetime.combine(here.date() - timedelta(days=1), begins, PARIS)


async def _run(register: Register, job: Job, terms: JobTerms, meter: Meter) -> Ran:
    at = now()
    ran = await run_job(register, job, terms, at)
    if not ran.goes_on:
        meter.level("job_done_at", at.timestamp(), task=job.name)
    return ran


async def _is_done(running: Coroutine[Any, Any, Ran], job: Job) -> bool:
    """Whether the job neither failed nor goes on. Nothing that fails keeps the others, or the mails, from going on.

    Raises Taken.
    """
    task = await apart(running)
    error = task.exception()
    if error is None:
        return not task.result().goes_on
    if isinstance(error, Taken):  # whoever is at this one does the others as well
        raise error
    if isinstance(error, Unavailable):
        event(log, "unavailable", level=logging.WARNING, work=f"job-{job.name}")
    else:
        fault(log, "job-failed", error, job=job.name)
    return False
