"""The world around the service: clock, power, mail server. Everything that outlives a crash but the register.

Whatever the service does to the world passes a *seam*: there its process may be killed, a server may be
unavailable, time may pass, the mailbox may be renumbered or its server go back, as the seed will have it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from email.policy import compat32

from mailflow.errors import Unavailable
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import BeforeData, Listing, Outgoing, Sending, SendResult
from tests.simulation.bounces import Bounced, Naming, is_answer, report
from tests.simulation.cast import AUDIT
from tests.support.fake_mailer import FakeMailer, Fate
from tests.support.fakes import FakeMailbox
from tests.support.pki import AT

TICK = timedelta(milliseconds=20)
STALL = timedelta(minutes=11)
"""A process that stands still so long has lost its leases; its SMTP connection would still be there."""
STALLS = ("judged", "judged", "judged", "compose", "compose", "claimed", "data")
"""Where, as likely as it is named."""
RENUMBERINGS = (0, 0, 1, 2)
"""How often at most in one run; renumbered mails are answered less often, so many runs have none."""
FATES = {fate: 3 if fate in {Fate.LOSE_MAIL, Fate.LOSE_REPLY} else 1 for fate in Fate if fate is not Fate.ACCEPT}
"""What may happen to a mail, and how likely beside the others."""
LATE_COPIES = tuple(timedelta(minutes=minutes) for minutes in (0, 5, 60, 100, 100))
"""How long a copy takes to the audit mailbox; the longest is longer than anybody waits for it."""
QUEUED_COPIES = (*LATE_COPIES, *[timedelta(hours=6)] * len(LATE_COPIES))
"""Where the mail server will be away for a while, with some of them in its queue."""
LATE_BOUNCES = tuple(timedelta(minutes=minutes) for minutes in (0, 5, 15))
"""How long a report takes that a mail did not arrive: less than a quiet round, so that an operator still sees to it."""
SIZE_BYTES_MAX = 100_000
PAUSES_MAX = 4
BREATHS = 0.1


class PowerCut(BaseException):
    """The process is killed. Nothing may catch it, nothing that it does afterwards may have an effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How likely what is, at each seam (per mail sent: the fates)."""

    name: str
    power_cut: float = 0.0
    unavailable: float = 0.0
    stall: float = 0.0
    renumber: float = 0.0
    fates: float = 0.0
    lost_commits: bool = False
    """Whether the answer to a COMMIT may be lost, too."""


CALM = Weather(name="calm")
WEATHERS = (
    Weather(name="power cuts", power_cut=0.03, renumber=0.01, fates=0.3),
    Weather(name="storm", unavailable=0.12, renumber=0.01, fates=0.4),
    Weather(name="stalls", stall=0.7, renumber=0.01, fates=0.3),
    Weather(
        name="all at once",
        power_cut=0.02,
        unavailable=0.03,
        stall=0.4,
        renumber=0.01,
        fates=0.4,
        lost_commits=True,
    ),
)


@dataclass(slots=True)
class Process:
    """A running worker, as far as the power supply is concerned."""

    name: str
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    excused: bool = False
    """The register was unavailable a moment ago: a storm does not strike twice while the damage is mended."""

    def kill(self) -> None:
        self.dead.set()
        raise PowerCut(self.name)


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)
"""Whose code is running; None: the operator's, or the world's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A mail that the server took over."""

    recipient: str
    message_id: str
    raw: bytes
    at: datetime
    copy_at: datetime
    """When its copy can be seen in the audit mailbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """That the audit mailbox was asked, and knew nothing."""

    message_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """That the mail server would not have a mail now."""

    message_id: str
    at: datetime


