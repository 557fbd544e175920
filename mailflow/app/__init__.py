"""Composition root: the only place where settings become parts, and where they are joined and set to work."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler

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
    register_of,
    trust_files,
)
from mailflow.mail.door import MailDoor
from mailflow.mail.stages import Drained, Stages
from mailflow.settings import Settings

__all__ = [
    "check_audit",
    "check_mailbox",
    "check_smtp",
    "judge_of",
    "mail_door",
    "make_composer",
    "make_judge",
    "migrate",
    "now",
    "register_of",
    "run",
    "run_once",
    "stages_of",
    "trust_files",
]

PAUSE_SECONDS = 5.0
"""How often an idle stage looks for work that nobody woke it for."""


def stages_of(door: MailDoor, settings: Settings) -> Stages:
    """The stages of this door at the pace of the settings."""
    return Stages(door, poll_seconds=settings.mailbox.poll_seconds, pause_seconds=PAUSE_SECONDS)


async def run_once(settings: Settings) -> Drained:
    """One batch, for cron: what is in the mailbox now, through to the answer."""
    async with register_of(settings) as register, mail_door(settings, register) as door:
        return await stages_of(door, settings).drain()


async def run(settings: Settings, *, started: Callable[[], None] = lambda: None) -> None:
    """The service, until SIGTERM or SIGINT; then what is under way is finished, within `worker.stop_seconds`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with register_of(settings) as register, mail_door(settings, register) as door:
        stages = stages_of(door, settings)
        scheduler = _scheduler(stages)
        try:
            work = asyncio.create_task(stages.run(settings.mailbox.idle_seconds, stop))
            started()
            await _until_stopped(work, stop, settings.worker.stop_seconds)
        finally:
            scheduler.shutdown(wait=False)


async def _until_stopped(work: asyncio.Task[None], stop: asyncio.Event, stop_seconds: float) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        await asyncio.wait({work}, timeout=stop_seconds)
        work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


def _scheduler(stages: Stages) -> AsyncIOScheduler:
    """Jobs only wake stages: a run that is missed or comes late loses nothing."""
    scheduler = AsyncIOScheduler(
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}, timezone=UTC
    )

    async def wake(event: asyncio.Event) -> None:
        event.set()

    for stage in (stages.receive, stages.process, stages.compose, stages.deliver, stages.doubtful):
        seconds = stage.interval_seconds
        scheduler.add_job(wake, "interval", args=[stage.wake], seconds=seconds, id=stage.name)
    scheduler.start()
    return scheduler
