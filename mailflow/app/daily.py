"""The jobs of the day, at work: at the set time, and at the start for what a stop has missed."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

from mailflow.app.apart import apart
from mailflow.app.parts import now
from mailflow.errors import Unavailable
from mailflow.jobs import work
from mailflow.jobs.daily import JOBS
from mailflow.jobs.work import Job, JobTerms
from mailflow.log import event, fault
from mailflow.meter import Meter
from mailflow.register import Register, watching
from mailflow.settings import Settings

AGAIN_SECONDS = 300.0
"""Until jobs are tried again that could not be done: the register was unavailable, or another worker at it."""

log = logging.getLogger(__name__)


def job_terms(settings: Settings) -> JobTerms:
    """The terms of the settings."""
    return JobTerms(
        environment=settings.environment,
        domain=settings.service.address.rpartition("@")[2],
        notice=timedelta(days=settings.jobs.notice_days),
        retention=timedelta(days=settings.jobs.retention_days),
    )


async def run_job(register: Register, job: Job, terms: JobTerms, at: datetime) -> int:
    """Do all that is due; how much was done. Raises Unavailable, when another worker is at the jobs too."""
    async with register.alone("jobs") as ours:
        if not ours:
            raise Unavailable("another worker is at the jobs")
        done = await work.run(register, job, terms, at)
        async with register.begin() as tx:
            await watching.job_done(tx, job.name, at)
    event(log, "job-done", job=job.name, done=done)
    return done


async def keep_jobs(register: Register, terms: JobTerms, wake: asyncio.Event, meter: Meter) -> None:
    """Do what is due now, and each time that `wake` is set, until cancelled. What is cut off is done the next time."""
    while True:
        wake.clear()
        faults = [await _fault_of(_run(register, job, terms, meter), job) for job in JOBS]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), AGAIN_SECONDS if any(faults) else None)


async def _run(register: Register, job: Job, terms: JobTerms, meter: Meter) -> None:
    at = now()
    await run_job(register, job, terms, at)
    meter.level("job_done_at", at.timestamp(), task=job.name)


async def _fault_of(running: Coroutine[Any, Any, None], job: Job) -> bool:
    """Whether the job failed. None keeps the others, or the mails, from going on."""
    error = (await apart(running)).exception()
    if isinstance(error, Unavailable):
        event(log, "unavailable", level=logging.WARNING, work=f"job-{job.name}")
    elif error is not None:
        fault(log, "job-failed", error, job=job.name)
    return error is not None
