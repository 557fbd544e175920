"""One run: a seed, a world, some letters, several workers that are killed and started again, and what they leave."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, late, worker
from mailflow.mail.door import MailDoor
from mailflow.mail.kinds import ANSWER
from mailflow.register import Transaction, acts, outbox, queues
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.types import OutboxState
from tests.simulation import losses, successions
from tests.simulation.cases import CASES, HARMFUL
from tests.simulation.cast import the_cast
from tests.simulation.chance import chance_of
from tests.simulation.changes import CHANGES
from tests.simulation.letters import Writing
from tests.simulation.losses import Losses
from tests.simulation.nights import JOB_TURNS, NEWS, SWEEP, forget_former_masters, next_master
from tests.simulation.offers import OFFERS
from tests.simulation.own_keys import key_folder
from tests.simulation.questions import QUESTIONS
from tests.simulation.rotations import TAKES_OVER, Rotation
from tests.simulation.run import Run
from tests.simulation.service import House, Worker
from tests.simulation.story import Story
from tests.simulation.switch import ACT, Spell, Switch
from tests.simulation.world import (
    CALM,
    LATE_COPIES,
    PROCESS,
    QUEUED_COPIES,
    WEATHERS,
    PowerCut,
    Process,
    World,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much happens in a story before it clears up."""

    steps: int
    harmful: int
    """Cases that harm others; `cases` are of the rest, `changes` about requests that were there before."""
    cases: int
    changes: int
    stops: int
    """Spells without numbers, where there are any."""

    @property
    def arrivals(self) -> int:
        """Mails arrive in so many of the first steps."""
        return 7 * self.steps // 10


WHOLE = Size(steps=40, harmful=len(HARMFUL), cases=6, changes=3, stops=2)
SHORT = Size(steps=10, harmful=2, cases=1, changes=1, stops=1)
BRIEF = Size(steps=5, harmful=1, cases=1, changes=1, stops=1)
SHORT_EVERY, WHOLE_EVERY = 7, 49
"""Of so many seeds two are short stories, and one is a whole one; the others are brief. A short one takes a third of
the time of a whole one, a brief one a quarter. Seven divides nothing else that comes `_EVERY` so many: all of it comes
in stories of each size."""
LATE_ROUNDS = 6
"""So many quiet rounds some seeds wait for a revocation list: what was doubtful is settled before that is answered."""
JUMP = 0.25
"""How likely in a step a longer time passes."""
NIGHT, MASTER, RESTART = 0.1, 0.04, 0.05
"""How likely in a step jobs run, another master key wraps, a worker is started anew without need."""
STOPS_EVERY, KEYS_EVERY = 3, 3
"""Of so many seeds one has an operator who stops the numbers for a while, and another one in which the keys of the
service itself are followed by others."""
OPERATOR_EVERY = 4
"""Of so many seeds one has an operator who acts without any need."""
SWEEP_EVERY, SWEEPS = 5, 8
"""Of so many seeds one has its content keys looked through so often in a step: of what comes between two statements of
somebody else, that does harm the most."""
NEWS_EVERY, NEWS_LIKELY = 5, 0.3
"""Of so many seeds one has what is new dispatched again and again, by two at once."""
BOUNCES_EVERY, BOUNCES_LIKELY = 5, 0.15
"""Of so many seeds one has reports that answers did not arrive, though they did."""
AWAY_EVERY, AWAY_ROUNDS = 3, 6
"""Of so many seeds one has so many quiet rounds first in which the mail server is away."""
RATES_EVERY = 5
"""Of so many seeds one has senders that may send so `FEW` mails in an hour that some wait for their turn."""
FEW, MANY = 4, 1_000_000_000
VERBS = (Verb.HOLD, Verb.RELEASE, Verb.RETRY, Verb.REJUDGE, Verb.SET_ASIDE, Verb.RESEND)
WORD = 0.2
"""How likely such an operator also decides what certificates wait that were offered."""
LOOKS = 2
"""How often an operator looks at what is left, once there is nothing else to do."""
ROUNDS_MAX = 60
"""Quiet rounds until everything must be done."""
ROUND = timedelta(minutes=20)
JUMPS = (timedelta(minutes=1), timedelta(minutes=11), timedelta(minutes=80))
TURN_SECONDS_MAX = 600.0
"""No turn takes a thousandth of that: whoever still waits then, on however busy a machine, waits for ever."""

