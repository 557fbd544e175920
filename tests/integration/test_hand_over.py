"""Hand-over of what one worker does for all: who found it taken is at it within seconds once that worker is dead."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from mailflow.app import daily
from mailflow.jobs.daily import JOBS
from mailflow.mail.door import MailDoor
from mailflow.mail.stages import Stages
from mailflow.ops.metrics import Metrics
from mailflow.register import Register, watching
from tests.support.another_process import another_process
from tests.support.batches import NEVER_SECONDS, letter, until
from tests.support.doors import House
from tests.support.jobs import TERMS

WITHIN_SECONDS = 15.0
"""Three would do, and a busy machine has more; who waits for the next poll, or as after a failure, takes longer."""
BEGINS = "02:30"
HOLDER = """
import asyncio, sys
from mailflow.register import Register
from tests.support import connections
from tests.support.databases import VAULT

async def main(url: str, what: str, of: str) -> None:
    async with Register.open(url, VAULT).alone(what, of) as ours:
        assert ours
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def at_work(door: MailDoor) -> AsyncIterator[Stages]:
    """A worker that no poll wakes."""
    stages, stop = Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS), asyncio.Event()
    running = asyncio.create_task(stages.run(NEVER_SECONDS, stop))
    try:
        yield stages
    finally:
        stop.set()
        await running


async def test_receiving_is_anothers_when_its_worker_dies(house: House, register_url: str) -> None:
    door = house.door()
    async with another_process(HOLDER, register_url, "receive", f"{door.account} {door.inbox}") as holder:
        house.mailbox.deliver(letter(0))
        async with at_work(door) as stages:
            await until(lambda: stages.receive.taken)
            assert not stages.receive.failures
            holder.kill()
            begun = asyncio.get_running_loop().time()
            await until(lambda: stages.progress.received)
            assert asyncio.get_running_loop().time() - begun < WITHIN_SECONDS
            await until(lambda: house.mailer.accepted)
    assert len(house.mailer.accepted) == 1


async def test_the_jobs_are_anothers_when_their_worker_dies(
    register: Register, register_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    async with another_process(HOLDER, register_url, "jobs", "") as holder:
        keeping = asyncio.create_task(
            daily.keep_jobs(register, TERMS, BEGINS, asyncio.Event(), metrics, is_whole=always)
        )
        try:
            await until(lambda: "taken" in caplog.messages)
            holder.kill()
            begun = asyncio.get_running_loop().time()
            await until(lambda: "job-done" in caplog.messages)
            assert asyncio.get_running_loop().time() - begun < WITHIN_SECONDS
            await until(lambda: metrics.known("job_done_at", JOBS[-1].name))
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
    async with register.read() as tx:
        assert {run.job for run in await watching.job_runs(tx) if run.done_at} == {job.name for job in JOBS}


async def always() -> bool:
    return True


async def test_while_another_is_at_the_jobs_that_is_told_once(
    register: Register, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(daily, "TAKEN_SECONDS", 0.0)
    looks = 0

    async def counted() -> bool:
        nonlocal looks
        looks += 1
        return True

    async with register.alone("jobs") as held:
        assert held
        keeping = asyncio.create_task(
            daily.keep_jobs(register, TERMS, BEGINS, asyncio.Event(), Metrics(), is_whole=counted)
        )
        try:
            await until(lambda: looks > 3)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
    told = [(record.levelname, record.message) for record in caplog.records if record.name == daily.__name__]
    assert told == [("INFO", "taken")]
