"""One run: a seed, a world, some letters, two workers that are killed and started again, and what they leave."""

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, late, worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.kinds import ANSWER
from mailflow.register import acts, journal, queues
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.types import OutboxState
from tests.simulation.cast import the_cast
from tests.simulation.changes import CHANGES, CHANGES_A_RUN
from tests.simulation.letters import Letter, Writing
from tests.simulation.service import House, Worker
from tests.simulation.world import CALM, PROCESS, WEATHERS, PowerCut, Process, World

STEPS = 40
OPERATOR_EVERY = 4
"""Of so many seeds one has an operator who acts without any need."""
RATES_EVERY = 5
"""Of so many seeds one has senders that may send so `FEW` mails in an hour that some wait for their turn."""
FEW, MANY = 4, 1_000_000_000
VERBS = (Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REJUDGE, Verb.SET_ASIDE, Verb.RESEND)
CASES = 5
ROUNDS_MAX = 36
"""Quiet rounds until everything must be done."""
ROUND = timedelta(minutes=20)
JUMPS = (timedelta(minutes=1), timedelta(minutes=11), timedelta(minutes=80))
TURN_SECONDS_MAX = 60.0
"""No turn takes a hundredth of that: whoever still waits then waits for ever."""
ACT = journal.Act(by="operator", why="simulation")

Turn = Callable[[MailDoor], Coroutine[Any, Any, Progress]]
# Looked up when called, so that a planted fault is met.
TURNS: tuple[Turn, ...] = (
    lambda door: worker.receive(door),
    lambda door: worker.process(door),
    lambda door: composing.compose(door),
    lambda door: delivery.deliver(door),
    lambda door: delivery.settle_doubtful(door),
    lambda door: late.acknowledge(door),
)


class Stuck(Exception):
    """A turn that never ends."""


@dataclass(slots=True)
class Run:
    """What a run leaves to be looked at."""

    seed: int
    house: House
    letters: Sequence[Letter]
    sent_again: dict[str, list[datetime]] = field(default_factory=dict)
    """When an operator had a mail of ours sent again, by its Message-ID."""
    innocents_struck: int = 0
    """Mails that were set aside for a fault of ours, before any operator looked."""

    @property
    def world(self) -> World:
        return self.house.world