Turn = Callable[[MailDoor], Coroutine[Any, Any, object]]
# Looked up when called, so that a planted fault is met.
TURNS: tuple[Turn, ...] = (
    lambda door: worker.receive(door),
    lambda door: worker.process(door),
    lambda door: composing.compose(door),
    lambda door: delivery.deliver(door),
    lambda door: delivery.settle_doubtful(door),
    lambda door: late.acknowledge(door),
)


def size_of(seed: int) -> Size:
    if seed % WHOLE_EVERY == 0:
        return WHOLE
    return SHORT if seed % SHORT_EVERY < 2 else BRIEF


class Stuck(Exception):
    """A turn that never ends."""


class Simulation:
    """Plays one story. Whatever is left out of it, the rest has the dice that it had."""

    def __init__(self, story: Story, url: str) -> None:
        self.story, seed = story, story.seed
        rng = random.Random(seed)
        self.weather = WEATHERS[seed % len(WEATHERS)]
        self.world = world = World(rng, self.weather)
        mails_an_hour = FEW if seed % RATES_EVERY == RATES_EVERY - 2 else MANY
        self.house = House(world, url, chunk=rng.choice((2, 5, 50)), mails_an_hour=mails_an_hour)
        world.meanwhile = self._others_go_on
        world.late_copies = LATE_COPIES if seed % AWAY_EVERY else QUEUED_COPIES
        world.bounce = BOUNCES_LIKELY if seed % BOUNCES_EVERY == BOUNCES_EVERY - 1 else 0.0
        self.size = size = size_of(seed)
        self.late_list_at = rng.choice((size.steps // 2, size.steps + LATE_ROUNDS))
        keys_follow = seed % KEYS_EVERY == 2
        written = Writing(the_cast(), rng, keys_follow=keys_follow).write(
            [
                *rng.sample(HARMFUL, k=size.harmful),
                *rng.sample(CHANGES, k=size.changes),
                *rng.choices((*CASES, *QUESTIONS, *OFFERS), k=size.cases),
            ]
        )
        arrivals = [(letter, raw, rng.randrange(size.arrivals)) for letter in written for raw in letter.deliveries]
        rng.shuffle(arrivals)
        takes_over = rng.choice(TAKES_OVER)
        rotated_at = rng.randrange(size.arrivals) if keys_follow else None
        rotation = Rotation(self.house.register, world, rotated_at, takes_over)
        kept = [one for n, one in enumerate(written) if story.has("letter", n)]
        spells = [Spell.drawn(rng, size.steps) for _ in range(size.stops)] if seed % STOPS_EVERY == 1 else []
        willed = [one for n, one in enumerate(spells) if story.has("stop", n)]
        self.switch = Switch(self.house.register, world, willed)
        loses = losses.loses(seed, url) and story.has("loss", 0)
        parts = story.parts(steps=size.steps, letters=len(written), stops=len(spells), losses=int(loses))
        dice = random.Random(f"{seed} loss") if loses else None
        lost = Losses(house=self.house, url=url, dice=dice, steps=size.steps, workers=self)
        self.run = Run(seed, self.house, kept, parts, self.switch.stops, rotation, lost)
        self.arrivals = [arrival for arrival in arrivals if arrival[0] in kept]
        self.workers = [Worker(self.house, f"{n}.0") for n in range(rng.choices((2, 3, 4), weights=(3, 2, 1))[0])]
        self.lives = 0

    async def play(self) -> Run:
        """Everything arrives in bad weather; then it clears up, and all must be done. Raises what a stage raised."""
        asyncio.get_running_loop().set_exception_handler(_unless_killed)
        for step in range(self.size.steps):
            self._throw_dice(step)
            if self.story.has("step", step):
                self.world.weather = self.weather if self.story.has("weather", step) else CALM
                await self._step(step)
        self._throw_dice(self.size.steps)
        if self.run.rotation.is_due(self.size.steps):
            await self.run.rotation.stage()
        self._arrive(self.size.steps)
        await self._clear_up()
        return self.run

    def _throw_dice(self, step: int) -> None:
        self.world.rng = self.rng = random.Random(f"{self.story.seed} {step}")
        random.seed(f"{self.story.seed} {step} of the service")  # the spread of retries is drawn from there

    async def _step(self, step: int) -> None:
        await self.run.losses.turn()
        self._arrive(step)
        if self.rng.random() < JUMP:
            self.world.pass_time(self.rng.choices(JUMPS, weights=(5, 3, 2))[0])
        self.house.late_list_is_out |= step >= self.late_list_at
        first, several = self.rng.randrange(len(self.workers)), len(self.workers)
        together = self.rng.choices((1, 2, 3), weights=(5, 3, 2))[0]
        lines = [((first + n) % several, self._some_turns()) for n in range(together)]
        if self.rng.random() < NIGHT:
            lines.append((self.rng.randrange(several), self._some_jobs()))
        if self.run.seed % SWEEP_EVERY == 1:
            lines.append((self.rng.randrange(several), (SWEEP,) * SWEEPS))
        if self.run.seed % NEWS_EVERY == 0 and self.rng.random() < NEWS_LIKELY:
            lines += [(index, (NEWS,)) for index in self.rng.sample(range(several), k=2)]
        work: list[Coroutine[Any, Any, None]] = [self._turns(lines)]
        if self.run.seed % OPERATOR_EVERY == OPERATOR_EVERY - 2 and self.run.losses.dice is None:
            work.append(self._operator_meddles())
        if self.switch.turns(step):
            work.append(self.switch.throw())
        if self.run.rotation.is_due(step):
            work.append(self.run.rotation.stage())
        if self.rng.random() < MASTER:
            work.append(self._another_master_key())
        await asyncio.gather(*work)
        if self.rng.random() < RESTART:
            self._restart(first)

    def _arrive(self, step: int) -> None:
        """What was due in a step that is left out comes in the next one; what is for the next key, once it is known."""
        staged, left = self.run.rotation.staged, []
        for letter, raw, at in self.arrivals:
            if at <= step and (staged or not letter.for_next_key):
                self.world.mailbox.deliver(raw)
            else:
                left.append((letter, raw, at))
        self.arrivals = left

    async def close(self) -> None:
        await self.house.register.close()
        self.run.losses.close()

    def _some_turns(self) -> tuple[Turn, ...]:
        """One of the stages, or all of them one after the other."""
        return TURNS if self.rng.random() < 0.2 else (self.rng.choice(TURNS),)

    def _some_jobs(self) -> tuple[Turn, ...]:
        return JOB_TURNS if self.rng.random() < 0.2 else (self.rng.choice(JOB_TURNS),)

    async def _clear_up(self) -> None:
        self.world.weather = CALM
        await self.switch.open()
        if len(self.house.suspensions) % 2:
            await self.house.toggle_suspect()
        done = 0
        for number in range(ROUNDS_MAX):
            self.house.late_list_is_out |= self.size.steps + number >= self.late_list_at
            self.world.server_is_away = self.world.late_copies is QUEUED_COPIES and number < AWAY_ROUNDS
            await self._turns([(self.rng.randrange(len(self.workers)), TURNS)])
            await self.run.losses.turn()
            if self.run.losses.are_over and await self._is_done():
                done += 1
                if done <= LOOKS and not await self._operator_looks(done):
                    done = LOOKS + 1  # what is left alone once would be so again
                if done == LOOKS + 1:
                    await self._turns([(0, JOB_TURNS)])
                elif done > LOOKS:
                    await forget_former_masters(self.house.register)
                    return
            await self.run.rotation.retire()
            self.world.pass_time(ROUND)

    async def _another_master_key(self) -> None:
        await self.world.pause()
        self.world.tell(f"from now on {await next_master(self.house.register)} wraps content keys")

    async def _is_done(self) -> bool:
        async with self.house.register.read() as tx:
            waiting = await queues.waiting(tx, 1)
            unsent = await queues.unanswered(tx, 1000)
        held = all(row.state == "held" for row in unsent)
        return not waiting and held and not self.world.mailbox.inbox and not self.world.awaits_report

    async def _operator_meddles(self) -> None:
        """Beside workers at work: any act, on whatever it may be for."""
        verb = self.rng.choice(VERBS)
        which = Filter(intakes=self.rng.sample(range(1, 60), k=20), kinds=[ANSWER] if verb is Verb.RESEND else [])
        await self.world.pause()
        if self.rng.random() < WORD:
            self.run.words += await successions.decide(self.house.register, self.world, self.rng)
        self.world.tell(f"the operator: {verb.value}")
        async with self.house.register.begin() as tx:
            await self._note_sent_again(tx, verb, await acts.perform(tx, verb, which, ACT, self.world.now))

    async def _note_sent_again(self, tx: Transaction, verb: Verb, weighed: acts.Weighed) -> None:
        """What had left, or came back, and now goes out once more by that act."""
        for item in weighed.done if verb in (Verb.RESEND, Verb.RELEASE) else ():
            if item.state is OutboxState.SENT or (item.kind != MAIL and item.reason == outbox.BOUNCED):
                (row,) = await queues.find_outbox(tx, id_=item.id)
                self.run.sent_again.setdefault(row.message_id, []).append(self.world.now)

    async def _operator_looks(self, look: int) -> bool:
        """Once, what was held is released, and what an operator or a fault of ours set aside is judged again.

        Whether there was anything to do.
        """
        done: list[object] = []
        async with self.house.register.begin() as tx:
            ours = [row for row in await queues.set_aside(tx, 1000) if row.reason == "CTRL_SYS_0001"]
            if look == 1:
                self.run.innocents_struck = len(ours)
                again = Filter(kinds=[MAIL], reasons=acts.OWED)
                done += (await acts.perform(tx, Verb.REJUDGE, again, ACT, self.world.now)).done
            released = await acts.perform(tx, Verb.RELEASE, Filter(states=["held"]), ACT, self.world.now)
            await self._note_sent_again(tx, Verb.RELEASE, released)
        words = await successions.decide(self.house.register, self.world, self.rng)
        self.run.words += words
        return bool([*done, *released.done, *words])

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
                self._restart(index)

    def _restart(self, index: int) -> None:
        self.lives += 1
        self.workers[index] = Worker(self.house, f"{index}.{self.lives}")

    def restart_all(self) -> None:
        for index, one in enumerate(self.workers):
            one.process.dead.set()
            self._restart(index)

    async def work_alone(self) -> None:
        await self._turns([(0, TURNS)])

    async def _others_go_on(self, stalled: Process) -> None:
        """The other workers take over what the one that stands still has let go."""
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


def play(story: Story, url: str, judge: Callable[[Run], Awaitable[list[str]]]) -> list[str]:
    """Play `story` on the register at `url`; what `judge` has to say of it, a stage's own error included."""

    async def both() -> list[str]:
        simulation = Simulation(story, url)
        try:
            return await _judged(simulation, judge)
        finally:
            await simulation.close()

    key_folder()
    with chance_of(story.seed):
        return asyncio.run(both())


async def _judged(simulation: Simulation, judge: Callable[[Run], Awaitable[list[str]]]) -> list[str]:
    """Nothing of an error is left but its text: what it passed through may be collected."""
    try:
        return await judge(await simulation.play())
    except Exception as error:
        logging.getLogger(__name__).debug("seed %d", simulation.run.seed, exc_info=error)
        return [f"{type(error).__name__}: {error}"]