class World:
    """See the module. `weather` may be changed at any time."""

    def __init__(self, rng: random.Random, weather: Weather) -> None:
        self.rng = rng
        self.weather = weather
        self.now = AT
        self.stalls = 0
        self.renumberings = 0
        self.renumberings_max = rng.choice(RENUMBERINGS)
        self.cuts = 0
        self.mailbox = FakeMailbox(clock=lambda: self.now, size_bytes_max=SIZE_BYTES_MAX, trouble=self.seam)
        self.audit = FakeMailbox(clock=lambda: self.now, size_bytes_max=SIZE_BYTES_MAX)
        self.server = FakeMailer()
        self.server_is_away = False
        self.late_copies: Sequence[timedelta] = LATE_COPIES
        self.transfers: list[Transfer] = []
        self.questions: list[Question] = []
        self.deferrals: list[Deferral] = []
        self.bounce = 0.0
        """How likely an answer is reported not to have arrived, while anything goes wrong at all."""
        self.bounces: list[Bounced] = []
        self._under_way: list[Bounced] = []
        self._copies: list[tuple[datetime, bytes]] = []
        self._taken_over = 0
        self._stalls_at = ""
        self.meanwhile: Callable[[Process], Awaitable[None]] = _nothing
        """What others do while a process stands still."""
        self.beside: Callable[[str], None] = _idle
        """What somebody does just then, whose code passes no seam."""
        self.is_forged = True
        """Whether others write to the audit mailbox under the Message-IDs of mails of ours that have not left."""
        self.told: list[str] = []
        """What has happened, for whoever reads the story."""

    def tell(self, what: str) -> None:
        process = PROCESS.get()
        self.told.append(f"{self.now - AT} {process.name if process else '-':>5} {what}")

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        for copy in [copy for copy in self._copies if copy[0] <= self.now]:
            self._copies.remove(copy)
            self.audit.deliver(copy[1])
        for bounced in [bounced for bounced in self._under_way if bounced.at <= self.now]:
            self._under_way.remove(bounced)
            self.tell(f"the report arrives that {bounced.message_id} did not")
            self.mailbox.deliver(bounced.raw)

    def deliver_copies(self) -> None:
        """Time passes until each has come."""
        self.pass_time(max([at - self.now for at, _ in self._copies], default=timedelta(0)))

    @property
    def awaits_report(self) -> bool:
        """Whether a report is on its way: an operator who stops looking before it comes would not see to it."""
        return bool(self._under_way)

    def seam(self, name: str) -> None:
        """A point at which things may go wrong. Raises PowerCut and Unavailable."""
        self.pass_time(TICK)
        self.beside(name)
        process = PROCESS.get()
        if process is None:
            return
        weather, draw = self.weather, self.rng.random
        if process.dead.is_set():
            process.kill()
        if draw() < weather.power_cut:
            self.tell(f"is killed at {name}")
            self.cuts += 1
            process.kill()
        moving = name.startswith("move:")
        if draw() < weather.renumber and self.renumberings < self.renumberings_max and not moving:
            self.renumberings += 1
            if self.mailbox.inbox:
                self.tell(f"the mailbox is renumbered at {name}")
                self.mailbox.renumber()
            else:
                self.tell(f"the mail server goes back to an older state at {name}")
                self.mailbox.go_back()
        possible = name != "sending" and (name != "committed" or weather.lost_commits)
        if possible and draw() < weather.unavailable:
            register = name in {"begin", "commit", "committed"}
            if not (register and process.excused):
                process.excused = register
                self.tell(f"finds nobody at {name}")
                raise Unavailable(f"the weather at {name}")
        if name == "committed":
            process.excused = False

    def may_stall(self) -> None:
        """From now on one process may stall once, at one place."""
        self._stalls_at = self.rng.choice(STALLS)

    async def stall(self, place: str) -> None:
        """Stand still, or not, while time passes and others take over what is not theirs."""
        process = PROCESS.get()
        if process is None or self._stalls_at != place or self.rng.random() >= self.weather.stall:
            return
        self._stalls_at = ""
        self.tell(f"stands still at {place}")
        self.stalls += 1
        self.pass_time(STALL)
        await self.meanwhile(process)

    async def pause(self) -> None:
        """Let others go first, or not."""
        for _ in range(self.rng.randrange(PAUSES_MAX)):
            await asyncio.sleep(0)

    async def breathe(self) -> None:
        """Let others go first for a moment, or mostly not: before each statement."""
        if self.rng.random() < BREATHS:
            await asyncio.sleep(0)

    def fate(self) -> Fate:
        if self.server_is_away:
            return Fate.DEFER_AT_ONCE
        if self.rng.random() >= self.weather.fates:
            return Fate.ACCEPT
        return self.rng.choices(list(FATES), weights=list(FATES.values()))[0]

    def take_over(self) -> None:
        """See to the copies of what the server has accepted since."""
        fresh, self._taken_over = self.server.accepted[self._taken_over :], len(self.server.accepted)
        for outgoing in fresh:
            late = self.rng.choice(self.late_copies) if self.weather.fates else LATE_COPIES[0]
            transfer = Transfer(
                recipient=outgoing.recipient,
                message_id=message_id(outgoing.raw),
                raw=outgoing.raw,
                at=self.now,
                copy_at=self.now + late,
            )
            self.transfers.append(transfer)
            self.tell(f"has sent {transfer.message_id} to {transfer.recipient}")
            if outgoing.audit == AUDIT:
                self._copies.append((transfer.copy_at, outgoing.raw))
            if self.bounce and self.weather.fates and self.rng.random() < self.bounce and is_answer(outgoing.raw):
                self._bounce(outgoing, transfer.message_id)
        self.pass_time(timedelta(0))

    def _bounce(self, outgoing: Outgoing, message_id: str) -> None:
        raw = report(outgoing, message_id, self.rng.choice(list(Naming)), len(self.bounces))
        bounced = Bounced(message_id=message_id, at=self.now + self.rng.choice(LATE_BOUNCES), raw=raw)
        self.bounces.append(bounced)
        self._under_way.append(bounced)

    def forge(self, outgoing: Outgoing) -> None:
        """Somebody sends the audit mailbox a mail under the Message-ID of one of ours."""
        head, _, _ = outgoing.raw.partition(b"\r\n\r\n")
        self.audit.deliver(head + b"\r\n\r\nnot what was sent\r\n")


