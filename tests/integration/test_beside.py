"""Work beside the mails: no clock that is put back and no fault ends it unseen, and none of it holds up a stop."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from mailflow import app
from mailflow.app import daily, revocation, status
from mailflow.app.status import Watch
from mailflow.app.supervision import beside
from mailflow.errors import Misconfigured, Unavailable
from mailflow.jobs.daily import JOBS
from mailflow.jobs.work import Ran
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.stages import Stages
from mailflow.ops.metrics import Metrics
from mailflow.register import Register, presence, watching
from mailflow.register.presence import WORKER, present
from mailflow.register.transaction import Hold
from tests.support.clock import at_instant
from tests.support.doors import PACE, House
from tests.support.jobs import TERMS, night
from tests.support.records import NOW
from tests.support.watching import at_work

PATIENCE_SECONDS = 60
NEVER_SECONDS = 3600.0
SOON_SECONDS = 0.01
DEAF_SECONDS = 5.0
"""Longer than a stop may take, in these tests."""
BEGINS = "02:30"


@dataclass
class Rounds:
    """Counts how often it is called; `at_first` is raised by the first call alone."""

    awaited: int
    at_first: Exception | None = None
    so_far: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, *_: object) -> bool:
        self.so_far += 1
        if self.so_far == self.awaited:
            self.enough.set()
        if self.so_far == 1 and self.at_first is not None:
            raise self.at_first
        return True


async def reached(rounds: Rounds, keeping: Any) -> None:
    """Keep on until there were that many rounds."""
    task = asyncio.create_task(keeping)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait(
                {task, waiting := asyncio.create_task(rounds.enough.wait())}, return_when="FIRST_COMPLETED"
            )
        assert not task.done(), "it ended"
        assert waiting.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


# A clock that is put back


async def test_revocation_data_are_fetched_though_nobody_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "AGAIN_SECONDS", SOON_SECONDS)
    refresher: Any = type("Refresher", (), {"refresh": (rounds := Rounds(2))})()
    await reached(rounds, revocation.keep_fresh(refresher, asyncio.Event()))


async def test_jobs_that_are_due_are_done_though_nobody_wakes(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those alone: the second look, on the same day, does none again."""
    monkeypatch.setattr(daily, "LOOK_SECONDS", SOON_SECONDS)
    looks, done = Rounds(3), []
    run_job = daily.run_job

    async def counted(register: Register, job: Any, terms: Any, at: datetime) -> Ran:
        done.append(job.name)
        return await run_job(register, job, terms, at)

    monkeypatch.setattr(daily, "run_job", counted)
    with at_instant(night("2026-07-02")):
        await reached(looks, daily.keep_jobs(register, TERMS, BEGINS, asyncio.Event(), Metrics(), looks))
    assert done == [job.name for job in JOBS]
    with at_instant(night("2026-07-03")):
        looks = Rounds(2)
        await reached(looks, daily.keep_jobs(register, TERMS, BEGINS, asyncio.Event(), Metrics(), looks))
    assert done == [job.name for job in JOBS] * 2


async def test_a_worker_that_is_started_anew_tells_when_the_jobs_were_done(register: Register) -> None:
    at = night("2026-07-02")
    with at_instant(at):
        await daily.catch_up(register, TERMS, BEGINS, Metrics(), Rounds(1))
        metrics = Metrics()
        await daily.catch_up(register, TERMS, BEGINS, metrics, Rounds(1))
    assert {metrics.known("job_done_at", job.name) for job in JOBS} == {at.timestamp()}


# A fault


async def test_a_login_that_is_refused_for_a_moment_only_puts_the_jobs_off(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "AGAIN_SECONDS", SOON_SECONDS)
    monkeypatch.setattr(daily, "LOOK_SECONDS", SOON_SECONDS)
    looks = Rounds(3, at_first=Misconfigured("the mailbox: login refused"))
    await reached(looks, daily.keep_jobs(register, TERMS, BEGINS, asyncio.Event(), Metrics(), looks))
    async with register.read() as tx:
        assert {run.job for run in await watching.job_runs(tx)} == {job.name for job in JOBS}