class Simulation:
    """Plays one seed."""

    def __init__(self, seed: int, url: str) -> None:
        self.rng = random.Random(seed)
        random.seed(seed)  # the spread of retries is drawn from there
        weather = WEATHERS[seed % len(WEATHERS)]
        world = World(self.rng, weather)
        mails_an_hour = FEW if seed % RATES_EVERY == RATES_EVERY - 2 else MANY
        self.house = House(world, url, chunk=self.rng.choice((2, 5, 50)), mails_an_hour=mails_an_hour)
        self.world = world
        world.meanwhile = self._others_go_on
        changes = self.rng.sample(CHANGES, k=CHANGES_A_RUN)
        self.run = Run(seed, self.house, Writing(the_cast(), self.rng).write(CASES, changes))
        self.workers = [Worker(self.house, "0.0"), Worker(self.house, "1.0")]
        self.lives = 0

    async def play(self) -> Run:
        """Everything arrives in bad weather; then it clears up, and all must be done. Raises what a stage raised."""
        asyncio.get_running_loop().set_exception_handler(_unless_killed)
        arrivals = [raw for letter in self.run.letters for raw in letter.deliveries]
        self.rng.shuffle(arrivals)
        for step in range(STEPS):
            for _ in range(len(arrivals) * 2 // STEPS + 1):
                if arrivals and self.rng.random() < 0.7:
                    self.world.mailbox.deliver(arrivals.pop())
            if self.rng.random() < 0.2:
                self.world.pass_time(self.rng.choices(JUMPS, weights=(5, 3, 1))[0])
            self.house.late_list_is_out |= step > STEPS // 2
            first = self.rng.randrange(2)
            together = self.rng.choices((1, 2, 3), weights=(5, 3, 2))[0]
            turns = self._turns([((first + n) % 2, self._some_turns()) for n in range(together)])
            if self.run.seed % OPERATOR_EVERY == OPERATOR_EVERY - 2:
                await asyncio.gather(turns, self._operator_meddles())
            else:
                await turns
        for raw in arrivals:
            self.world.mailbox.deliver(raw)
        await self._clear_up()
        return self.run

    async def close(self) -> None:
        await self.house.register.close()

    def _some_turns(self) -> tuple[Turn, ...]:
        """One of the stages, or all of them one after the other."""
        return TURNS if self.rng.random() < 0.2 else (self.rng.choice(TURNS),)

    async def _clear_up(self) -> None:
        self.world.weather = CALM
        if len(self.house.suspensions) % 2:
            await self.house.toggle_suspect()
        looked = 0
        for _ in range(ROUNDS_MAX):
            await self._turns([(self.rng.randrange(2), TURNS)])
            if await self._is_done():
                if looked == 2:
                    return
                looked += 1
                await self._operator_looks(looked)
            self.world.pass_time(ROUND)

    async def _is_done(self) -> bool:
        async with self.house.register.read() as tx:
            waiting = await queues.waiting(tx, 1)
            unsent = await queues.unanswered(tx, 1000)
        return not waiting and all(row.state == "held" for row in unsent) and not self.world.mailbox.inbox

    async def _operator_meddles(self) -> None:
        """Beside workers at work: any act, on whatever it may be for."""
        verb = self.rng.choice(VERBS)
        which = Filter(intakes=self.rng.sample(range(1, 60), k=20), kinds=[ANSWER] if verb is Verb.RESEND else [])
        await self.world.pause()
        async with self.house.register.begin() as tx:
            weighed = await acts.perform(tx, verb, which, ACT, self.world.now)
            if verb is Verb.RESEND:
                for item in [one for one in weighed.done if one.state is OutboxState.SENT]:
                    (row,) = await queues.find_outbox(tx, id_=item.id)
                    self.run.sent_again.setdefault(row.message_id, []).append(self.world.now)

    async def _operator_looks(self, look: int) -> None:
        """Once, what was held is released, and what an operator or a fault of ours set aside is judged again."""
        async with self.house.register.begin() as tx:
            ours = [row for row in await queues.set_aside(tx, 1000) if row.reason == "CTRL_SYS_0001"]
            if look == 1:
                self.run.innocents_struck = len(ours)
                again = Filter(kinds=[MAIL], reasons=acts.OWED)
                await acts.perform(tx, Verb.REJUDGE, again, ACT, self.world.now)
            await acts.perform(tx, Verb.RELEASE, Filter(states=["held"]), ACT, self.world.now)

    async def _turns(self, several: Sequence[tuple[int, Sequence[Turn]]]) -> None:
        """Run these lines of turns at once; a worker that was killed is started anew."""
        self.world.may_stall()
        running = [asyncio.create_task(self._line(self.workers[index], turns)) for index, turns in several]
        try:
            for done in asyncio.as_completed(running):
                await done
        finally:
            await _settle(running)
        for index, one in enumerate(self.workers):
            if one.process.dead.is_set():
                self.lives += 1
                self.workers[index] = Worker(self.house, f"{index}.{self.lives}")

    async def _others_go_on(self, stalled: Process) -> None:
        """The other worker takes over what the one that stands still has let go."""
        for one in self.workers:
            if one.process is not stalled:
                await asyncio.create_task(self._line(one, TURNS))

    async def _line(self, one: Worker, turns: Sequence[Turn]) -> None:
        PROCESS.set(one.process)
        for turn in turns:
            await self._turn(one, turn)

    async def _turn(self, one: Worker, turn: Turn) -> None:
        if one.process.dead.is_set() or turn in one.busy:
            return
        one.busy.add(turn)
        work = asyncio.create_task(turn(one.door))
        death = asyncio.create_task(one.process.dead.wait())
        try:
            await asyncio.wait({work, death}, timeout=TURN_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
            killed, stuck = death.done(), not work.done() and not death.done()
        finally:
            await _settle([work, death])
            one.busy.discard(turn)
        if stuck:
            raise Stuck
        if killed or work.cancelled():
            return
        if (error := work.exception()) and not isinstance(error, Unavailable | PowerCut):
            raise error


async def _settle(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def _unless_killed(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What a killed process leaves lying about is nobody's error."""
    if not isinstance(context.get("exception"), PowerCut):
        loop.default_exception_handler(context)


def play(seed: int, url: str, judge: Callable[[Run], Awaitable[list[str]]]) -> list[str]:
    """Play `seed` on the register at `url`; what `judge` has to say of it, a stage's own error included."""

    async def both() -> list[str]:
        simulation = Simulation(seed, url)
        try:
            return await _judged(simulation, judge)
        finally:
            await simulation.close()

    # Identifiers and keys, too, are the seed's: what is sorted by them is in the same order again.
    with mock.patch.object(os, "urandom", random.Random(seed).randbytes):
        return asyncio.run(both())


async def _judged(simulation: Simulation, judge: Callable[[Run], Awaitable[list[str]]]) -> list[str]:
    """Nothing of an error is left but its text: what it passed through may be collected."""
    try:
        return await judge(await simulation.play())
    except Exception as error:
        logging.getLogger(__name__).debug("seed %d", simulation.run.seed, exc_info=error)
        return [f"{type(error).__name__}: {error}"]