async def _nothing(process: Process) -> None:
    pass


def _idle(seam: str) -> None:
    pass


def message_id(raw: bytes) -> str:
    return str(BytesHeaderParser(policy=compat32).parsebytes(raw)["Message-ID"])


# What the service sees of it, each call with its seams


class Inbox:
    """`ports.Mailbox`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def list(self) -> Listing:
        listing = await self._world.mailbox.list()
        await self._world.pause()
        self._world.seam("listed")
        return listing

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        await self._world.pause()
        async for mail in self._world.mailbox.fetch(listing, uids):
            yield mail

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        await self._world.pause()
        return await self._world.mailbox.look(listing, uids)

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        await self._world.pause()
        await self._world.mailbox.move(listing, mails, folder)

    async def wait(self, seconds: float) -> bool:
        return False

    async def close(self) -> None:
        pass


class AuditMailbox:
    """`ports.Copies`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, message_id: str) -> Sequence[bytes]:
        world = self._world
        world.seam("find")
        await world.pause()
        found = await world.audit.find(message_id)
        world.questions.append(Question(message_id=message_id, at=world.now))
        world.seam("found")
        return found

    async def close(self) -> None:
        pass


class MailServer:
    """`ports.Mailer`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        world = self._world

        async def slowly() -> bool:
            await world.stall("claimed")
            world.seam("sending")
            ours = await before_data()
            await world.stall("data")
            world.seam("sending")
            return ours

        await world.pause()
        fate = world.fate()
        if fate is not Fate.ACCEPT:
            world.tell(f"the mail server will {fate.name} {message_id(outgoing.raw)}")
        world.server.fates = [fate]
        if fate is Fate.LOSE_MAIL and world.is_forged:
            world.forge(outgoing)
        result = await world.server.send(outgoing, slowly)
        if result.state is Sending.DEFERRED and result.detail != "taken":
            world.deferrals.append(Deferral(message_id=message_id(outgoing.raw), at=world.now))
        world.take_over()
        world.seam("sending")
        return result

    async def close(self) -> None:
        pass
