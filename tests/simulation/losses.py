"""A register that is lost: a backup of some time ago is laid in its place, and an operator does what the handbook says.

What was decided since the backup has never been, and is decided anew; the mailboxes and the world have it still. So the
oracle judges the mails of the life that counts, and beside them what is promised of the time that was lost: that a
number which went out then is its own request's, or nobody's.
"""

import random
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from mailflow.core.model import Standing
from mailflow.demo.certificates import Identity
from mailflow.demo.pki import Pki
from mailflow.errors import Unavailable
from mailflow.mail import cms, hindsight, recovery
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing
from mailflow.mail.recovery import Recovery, WentOut
from mailflow.register import acts, copying, directory, issuing
from mailflow.register.acts import Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.key_store import beside
from tests.simulation.answers import Opened
from tests.simulation.cast import the_cast
from tests.simulation.chance import chance_of
from tests.simulation.letters import Letter
from tests.simulation.service import LIMITS, House, SeamedRegister
from tests.simulation.switch import ACT
from tests.simulation.wishes import Requests
from tests.simulation.world import CALM, PROCESS, PowerCut, Process, Transfer, World
from tests.support.fake_folder import FakeFolder
from tests.support.pki import AT

LOSES_EVERY = 9
"""Of so many seeds one loses its register, on SQLite, and has no operator who acts without need beside."""
BACKUP_ROUNDS = 3
"""The backup is taken in one of the steps, or in one of so many rounds of those that clear up."""
LOST_AFTER = 25
"""The register is lost within so many steps and rounds after that."""
AGAIN = 0.25
"""How likely the same backup has to serve once more."""
POINTS = 60
"""The backup is taken at one of so many points of its step, or at its end."""
DOWNTIMES = (timedelta(minutes=1), timedelta(minutes=40), timedelta(hours=3))
"""How long nobody is there, before the backup is in its place."""
TRIES = 3
"""So often at most the operator is cut off within a restore."""
CUT_MOVES = 0.2
"""How likely a MOVE in the lost time is cut off halfway: what then lies in both folders has to be one mail still."""
KEYLESS = 0.2
"""How likely the archive's key is not at hand, so that the counters have to jump."""
STARTS_FIRST = 0.5
"""How likely a worker is at work before the operator restores."""
WORKS_MAX = 30
"""Rounds until it has composed all that was ordered."""
PAUSE = timedelta(minutes=11)
"""Between them: what was leased at the backup is nobody's."""


def loses(seed: int, url: str) -> bool:
    """Whether the story of this seed loses its register, which lies there."""
    return seed % LOSES_EVERY == 0 and url.startswith("sqlite")


@cache
def archive() -> Identity:
    """Its private key opens every answer."""
    with chance_of("archive"):
        return Pki(at=AT).issue("archive")


