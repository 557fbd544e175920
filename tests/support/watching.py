"""A watch over a register, with ears instead of people: who hears what, and how it fares when nobody can be told."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from mailflow.app.attendance import Attendance
from mailflow.app.status import Watch
from mailflow.app.telling import Tellers
from mailflow.app.watches import sign_of
from mailflow.core.alerting import Channel, KeptAlarm
from mailflow.errors import Unavailable
from mailflow.mail.door import MailDoor
from mailflow.mail.metered import MeteredMailbox
from mailflow.mail.stages import Stages
from mailflow.ops.alarms import Alarm
from mailflow.ops.messages import Message
from mailflow.ops.metrics import Metrics
from mailflow.ops.snapshot import Expiry, Surroundings
from mailflow.register import Register, alarms
from mailflow.settings import Settings, parse
from mailflow.settings.sample import sample
from tests.support.doors import House

HOST = "host-a"
NEVER_SECONDS = 3600.0
RAISED = {alarm: f"raised {alarm}" for alarm in Alarm}


def settings(changes: Mapping[str, object] | None = None) -> Settings:
    """The sample's."""
    return parse(sample(changes), Path("/nowhere/mailflow.toml"))


@dataclass(slots=True, kw_only=True)
class Ears:
    """Hears what is told on each channel. A channel that is `deaf` takes nothing."""

    channels: frozenset[Channel] = frozenset(Channel)
    heard: list[tuple[Channel, Message]] = field(default_factory=list)
    deaf: set[Channel] = field(default_factory=set)
    fault: Exception = field(default_factory=lambda: Unavailable("nobody listens"))
    """With which a deaf one refuses."""
    pings: int = 0

    @property
    def tellers(self) -> Tellers:
        async def ping() -> None:
            self.pings += 1

        return Tellers(tell={channel: self._tell(channel) for channel in self.channels}, ping=ping)

    def _tell(self, channel: Channel):  # type: ignore[no-untyped-def]  # a closure: its type is said by `Tellers`
        async def tell(message: Message) -> None:
            if channel in self.deaf:
                raise self.fault
            self.heard.append((channel, message))

        return tell

    def told(self, channel: Channel = Channel.FIRST) -> list[str]:
        """`raised Down`, `cleared Down` and so on, since the last call."""
        mine = [message for to, message in self.heard if to is channel]
        self.heard = [(to, message) for to, message in self.heard if to is not channel]
        return [f"{one['occasion']} {one['alarm']}" for message in mine for one in alerts(message)]


async def more(lookout: "Lookout", *later: timedelta) -> list[str]:
    """What the first ones hear when rounds follow each other at these intervals."""
    for each in later:
        await lookout.look(each)
    return lookout.ears.told()


async def lasting(register: Register) -> list[KeptAlarm]:
    """The alarms that are not over."""
    async with register.read() as tx:
        return await alarms.lasting(tx)


def alerts(message: Message) -> list[dict[str, object]]:
    """What the document lists."""
    listed = message.document["alerts"]
    assert isinstance(listed, list)
    return listed


@dataclass(slots=True, kw_only=True)
class Lookout:
    """A process that watches; with a door, a worker too. Its time is what the test says."""

    register: Register
    at: datetime
    ears: Ears = field(default_factory=Ears)
    host: str = HOST
    expiries: tuple[Expiry, ...] = ()
    disk_used: float | None = 0.5
    settings: Settings = field(default_factory=settings)
    attendance: Attendance = field(init=False)

    def __post_init__(self) -> None:
        async def expiries(_: Register) -> tuple[Expiry, ...]:
            return self.expiries

        self.attendance = Attendance(
            settings=self.settings,
            host=self.host,
            tellers=self.ears.tellers,
            clock=lambda: self.at,
            expiries=expiries,
            disk_used=lambda: self.disk_used,
        )

    async def look(self, later: timedelta = timedelta()) -> bool:
        """A round, so much later."""
        self.at += later
        return await self.attendance.round(self.opened)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Register]:
        yield self.register

    async def last(self, minutes: int, *, every: int = 5) -> None:
        """Rounds for so long."""
        for _ in range(0, minutes, every):
            await self.look(timedelta(minutes=every))


@dataclass(slots=True, kw_only=True)
class Working:
    """A worker in this very process, with its stages, its measurements and its sign of life."""

    stages: Stages
    metrics: Metrics
    watch: Watch
    door: MailDoor

    def join(self, lookout: Lookout) -> None:
        """Let the process that watches be this worker."""
        sign = sign_of(self.door.owner, self.watch, self.metrics, lookout.at)
        lookout.attendance.sign = lambda at: replace(sign(at), host=lookout.host)


def at_work(house: House, owner: str = "me", mailbox: str = "demandes") -> Working:
    """A worker of that house, which says that it reads that account."""
    metrics = Metrics()
    register = Register(house.register._engine, house.register.vault, house.register.keys, metrics)
    door = house.door(owner)
    door = replace(door, register=register, mailbox=MeteredMailbox(door.mailbox, metrics, door.clock), meter=metrics)
    stages = Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)
    says = settings({"mailbox.user": mailbox})
    watch = Watch(settings=says, register=register, work=stages, around=Surroundings(disk_used=0.5))
    return Working(stages=stages, metrics=metrics, watch=watch, door=door)
