"""The stages as loops: each works until there is nothing left, then waits to be woken or for its interval.

A stage that got something done wakes the next; IDLE and the scheduler only wake as well. So no wake-up is ever
needed for correctness, and none that is lost does harm. While the surroundings fail, a stage backs off.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from mailflow.core import backoff
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.log import event, fault
from mailflow.mail import composing, delivery, late, worker
from mailflow.mail.deciding import ClockBehind
from mailflow.mail.door import MailDoor, Progress, take_over
from mailflow.register import Taken, queues
from mailflow.register.transaction import TAKEN_SECONDS

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 60.0
FAILURES_MAX = 3
"""How often in a row a stage of a single batch finds its surroundings unavailable before it gives up."""
TAKE_OVER_SECONDS = 1.0
"""How often a worker looks for others that have died."""
STEP_SECONDS_MAX = 1.0
"""Longest sleep of a stage that has something to wait for in a single batch."""

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Stage:
    """One of the stages, with what wakes it."""

    name: str
    turn: Callable[[MailDoor], Awaitable[Progress]]
    interval_seconds: float
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    resting: asyncio.Event = field(default_factory=asyncio.Event)
    """It found nothing in its last turn and waits."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Of a single batch: this stage will find nothing more."""
    failures: int = 0
    """Turns in a row that found the surroundings unavailable."""
    by_clock: bool = False
    """The last of them: mails that wait until a clock is set, and nothing that stands in the way of others."""
    taken: bool = False
    """In its last turn another worker was at it."""
    worked: bool = False
    """It has once been through a turn."""
    since: float | None = None
    """When the present turn began, by the clock of the event loop."""

    @property
    def tried(self) -> bool:
        """A turn has come to an end, or is to be tried again."""
        return self.worked or self.failures > 0

    @property
    def pause_seconds(self) -> float:
        """Until it looks though nobody woke it."""
        return min(TAKEN_SECONDS, self.interval_seconds) if self.taken else self.interval_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a single batch came to."""

    progress: Progress
    unavailable: tuple[str, ...]
    """Stages that gave up because their surroundings were unavailable, or a fault of ours came again and again."""
    waiting: int = 0
    """Mails, in or out, that work is left for and nobody is at: put off, perhaps sent, left by a stage above, or in the
    mailbox because its server cannot read or move them."""


class Stages:
    """The mail door at work, until it is stopped (`run`) or until nothing is left to do (`drain`)."""

    def __init__(self, door: MailDoor, *, poll_seconds: float, pause_seconds: float) -> None:
        self._door = door
        self.progress = Progress()
        self.receive = Stage(name="receive", turn=worker.receive, interval_seconds=poll_seconds)
        self.process = Stage(name="process", turn=worker.process, interval_seconds=pause_seconds)
        self.compose = Stage(name="compose", turn=composing.compose, interval_seconds=pause_seconds)
        self.deliver = Stage(name="deliver", turn=delivery.deliver, interval_seconds=pause_seconds)
        self.doubtful = Stage(name="doubtful", turn=delivery.settle_doubtful, interval_seconds=poll_seconds)
        self.acknowledge = Stage(name="acknowledge", turn=late.acknowledge, interval_seconds=poll_seconds)
        self.take_over = Stage(name="take-over", turn=take_over, interval_seconds=TAKE_OVER_SECONDS)
        self._line = (self.receive, self.process, self.compose, self.deliver)
        self.all = (*self._line, self.doubtful, self.acknowledge, self.take_over)

    async def run(self, idle_seconds: float, stop: asyncio.Event) -> None:
        """Work until `stop`; then each stage finishes its turn. While nothing is to be received, IDLE listens."""
        watch = asyncio.create_task(self._watch(idle_seconds))
        try:
            await _together(
                (
                    *(self._keep(s, stop) for s in (*self._line, self.doubtful, self.take_over)),
                    self._keep_acknowledging(stop),
                )
            )
        finally:
            watch.cancel()

    async def drain(self, stop: asyncio.Event) -> Drained:
        """One batch: what is in the mailbox now, through to the answer; or until `stop`."""
        await self._finish(self.take_over, None, stop)
        over = asyncio.Event()
        lasting = asyncio.create_task(self._keep_acknowledging(over))
        try:
            pairs = [(None, self.doubtful), *zip((None, *self._line), self._line, strict=False)]
            await _together(self._finish(stage, before, stop) for before, stage in pairs)
        except asyncio.CancelledError:
            lasting.cancel()  # it may be in a turn that lasts longer than whoever stops us would wait
            raise
        finally:
            over.set()
            await lasting
        await self._take_what_is_free(stop)
        await self._acknowledge_what_is_left(stop)
        left = await self._take_what_is_free(stop)
        stuck = tuple(s.name for s in self.all if s.failures)
        troubled = 0 if stuck else await self._troubled()
        return Drained(progress=self.progress, unavailable=stuck, waiting=left.due + left.later + troubled)

    async def _take_what_is_free(self, stop: asyncio.Event) -> queues.Left:
        """Another worker may have received or decided meanwhile what nobody is at by now. What is left after that."""
        in_vain = 0
        while (left := await self._left()).due and in_vain < FAILURES_MAX:
            if stop.is_set() or any(s.failures for s in self.all):
                break
            before = self.progress
            for stage in (self.process, self.compose, self.deliver):
                await self._finish(stage, None, stop)
            in_vain = 0 if self.progress != before else in_vain + 1
        return left

    async def _left(self) -> queues.Left:
        """Nothing when the register is away, which a stage has told."""
        with contextlib.suppress(Unavailable):
            async with self._door.register.read() as tx:
                return await queues.left(tx, self._door.owner, self._door.clock())
        return queues.Left(due=0, later=0)

    async def _troubled(self) -> int:
        """Mails that lie in the mailbox and cannot be read or moved, as far as it can be told."""
        with contextlib.suppress(Unavailable, Misconfigured):
            return (await self._door.mailbox.list()).troubled
        return 0

    async def _keep_acknowledging(self, stop: asyncio.Event) -> None:
        """Only once we have worked for as long as a mail may wait: after a stop, most are answered before that."""
        await _first(stop.wait(), seconds=self._door.pace.late.total_seconds())
        await self._keep(self.acknowledge, stop)

    async def _acknowledge_what_is_left(self, stop: asyncio.Event) -> None:
        await self._finish(self.acknowledge, None, stop)
        if self.progress.late:
            await self._finish(self.compose, None, stop)
            await self._finish(self.deliver, None, stop)

    async def _keep(self, stage: Stage, stop: asyncio.Event) -> None:
        while not stop.is_set():
            stage.wake.clear()
            if await self._turn(stage):
                continue
            if stage.failures:
                wakes = (stage.wake.wait(),) if stage.by_clock else ()  # others are not to wait as well
                await _first(stop.wait(), *wakes, seconds=_pause(stage.failures))
            else:
                stage.resting.set()
                await _first(stop.wait(), stage.wake.wait(), seconds=stage.pause_seconds)
                stage.resting.clear()

    def _only_decisions_fail(self) -> bool:
        """Then mails are left where they are. What fails in receiving itself is tried and told by receiving."""
        return self.process.failures >= FAILURES_MAX and not (self.process.by_clock or self.receive.failures)

    async def _finish(self, stage: Stage, before: Stage | None, stop: asyncio.Event) -> None:
        while not stop.is_set():
            stage.wake.clear()
            nothing_comes = before is None or before.done.is_set()
            progress = await self._turn(stage)
            # While more may come, mails that wait until a clock is set do not end the work on the others.
            fails = stage.failures if nothing_comes or not stage.by_clock else 0
            if fails >= FAILURES_MAX:
                break
            if fails:
                await _first(stop.wait(), seconds=_pause(stage.failures))
            elif not progress and nothing_comes:
                break
            elif not progress and before is not None:
                await _first(stop.wait(), stage.wake.wait(), before.done.wait(), seconds=STEP_SECONDS_MAX)
        stage.done.set()

    def hanging(self, seconds: float) -> tuple[str, ...]:
        """The stages whose present turn is longer than any can rightly be."""
        now = asyncio.get_running_loop().time()
        return tuple(stage.name for stage in self.all if stage.since is not None and now - stage.since > seconds)

    async def _turn(self, stage: Stage) -> Progress:
        if stage is self.receive and self._only_decisions_fail():
            event(log, "left-in-mailbox", level=logging.WARNING, unavailable=self.process.name)
            return Progress()
        stage.since = asyncio.get_running_loop().time()
        try:
            progress = await self._measured(stage)
        except (Unavailable, Misconfigured) as error:
            if isinstance(error, Misconfigured) and not stage.worked:
                raise
            # What once worked is not called wrong for good: a secret may just be in rotation.
            stage.failures += 1
            stage.by_clock = isinstance(error, ClockBehind)
            level = logging.WARNING
            event(log, "unavailable", level=level, work=stage.name, failures=stage.failures, why=_word(error))
            return Progress()
        except Exception as error:  # noqa: BLE001  a fault of ours in one turn ends neither this stage nor the others
            stage.failures += 1
            stage.by_clock = False
            fault(log, "turn-failed", error, work=stage.name, failures=stage.failures)
            return Progress()
        finally:
            stage.since = None
        stage.failures = 0
        stage.worked = True
        self.progress += progress
        if progress:
            for before, after in zip(self._line, self._line[1:], strict=False):
                if before is stage:
                    after.wake.set()
            if stage is self.acknowledge:
                self.compose.wake.set()
            if stage is self.take_over:
                for one in (self.process, self.compose, self.deliver, self.doubtful):
                    one.wake.set()
        return progress

    async def _measured(self, stage: Stage) -> Progress:
        """That another worker is at it is no failure, neither of the stage nor in the figures."""
        stage.taken = False
        with self._door.meter.turn(stage.name):
            try:
                return await stage.turn(self._door)
            except Taken:
                stage.taken = True
                return Progress()

    async def _watch(self, idle_seconds: float) -> None:
        """IDLE while the mailbox rests: only an early wake-up, so its failures cost nothing but earliness."""
        failures = 0
        while True:
            await self.receive.resting.wait()
            try:
                if await self._door.mailbox.wait(idle_seconds):
                    self.receive.resting.clear()
                    self.receive.wake.set()
                failures = 0
            except (Unavailable, Misconfigured):
                failures += 1
                await asyncio.sleep(_pause(failures))
            except Exception as error:  # noqa: BLE001  IDLE is only earliness, and nobody waits for this task
                failures += 1
                fault(log, "turn-failed", error, work="idle", failures=failures)
                await asyncio.sleep(_pause(failures))


def _pause(failures: int) -> float:
    return backoff.delay(
        failures,
        first=BACKOFF_FIRST_SECONDS,
        most=BACKOFF_MOST_SECONDS,
        spread=0.5,
        jitter=random.random(),  # noqa: S311  spreads load, protects nothing
    )


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of them; the first that fails ends the others and is raised itself, not inside a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _word(error: MailflowError) -> str:
    """The class of the error, as an identifier."""
    return type(error).__name__.lower()


async def _first(*waits: Coroutine[Any, Any, object], seconds: float) -> None:
    """Until one of `waits` is over, or `seconds`."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