class Trail(FakeFolder):
    """A folder as an operator's command looks through it, whom the weather may cut off."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.audit if name == "INBOX" else world.mailbox, name)
        self._world = world

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:
        self._world.seam("trail")
        return await super().list(marked=marked, since=since)

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        self._world.seam("trail")
        async for mail in super().fetch(listing, uids):
            yield mail


class Workers(Protocol):
    """Of the story."""

    def restart_all(self) -> None:
        """They are killed and started anew."""
        ...

    async def work_alone(self) -> None:
        """One does all that it can."""
        ...


@dataclass(slots=True, kw_only=True)
class Losses:
    """In the hands of chance, and then of the operator, in stories that have any. Without `dice` there is none."""

    house: House
    url: str
    """Of the register."""
    dice: random.Random | None
    steps: int
    workers: Workers
    happened: int = 0
    jumped: bool = False
    """Whether numbers were kept for nobody, and those who had them have others now."""
    ordered: frozenset[str] = frozenset()
    """Message-IDs of what was ordered before the backup."""
    missed: list[str] = field(default_factory=list)
    """What went wrong before anybody restored."""
    _keyless: bool = False
    _now: int = -1
    _backup_at: int = -1
    _lost_at: list[int] = field(default_factory=list)
    _points_left: int = 0
    _sent_before: int = 0
    """So many mails had left at the backup."""
    _sent: int = 0
    """So many at the last loss."""
    _copy: copying.Copy | None = None

    def __post_init__(self) -> None:
        if (dice := self.dice) is None:
            return
        self._backup_at = dice.randrange(self.steps + BACKUP_ROUNDS)
        self._lost_at = [self._backup_at + dice.randrange(1, LOST_AFTER)]
        if dice.random() < AGAIN:
            self._lost_at.append(self._lost_at[0] + dice.randrange(1, LOST_AFTER))
        self._points_left = dice.randrange(POINTS)
        self._keyless = dice.random() < KEYLESS
        self.house.archive = archive().der
        self.house.trails = lambda: (
            FakeFolder(self.house.world.mailbox, "Processed"),
            FakeFolder(self.house.world.audit, "INBOX"),
        )
        self.house.world.beside = self._at_seam
        self.house.world.is_forged = False  # what never left nobody can name, and a forgery wants `--jump`

    @property
    def are_over(self) -> bool:
        return not self._lost_at

    async def turn(self) -> None:
        """Between two steps, or rounds."""
        if self.dice is None:
            return
        if self._now == self._backup_at and self._copy is None:
            self._back_up("the end of a step")
        self._now += 1
        if self._lost_at and self._now == self._lost_at[0]:
            del self._lost_at[0]
            await self._lose(self.dice)

    def close(self) -> None:
        if self._copy is not None:
            shutil.rmtree(self._copy.register.parent)

    # The backup, beside workers at work

    def _at_seam(self, name: str) -> None:
        if self._now == self._backup_at and self._copy is None:
            self._points_left -= 1
            if self._points_left < 0:
                self._back_up(name)
        elif self._copy and self._lost_at and name == "move:next" and self.dice and self.dice.random() < CUT_MOVES:
            self.house.world.tell("a MOVE is cut off halfway")
            raise Unavailable("in the middle of a MOVE")

    def _back_up(self, where: str) -> None:
        folder = Path(f"{self.url.removeprefix('sqlite:///')}-copies")
        folder.mkdir()
        self._copy = copying.take(self.url, None, folder)
        self._sent_before = len(self.house.world.transfers)
        self.house.world.tell(f"a backup is taken at {where}")

    # The loss

    async def _lose(self, dice: random.Random) -> None:
        world = self.house.world
        weather, world.weather = world.weather, CALM
        world.tell("the register is lost, and the backup is laid in its place")
        self.happened += 1
        self._sent = len(world.transfers)
        await self._lay_in_place()
        world.pass_time(dice.choice(DOWNTIMES))
        world.deliver_copies()
        await self._tell_standing()
        self.workers.restart_all()
        if dice.random() < STARTS_FIRST:
            await self._start()
        for number in range(TRIES + 1):
            world.weather = weather if number < TRIES else CALM
            if await self._goes_through(Process("restore")):
                break
        world.weather = CALM
        await self._resume()
        world.weather = weather

    async def _lay_in_place(self) -> None:
        assert self._copy is not None
        await self.house.register.close()
        file = self._copy.register.with_name(f"again-{self.happened}.db")
        self.url = f"sqlite:///{file}"
        shutil.copy(self._copy.register, file)
        shutil.copy(self._copy.keys, beside(self.url).removeprefix("sqlite:///"))
        self.house.register = register = SeamedRegister.of(self.house, self.url)
        async with register.read() as tx:
            self.ordered = frozenset([row.message_id for row in await tx.all(sa.text("SELECT message_id FROM outbox"))])

    async def _tell_standing(self) -> None:
        """What an operator had decided of a sender is told to the register again, before anything is decided."""
        suspended = len(self.house.suspensions) % 2 == 1
        change = directory.Change(by="operator", why="once more", at=self.house.world.now)
        async with self.house.register.begin() as tx:
            standing = Standing.SUSPENDED if suspended else Standing.ACTIVE
            await directory.set_sender_standing(tx, the_cast().suspect.code, standing, change)

    async def _start(self) -> None:
        """A worker notices it, and does nothing but to compose what was ordered."""
        world, register = self.house.world, self.house.register
        for _ in range(WORKS_MAX):
            await self.workers.work_alone()
            async with register.read() as tx:
                behind = not await issuing.is_whole(tx)
                queued = await tx.all(sa.text("SELECT id FROM outbox WHERE state = 'queued'"))
            if behind and len(world.transfers) > self._sent:
                self.missed.append("mails left a register that is behind")
            if not behind or not queued:
                return
            world.pass_time(PAUSE)

    # The operator

    async def _goes_through(self, process: Process) -> bool:
        token = PROCESS.set(process)
        try:
            await self._restore()
        except (PowerCut, Unavailable):
            return False
        finally:
            PROCESS.reset(token)
        return True

    async def _restore(self) -> None:
        """As `mailflow restore` does it, with the archive's key or by a jump."""
        register, world = self.house.register, self.house.world
        processed, audit = Trail(world, "Processed"), Trail(world, "INBOX")
        loss = await hindsight.survey(register, processed, audit)
        if not loss and not loss.unsent:
            return
        went_out, jump = WentOut(), 0
        if loss.answers and self._keyless:
            lost = sorted(loss.answers)
            jump = await recovery.least_jump(register, audit, loss, lost, in_one=LIMITS.requests_max)
            self.jumped = True
        elif loss.answers:
            key = cms.load_decryption_key(archive().key_pem, archive().pem)
            went_out = await recovery.read_answers(audit, loss, [key], [the_cast().service.der], world.now)
        assert not went_out.sealed, "the archive's key does not open an answer"
        todo = Recovery(loss=loss, went_out=went_out, jump=jump)
        done = await recovery.recover(register, processed, todo, ACT, world.now)
        world.tell(f"the operator: restore, {done}")

    async def _resume(self) -> None:
        register, world = self.house.register, self.house.world
        async with register.read() as tx:
            stop = await issuing.read(tx)
        if stop is None:
            return
        await hindsight.require_up_to_date(register, Trail(world, "Processed"), Trail(world, "INBOX"), world.now)
        async with register.begin() as tx:
            await issuing.resume(tx, ACT, world.now)
            # Whoever was told a number is told another one: no desk is there to be asked.
            await acts.perform(tx, Verb.RELEASE, Filter(kinds=[MAIL], states=["held"]), ACT, world.now)
        world.tell("the operator: resume")

    # What the oracle asks

    def is_lost(self, number: int, transfer: Transfer) -> bool:
        """Whether the mail that left as the so-manieth is of a decision that has never been."""
        return number < self._sent and transfer.message_id not in self.ordered

    def in_lost_time(self, transfers: Sequence[Transfer]) -> Sequence[Transfer]:
        """All that left in it: of those that had been ordered before the register has other octets, or none."""
        return transfers[self._sent_before : self._sent]


