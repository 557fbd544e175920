"""The watch over the service, in rounds: by each worker beside its work, and by `mailflow watch` without any.

Whoever has the lock judges all that the register knows, also what other workers told of themselves, and tells
operators. Nothing of it can disturb the work: a round has its time, and what it meets is logged.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from mailflow.app.apart import apart
from mailflow.app.telling import Tellers
from mailflow.core import backoff
from mailflow.core.alerting import Channel, DueNotice, Occasion, WorkerSign
from mailflow.errors import MailflowError, Unavailable
from mailflow.log import event, fault
from mailflow.mail.kinds import ANSWER
from mailflow.ops.alarms import Alarm, Found, catalogue
from mailflow.ops.attending import Outlooks, read_facts, settle
from mailflow.ops.beats import replaced
from mailflow.ops.course import Telling
from mailflow.ops.messages import Message, Told, message, told
from mailflow.ops.snapshot import Expiry
from mailflow.register import Register, alarms, watching
from mailflow.settings import Settings

ROUND_SECONDS = 60.0
ROUND_SECONDS_MAX = 300.0
TELL_SECONDS_MAX = 120.0
AGAIN_FIRST = timedelta(minutes=1)
AGAIN_MOST = timedelta(minutes=30)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RegisterAway:
    """What is told when the register cannot be read, and so cannot remember what was told. `memory` is a file."""

    memory: Path | None = None
    since: datetime | None = None
    told: dict[Channel, datetime] = field(default_factory=dict)

    @classmethod
    def remembered(cls, memory: Path | None) -> Self:
        """As the last process left it."""
        away = cls(memory)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
            away.told = {Channel(name): datetime.fromisoformat(at) for name, at in kept["told"].items()}
            away.since = datetime.fromisoformat(kept["since"])
        return away

    def due(self, telling: Telling, at: datetime) -> list[Channel]:
        """Whom to tell at this time."""
        self.since = self.since or at
        lasted = at - self.since
        reached = telling.channels if lasted >= telling.escalate else telling.channels - {Channel.SECOND}
        return sorted(
            channel
            for channel in reached
            if lasted >= catalogue()[Alarm.REGISTER_UNREADABLE].lasting
            and at - self.told.get(channel, at - telling.remind) >= telling.remind
        )

    def keep(self) -> None:
        """For the next process."""
        with contextlib.suppress(OSError):
            if self.memory and self.since:
                heard = {channel.value: at.isoformat() for channel, at in self.told.items()}
                kept = {"since": self.since.isoformat(), "told": heard}
                self.memory.write_text(json.dumps(kept), encoding="utf-8")
            elif self.memory:
                self.memory.unlink(missing_ok=True)


@dataclass(slots=True, kw_only=True)
class Attendance:
    """One process that watches."""

    settings: Settings
    host: str
    tellers: Tellers
    clock: Callable[[], datetime]
    expiries: Callable[[Register], Awaitable[tuple[Expiry, ...]]]
    """What runs out, of what the settings name."""
    disk_used: Callable[[], float | None]
    sign: Callable[[datetime], WorkerSign] | None = None
    """Our own sign of life; None for who is no worker."""
    jobs: Sequence[str] = ()
    """Those that this process does every day."""
    away: RegisterAway = field(default_factory=RegisterAway)

    @property
    def telling(self) -> Telling:
        """As the settings say."""
        alerts = self.settings.alerts
        return Telling(
            channels=frozenset(self.tellers.tell),
            remind=timedelta(hours=alerts.reminder_hours),
            escalate=timedelta(minutes=alerts.escalation_minutes),
        )

    @property
    def silence(self) -> timedelta:
        """After which a worker is taken for dead."""
        return timedelta(minutes=self.settings.alerts.silent_minutes)

    async def keep(self, register: Register, *, at_once: bool = True) -> None:
        """Round after round, until cancelled."""
        if not at_once:
            await asyncio.sleep(ROUND_SECONDS)
        while True:
            await self.guarded(lambda: contextlib.nullcontext(register))
            await asyncio.sleep(ROUND_SECONDS)

    async def guarded(self, opened: Callable[[], AbstractAsyncContextManager[Register]]) -> bool:
        """A round in its time, whatever happens in it; whether all was told that was due."""
        task = await apart(self.timed_round(opened))
        error = task.exception()
        if error is not None:
            fault(log, "watch-failed", error)
            return False
        return task.result()

    async def timed_round(self, opened: Callable[[], AbstractAsyncContextManager[Register]]) -> bool:
        """A round; one that hangs tells what a register tells that cannot be read, since that is what it hangs at."""
        begun = self.clock()
        task = await apart(self.round(opened), ROUND_SECONDS_MAX)
        if task.done() and not task.cancelled():
            return task.result()
        event(log, "watch-hangs", level=logging.ERROR)
        self.away.since = self.away.since or begun
        return await self._register_is_away(self.clock())

    async def round(self, opened: Callable[[], AbstractAsyncContextManager[Register]]) -> bool:
        """Look, keep, tell; then say elsewhere that this was done. Whether all was told that was due."""
        at = self.clock()
        try:
            async with opened() as register:
                watched, all_told = await self._attend(register, at)
        except Unavailable:
            return await self._register_is_away(at)
        all_told &= await self._register_is_back(at)
        if watched and all_told and self.tellers.ping is not None:
            try:
                await self.tellers.ping()
            except MailflowError:
                event(log, "ping-unheard", level=logging.WARNING)
        return all_told

    async def _attend(self, register: Register, at: datetime) -> tuple[bool, bool]:
        """Whether it was our turn to watch, and whether all was told that was due. Raises Unavailable."""
        if self.sign is not None:
            sign = self.sign(at)
            async with register.begin() as tx:
                former = replaced(await watching.signs(tx), sign, silent_since=at - self.silence)
                await watching.beat(tx, sign, former=former)
                await watching.expect_jobs(tx, self.jobs, at)
        expiries, disk_used = await self.expiries(register), await asyncio.to_thread(self.disk_used)
        async with register.alone("alarms") as ours:
            if not ours:
                return False, True
            service = self.settings.service
            async with register.read() as tx:
                facts = await read_facts(
                    tx,
                    Outlooks(
                        kind=ANSWER,
                        deadline=timedelta(hours=service.deadline_hours),
                        percents=service.warning_percents,
                    ),
                    at,
                    silence=self.silence,
                    expiries=expiries,
                    disks={} if disk_used is None else {self.host: disk_used},
                )
            due = await settle(register, facts, self.telling)
            return True, await self._tell(register, due, at)

    async def _tell(self, register: Register, due: Sequence[DueNotice], at: datetime) -> bool:
        """Tell each channel all that it is due, at once; keep how that ended. Raises Unavailable."""
        if not due:
            return True
        by_channel = {
            channel: [one for one in due if one.notice.channel is channel]
            for channel in sorted({one.notice.channel for one in due})
        }
        ends = await self._say({channel: told(things) for channel, things in by_channel.items()}, at)
        async with register.begin() as tx:
            for channel, things in by_channel.items():
                notices = [one.notice for one in things]
                if ends[channel]:
                    await alarms.told(tx, notices, at)
                else:
                    attempt = 1 + max(one.attempts for one in things)
                    await alarms.put_off(tx, notices, at + _pause(attempt))
        return all(ends.values())

    async def _say(self, things: dict[Channel, list[Told]], at: datetime) -> dict[Channel, bool]:
        """Whether each channel took what it was told. No channel waits for, or fails with, another."""
        channels = list(things)
        said = (
            self._within_its_time(
                channel,
                message(things[channel], environment=self.settings.environment.value, host=self.host, at=at),
            )
            for channel in channels
        )
        ends = await asyncio.gather(*said, return_exceptions=True)
        for channel, end in zip(channels, ends, strict=True):
            if end is None:
                event(log, "alarms-told", channel=channel.value, number=len(things[channel]))
            elif isinstance(end, MailflowError | TimeoutError):
                event(log, "alarm-not-told", level=logging.ERROR, channel=channel.value)
            else:
                fault(log, "alarm-not-told", end, channel=channel.value)
        return {channel: end is None for channel, end in zip(channels, ends, strict=True)}

    async def _within_its_time(self, channel: Channel, what: Message) -> None:
        async with asyncio.timeout(TELL_SECONDS_MAX):
            await self.tellers.tell[channel](what)

    # Without a register

    async def _register_is_away(self, at: datetime) -> bool:
        event(log, "unavailable", level=logging.WARNING, work="watch")
        channels = self.away.due(self.telling, at)
        assert self.away.since is not None
        occasion = Occasion.REMINDER if self.away.told else Occasion.RAISED
        await self._tell_of_register(channels, occasion, at)
        self.away.keep()
        return False

    async def _register_is_back(self, at: datetime) -> bool:
        if self.away.since is None:
            return True
        known = [channel for channel in sorted(self.away.told) if channel in self.tellers.tell]
        ends = await self._tell_of_register(known, Occasion.CLEARED, at)
        self.away.since = None
        self.away.told.clear()
        self.away.keep()
        return all(ends.values())

    async def _tell_of_register(
        self, channels: Sequence[Channel], occasion: Occasion, at: datetime
    ) -> dict[Channel, bool]:
        found = Found(alarm=Alarm.REGISTER_UNREADABLE)
        until = at if occasion is Occasion.CLEARED else None
        said = Told(occasion=occasion, found=found, since=self.away.since or at, until=until)
        ends = await self._say({channel: [said] for channel in channels}, at)
        self.away.told |= {channel: at for channel, heard in ends.items() if heard}
        return ends


def _pause(attempt: int) -> timedelta:
    seconds = backoff.delay(
        attempt, first=AGAIN_FIRST.total_seconds(), most=AGAIN_MOST.total_seconds(), spread=0, jitter=0
    )
    return timedelta(seconds=seconds)