async def test_a_look_around_that_fails_is_not_the_last(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "SLOW_SECONDS", SOON_SECONDS)
    looks = Rounds(2, at_first=ValueError("a fault of ours"))
    monkeypatch.setattr(Watch, "look_around", looks)
    await reached(looks, at_work(house).watch.keep())


@pytest.mark.parametrize("error", [Misconfigured("may not"), ValueError("a fault of ours")], ids=["wrong", "fault"])
async def test_a_worker_that_could_not_hold_its_lock_has_it_again(
    register: Register, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(presence, "ROUND_SECONDS", SOON_SECONDS)
    confirmed = Rounds(2, at_first=error)
    monkeypatch.setattr(Hold, "confirm", confirmed)
    async with present(register, "me", lambda: NOW), asyncio.timeout(PATIENCE_SECONDS):
        await confirmed.enough.wait()
        async with register.alone(WORKER, of="me", for_ever=False) as gone:
            assert not gone


async def test_what_ends_early_stops_the_service_which_is_to_be_started_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, others = asyncio.Event(), Rounds(1)

    async def fails() -> None:
        raise Misconfigured("in the middle of the work")  # which would keep systemd from starting it again

    async def lasts() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await others()

    with pytest.raises(Unavailable, match="ended early"):
        async with asyncio.timeout(PATIENCE_SECONDS), beside([fails(), lasts()], stop):
            await stop.wait()
    assert others.enough.is_set(), "cancelled, and waited for"
    assert [record.message for record in caplog.records] == ["ended-early"]


async def test_what_ends_with_the_service_ended_not_early(caplog: pytest.LogCaptureFixture) -> None:
    async def told_to_nobody() -> None:
        """As `keep_told` without a service manager."""

    stop = asyncio.Event()
    async with beside([told_to_nobody(), asyncio.sleep(NEVER_SECONDS)], stop):
        await asyncio.sleep(SOON_SECONDS)
    assert not stop.is_set()
    assert not caplog.records


# A stop


async def stopped(door: MailDoor, work: Any, after: asyncio.Event) -> float:
    """Work, and a stop once `after` is set; how many seconds it then took."""
    stop = asyncio.Event()
    running = asyncio.create_task(app._until_stopped(door, work(stop), stop, SOON_SECONDS))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await after.wait()
        stop.set()
        begun = asyncio.get_running_loop().time()
        assert await running is None
    return asyncio.get_running_loop().time() - begun


def hanging(begun: asyncio.Event, *, deaf: bool = False) -> Callable[[object], Any]:
    """A turn that lasts for ever; `deaf` for a while to a cancellation, as a COMMIT that hangs is."""

    async def hang(_: object) -> Progress:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if deaf:
                await asyncio.sleep(DEAF_SECONDS)
        raise AssertionError("it was not cancelled")

    return hang


async def test_a_receipt_under_way_does_not_hold_up_a_stop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "CUT_OFF_SECONDS_MAX", NEVER_SECONDS)
    door = house.door(pace=replace(PACE, late=PACE.late * 0))
    stages = Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)
    acknowledging, receiving = asyncio.Event(), asyncio.Event()
    stages.acknowledge.turn, stages.receive.turn = hanging(acknowledging), hanging(receiving)
    await stopped(door, stages.drain, acknowledging)


async def test_a_commit_that_hangs_does_not_hold_up_a_stop(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "CUT_OFF_SECONDS_MAX", SOON_SECONDS)
    begun, giving = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(app, "let_go", hanging(giving, deaf=True))
    assert await stopped(house.door(), hanging(begun, deaf=True), begun) < DEAF_SECONDS
    assert giving.is_set()
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.WARNING, "not-given-back")]