def findings(
    letters: Sequence[Letter], lost: Sequence[Opened], answers: Sequence[Opened], *, jumped: bool
) -> Iterator[str]:
    """A number that went out in the lost time is told to its own request again, or to nobody.

    And no two mails were ever answered under one Message-ID: to many mail servers both are one.
    """
    for number, wishes in Requests(letters, [*lost, *answers]).numbers.items():
        if len(wishes) > 1:
            yield f"{number} was given to more than one request, once in the lost time"
    again = _told(answers)
    for place, numbers in _told([] if jumped else lost).items():
        others = again[place] - numbers - {None}
        if others and numbers != {None}:
            yield f"{place} was told {numbers} in the lost time, and {others} since"
    named = {answer.message_id: answer.in_reply_to for answer in lost}
    for answer in answers:
        if named.get(answer.message_id, answer.in_reply_to) != answer.in_reply_to:
            yield f"{answer.in_reply_to} is answered under the Message-ID of an answer to {named[answer.message_id]}"


def _told(answers: Iterable[Opened]) -> dict[tuple[str, str, int], set[str | None]]:
    """Numbers, by file and position of the request."""
    told: dict[tuple[str, str, int], set[str | None]] = defaultdict(set)
    for answer in answers:
        for returned in answer.returns:
            for position, one in enumerate(returned.told):
                told[returned.name, returned.digest, position].add(one.number)
    return told
