"""Who watches over the service: a worker beside its work, a batch at its end, `mailflow watch` without any of them."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

from mailflow.app.attendance import TELL_SECONDS_MAX, Attendance, RegisterAway
from mailflow.app.disks import disk_use
from mailflow.app.parts import now, register_of
from mailflow.app.status import Watch, all_expiries
from mailflow.app.telling import tellers
from mailflow.core.alerting import WorkerSign
from mailflow.errors import Unavailable
from mailflow.jobs.daily import JOBS
from mailflow.ops.alarms import Alarm, catalogue
from mailflow.ops.beats import State, written
from mailflow.ops.messages import trial
from mailflow.ops.metrics import Metrics
from mailflow.ops.snapshot import Expiry
from mailflow.register import Register
from mailflow.settings import Settings

MEMORY = "register-away.json"
TOLD = "told"


def host_name() -> str:
    """By which operators know the machine."""
    return socket.gethostname()


def sign_of(owner: str, watch: Watch, metrics: Metrics, begun_at: datetime) -> Callable[[datetime], WorkerSign]:
    """How this worker says that it lives, and how it fares."""
    box = watch.settings.mailbox

    def sign(at: datetime) -> WorkerSign:
        emptied = metrics.known("mailbox_emptied_at")
        receives = metrics.known("lock_held", "receive")
        state = State(
            stages=watch.stages(),
            mailbox=f"{box.account} {box.folder}",
            receives=None if receives is None else bool(receives),
            quotas=watch.around.quotas,
            disk_used=watch.around.disk_used,
        )
        return WorkerSign(
            owner=owner,
            host=host_name(),
            begun_at=begun_at,
            beaten_at=at,
            emptied_at=None if emptied is None else datetime.fromtimestamp(emptied, at.tzinfo),
            state=written(state),
        )

    return sign


@contextlib.asynccontextmanager
async def worker_watch(settings: Settings, owner: str, watch: Watch, metrics: Metrics) -> AsyncIterator[Attendance]:
    """That of a worker, who does the jobs of the day too. Raises Misconfigured."""
    async with tellers(settings, now) as known:

        async def expiries(register: Register) -> tuple[Expiry, ...]:
            return watch.around.expiries or await all_expiries(settings, register)

        yield Attendance(
            settings=settings,
            host=host_name(),
            tellers=known,
            clock=now,
            expiries=expiries,
            disk_used=lambda: watch.around.disk_used,
            sign=sign_of(owner, watch, metrics, now()),
            jobs=[job.name for job in JOBS],
        )


async def watch_once(settings: Settings) -> bool:
    """One round by whoever is no worker; whether all was told that was due. Raises Misconfigured.

    Who has no folder to remember in, as by cron, tells of a register that cannot be read at once, and every time.
    """
    folder = os.environ.get("RUNTIME_DIRECTORY")
    lasting = catalogue()[Alarm.REGISTER_UNREADABLE].lasting
    async with tellers(settings, now) as known:
        attendance = Attendance(
            settings=settings,
            host=host_name(),
            tellers=known,
            clock=now,
            expiries=lambda register: all_expiries(settings, register),
            disk_used=lambda: disk_use(settings),
            away=RegisterAway.remembered(Path(folder) / MEMORY) if folder else RegisterAway(since=now() - lasting),
        )
        return await attendance.timed_round(lambda: register_of(settings))


async def try_channels(settings: Settings) -> dict[str, str]:
    """Send everybody a trial; by channel what came of it: `told`, or why not. Raises Misconfigured."""
    ends: dict[str, str] = {}
    what = trial(environment=settings.environment.value, host=host_name(), at=now())
    async with tellers(settings, now) as known:
        for channel, tell in known.tell.items():
            ends[channel.value] = await _end_of(tell(what))
        if known.ping is not None:
            ends["ping"] = await _end_of(known.ping())
    return ends


async def _end_of(telling: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(TELL_SECONDS_MAX):
            await telling
    except (Unavailable, TimeoutError) as error:
        return str(error) or "no answer in time"
    return TOLD
