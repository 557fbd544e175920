"""The job that fetches revocation data, at work: woken each minute, and before a batch."""

import asyncio
import contextlib
import logging
from dataclasses import replace
from datetime import timedelta

from mailflow.app.apart import apart
from mailflow.app.parts import now, trust_files
from mailflow.errors import MailflowError
from mailflow.log import event, fault
from mailflow.mail.refreshing import Refresher, RefreshTerms
from mailflow.mail.trust.sources import Admitted
from mailflow.register import Register
from mailflow.settings import Settings

SECONDS_MAX = 300.0
"""How long one round may take: however many sources are silent, a batch begins."""
AGAIN_SECONDS = 120.0
"""Until who is due is asked though nobody woke us: a clock that was put back does so late."""

log = logging.getLogger(__name__)


def refresher_of(settings: Settings, register: Register) -> Refresher:
    """Who fetches, as the settings say."""
    told = settings.revocation
    return Refresher(
        register=register,
        trust=replace(trust_files(settings, register), keys=None),  # nothing is opened or signed here
        terms=RefreshTerms(
            admitted=Admitted(urls=told.urls, hosts=frozenset(told.hosts)),
            every=timedelta(minutes=told.every_minutes),
            bytes_max=told.bytes_max,
            seconds_max=told.seconds_max,
        ),
        clock=now,
    )


async def refresh_now(refresher: Refresher) -> None:
    """Ask who is due, in a bounded time. What fails is logged, and tried again the next time."""
    task = await apart(refresher.refresh(), SECONDS_MAX)
    error = task.exception() if task.done() and not task.cancelled() else None
    if isinstance(error, MailflowError):
        event(log, "unavailable", level=logging.WARNING, work="revocation")
    elif error is not None:
        fault(log, "refresh-failed", error)


async def keep_fresh(refresher: Refresher, wake: asyncio.Event) -> None:
    """Ask who is due now, each time that `wake` is set, and at the latest after AGAIN_SECONDS; until cancelled."""
    while True:
        wake.clear()
        await refresh_now(refresher)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), AGAIN_SECONDS)
