"""Composition root: the only place where settings become parts, and where they are joined and set to work."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
from collections.abc import Coroutine
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from mailflow import __version__
from mailflow.app.canary import canary_keys, canary_of
from mailflow.app.daily import SEAL_AT_END_SECONDS, catch_up, job_terms, keep_jobs, keep_sealed, run_job, seal_now
from mailflow.app.keys import key_files, make_notary
from mailflow.app.parts import (
    check_audit,
    check_mailbox,
    check_smtp,
    judge_of,
    mail_door,
    make_composer,
    make_judge,
    migrate,
    now,
    open_vault,
    register_of,
    trails_of,
    trust_files,
)
from mailflow.app.reconciling import Ledger, ledger_of
from mailflow.app.reviewing import archive_of, shadow_of, tell_case
from mailflow.app.revocation import keep_fresh, refresh_now, refresher_of
from mailflow.app.status import Watch, all_expiries, list_files, status_served
from mailflow.app.supervision import ServiceManager, beside, keep_told
from mailflow.app.telling import tellers
from mailflow.app.tracing import traced
from mailflow.app.watches import TOLD, try_channels, watch_once, worker_watch
from mailflow.core.calendar import PARIS
from mailflow.errors import Misconfigured
from mailflow.log import event
from mailflow.mail.door import MailDoor, let_go
from mailflow.mail.stages import Drained, Stages
from mailflow.ops.metrics import Metrics
from mailflow.register import Taken
from mailflow.settings import Settings

__all__ = [
    "TOLD",
    "Ledger",
    "all_expiries",
    "archive_of",
    "canary_keys",
    "check_audit",
    "check_mailbox",
    "check_smtp",
    "drain",
    "job_terms",
    "judge_of",
    "key_files",
    "ledger_of",
    "list_files",
    "mail_door",
    "make_composer",
    "make_judge",
    "make_notary",
    "migrate",
    "now",
    "open_vault",
    "refresher_of",
    "register_of",
    "run",
    "run_job",
    "run_once",
    "send_canary",
    "shadow_of",
    "tell_case",
    "tellers",
    "trails_of",
    "trust_files",
    "try_channels",
    "watch_once",
]

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

T = TypeVar("T")

PAUSE_SECONDS = 5.0
"""How often an idle stage looks for work that nobody woke it for."""
CUT_OFF_SECONDS_MAX = 3.0
"""How long a stop waits for what was cut off to end, and then for what is held to be given back: a COMMIT may hang."""

log = logging.getLogger(__name__)


def stages_of(door: MailDoor, settings: Settings) -> Stages:
    """The stages of this door at the pace of the settings."""
    return Stages(door, poll_seconds=settings.mailbox.poll_seconds, pause_seconds=PAUSE_SECONDS)


async def run_once(settings: Settings) -> Drained:
    """One batch, for cron: what is in the mailbox now, through to the answer. SIGTERM ends it early."""
    metrics = Metrics()
    async with (
        traced(settings, metrics) as meter,
        register_of(settings, meter) as register,
        mail_door(settings, register, meter) as door,
    ):
        stages = stages_of(door, settings)
        watch = Watch(settings=settings, register=register, work=stages)
        async with worker_watch(settings, door.owner, watch, metrics) as attendance:
            await refresh_now(refresher_of(settings, register))  # first: mails are judged by what is known then
            if bird := canary_of(settings, door, now):
                await bird.guarded()
            lasting = asyncio.create_task(attendance.keep(register, at_once=False))  # a long batch lives, too
            try:
                drained = await _drained(door, stages, settings)
                if "stopped" not in drained.unavailable:
                    with contextlib.suppress(Taken):
                        await catch_up(register, job_terms(settings), settings.jobs.at, metrics, door.is_whole)
                    await seal_now(register, job_terms(settings))
            finally:
                lasting.cancel()
                await asyncio.wait({lasting})
            await watch.look_around()
            await attendance.guarded(lambda: contextlib.nullcontext(register))
        return drained


async def send_canary(settings: Settings) -> bool:
    """Send a canary request now; False when one is on its way, or none was taken. Raises Misconfigured, Unavailable."""
    async with register_of(settings) as register, mail_door(settings, register) as door:
        bird = canary_of(settings, door, now)
        if bird is None:
            raise Misconfigured("canary.key_file: there is no canary; see OPERATING")
        return await bird.step(at_once=True)


async def drain(door: MailDoor, settings: Settings) -> Drained:
    """One batch through this door, until nothing is left or a signal says stop."""
    return await _drained(door, stages_of(door, settings), settings)


async def _drained(door: MailDoor, stages: Stages, settings: Settings) -> Drained:
    stop = _stop_signal()
    drained = await _until_stopped(door, stages.drain(stop), stop, settings.worker.stop_seconds)
    return drained or Drained(progress=stages.progress, unavailable=("stopped",))


async def run(settings: Settings) -> None:
    """The service, until SIGTERM or SIGINT."""
    faulthandler.enable()  # where it hung, when the watchdog ends it (SIGABRT): modules and lines, no values
    manager, metrics = ServiceManager.of(os.environ), Metrics()
    async with contextlib.AsyncExitStack() as parts:
        meter = await parts.enter_async_context(traced(settings, metrics))
        register = await parts.enter_async_context(register_of(settings, meter))
        door = await parts.enter_async_context(mail_door(settings, register, meter))
        stages, stop, day, minute = stages_of(door, settings), _stop_signal(), asyncio.Event(), asyncio.Event()
        watch = Watch(settings=settings, register=register, work=stages)
        await parts.enter_async_context(status_served(watch, metrics))
        attendance = await parts.enter_async_context(worker_watch(settings, door.owner, watch, metrics))
        bird = canary_of(settings, door, now)
        scheduler = _scheduler(stages, settings.jobs.at, day, minute)
        event(log, "started", version=__version__, pid=os.getpid())
        works = (
            keep_jobs(register, job_terms(settings), settings.jobs.at, day, metrics, door.is_whole),
            keep_sealed(register, job_terms(settings)),
            keep_fresh(refresher_of(settings, register), minute),
            keep_told(manager, stages, stop, settings.worker.turn_seconds_max),
            watch.keep(),
            attendance.keep(register),
            *([bird.keep()] if bird else []),
        )
        try:
            async with beside(works, stop):
                work = stages.run(settings.mailbox.idle_seconds, stop)
                await _until_stopped(door, work, stop, settings.worker.stop_seconds)
        finally:
            scheduler.shutdown(wait=False)
            await seal_now(register, job_terms(settings), SEAL_AT_END_SECONDS)
        event(log, "stopped", pid=os.getpid())


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    return stop


async def _until_stopped(
    door: MailDoor, work: Coroutine[Any, Any, T], stop: asyncio.Event, stop_seconds: float
) -> T | None:
    """Let `work` finish, which after `stop` it must within `stop_seconds`; None when it did not.

    Whatever is then still held is given back.
    """
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    try:
        if not task.done():
            await asyncio.wait({task}, timeout=stop_seconds)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=CUT_OFF_SECONDS_MAX)
        return None
    finally:
        await _give_back(door)


async def _give_back(door: MailDoor) -> None:
    giving = asyncio.create_task(let_go(door))
    await asyncio.wait({giving}, timeout=CUT_OFF_SECONDS_MAX)
    if giving.done():
        giving.result()
    else:
        giving.cancel()
        event(log, "not-given-back", level=logging.WARNING)  # others have it once its lease has run out


def _scheduler(stages: Stages, daily_at: str, day: asyncio.Event, minute: asyncio.Event) -> "AsyncIOScheduler":
    """It only wakes: the stages, each minute who fetches revocation data, once a day the jobs.

    What is missed or comes late loses nothing.
    """
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # for the service: a batch and the commands need none

    scheduler = AsyncIOScheduler(
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}, timezone=UTC
    )

    async def wake(event: asyncio.Event) -> None:
        event.set()

    for stage in (stages.receive, stages.process, stages.compose, stages.deliver, stages.doubtful):
        seconds = stage.interval_seconds
        scheduler.add_job(wake, "interval", args=[stage.wake], seconds=seconds, id=stage.name)
    scheduler.add_job(wake, "interval", args=[minute], minutes=1, id="revocation")
    hour, of_hour = daily_at.split(":")
    scheduler.add_job(wake, "cron", args=[day], hour=hour, minute=of_hour, timezone=PARIS, id="day")
    scheduler.start()
    return scheduler
