"""The service as it runs in the simulation: the real stages on a real register, with seams in between."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from mailflow.attestation import Attestation
from mailflow.core.model import Directory, Environment, Standing
from mailflow.core.rates import Budget
from mailflow.mail.attachments import ContentLimits
from mailflow.mail.door import MailDoor, Pace
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.judge import JudgeLimits, Unjudged
from mailflow.mail.letter import Composed, Composition, Letterhead
from mailflow.mail.makers import MakeComposer, MakeJudge
from mailflow.mail.mime import MimeLimits
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.mail.ports import Folder
from mailflow.mail.trust import Trust, TrustMaterial
from mailflow.register import Register, Transaction, directory
from mailflow.wire.reader import FileLimits
from tests.simulation.cast import AUDIT, SERVICE, WINDOW, the_cast
from tests.simulation.driver import Engine
from tests.simulation.letters import BREAKS, KILLS
from tests.simulation.nights import VAULT
from tests.simulation.own_keys import key_files
from tests.simulation.world import PROCESS, AuditMailbox, Inbox, MailServer, Process, World
from tests.support.fake_folder import ACCOUNT

LEASE = timedelta(minutes=10)
SENDING_MAX = timedelta(minutes=20)
AUDIT_WAIT = timedelta(minutes=75)
DEADLINE = timedelta(hours=12)
RESERVE = timedelta(hours=2)
MIME = MimeLimits(header_bytes_max=65_536, depth_max=8, parts_max=100)
LIMITS = JudgeLimits(
    mime=MIME,
    contents=ContentLimits(
        mime=MIME, files_max=100, zip_bytes_max=1 << 20, zip_file_bytes_max=1 << 20, zip_ratio_max=200
    ),
    file=FileLimits(file_bytes_max=1 << 20, request_bytes_max=1 << 18, requests_max=100, nodes_max=100_000),
    requests_max=100,
)
SUSPENSIONS_MAX = 4
LEFT_FOR_LATER = 0.05
"""How often a mail is not judged with the others, as after many requests."""


class House:
    """What the processes of the service share: the world, the register's database, the trust files."""

    def __init__(self, world: World, url: str, *, chunk: int, mails_an_hour: int) -> None:
        self.world = world
        self.chunk = chunk
        self.mails_an_hour = mails_an_hour
        self.late_list_is_out = False
        self.typesettings = 0
        self._toggling = False
        self.suspensions: list[datetime] = []
        """When the suspect was suspended, released, suspended again and so on."""
        self.archive: bytes | None = None
        """Whose private key opens every answer."""
        self.trails: Callable[[], tuple[Folder, Folder]] | None = None
        """Where workers look back, in stories in which the register may be behind."""
        self.register = SeamedRegister.of(self, url)

    async def perhaps_toggle_suspect(self) -> None:
        """Just when it matters, and only while anything goes wrong at all."""
        possible = self.world.weather.fates and len(self.suspensions) < SUSPENSIONS_MAX
        if possible and not self._toggling and self.world.rng.random() < 0.4:
            await self.toggle_suspect()

    async def toggle_suspect(self) -> None:
        """The operator suspends the suspect, or releases it."""
        suspended = len(self.suspensions) % 2 == 1
        standing = Standing.ACTIVE if suspended else Standing.SUSPENDED
        change = directory.Change(by="operator", why="simulation", at=self.world.now)
        token = PROCESS.set(None)
        self._toggling = True
        try:
            async with self.register.begin() as tx:
                await directory.set_sender_standing(tx, the_cast().suspect.code, standing, change)
                before = self.world.now
        finally:
            PROCESS.reset(token)
            self._toggling = False
        # What is decided just then may be decided either way.
        self.suspensions.append(before if suspended else self.world.now)
        self.world.tell(f"the suspect is {standing.name}")


class SeamedRegister(Register):
    """The register, with a seam before each transaction, before its commit and after it.

    On SQLite others may go first before each statement, as the seed will have it, and nothing runs in a thread: so a
    seed always tells the same story. On PostgreSQL they meet as they come.
    """

    house: House

    @classmethod
    def of(cls, house: House, url: str) -> Self:
        """The one that all processes share: each has its own transactions, which is what matters."""
        register = cls.open(url, VAULT)
        register.house = house
        if url.startswith("sqlite"):
            for database in (register, register.keys):
                database._engine = cast("AsyncEngine", Engine(database._engine.sync_engine, house.world.breathe))
        return register

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        world = self.house.world
        await world.pause()
        world.seam("begin")
        async with super().begin() as tx:
            yield tx
            world.seam("commit")
        world.seam("committed")

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        await self.house.world.pause()
        self.house.world.seam("begin")
        async with super().read() as tx:
            yield tx


class TrustShelf:
    """`door.TrustSource`: what lies in the trust folder, and the service's own keys."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._keys = key_files(house.world)
        self._known: tuple[tuple[object, ...], TrustMaterial] | None = None

    async def material(self, directory: Directory) -> TrustMaterial:
        keys = directory.service_keys
        state = (directory.generation, self._house.late_list_is_out, *self._keys.state(keys))
        if self._known is None or self._known[0] != state:
            cast = the_cast()
            material = TrustMaterial(
                directory=directory,
                anchors=cast.anchors,
                intermediates=cast.intermediates,
                crls=(*cast.lists, cast.late_list) if self._house.late_list_is_out else cast.lists,
                window=WINDOW,
                keys=self._keys.read(keys),
            )
            self._known = (state, material)
        return self._known[1]


MAKE_JUDGE = MakeJudge(limits=LIMITS, own_addresses=frozenset({SERVICE, AUDIT}), own_domain="service.example")
MAKE_COMPOSER = MakeComposer(
    archive=None,
    letterhead=Letterhead(
        name="Enregistrement",
        address=SERVICE,
        contact="assistance@service.example",
        environment=Environment.PRODUCTION,
    ),
    mail_bytes_max=1 << 23,
)


class InProcess:
    """`door.Judges` without a pool: the same functions; a mail may break them, or the process."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._world = house.world
        self.served: TrustMaterial | None = None

    async def serve(self, material: TrustMaterial) -> None:
        trust = Trust(material)
        self._judge, self._composer = MAKE_JUDGE(trust), replace(MAKE_COMPOSER, archive=self._house.archive)(trust)
        self.served = material

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        self._world.seam("judge")
        judge = self._judge
        await self._world.pause()
        verdicts: list[Verdict | None] = []
        for mail in mails:
            if verdicts and self._world.rng.random() < LEFT_FOR_LATER:
                verdicts.append(None)
                continue
            process = PROCESS.get()
            if mail.raw.startswith(KILLS) and process is not None:
                process.kill()
            if mail.raw.startswith(BREAKS):
                raise TaskFailed("valueerror", "mime.py-1")
            verdicts.append(judge.judge(mail, at))
        if any(b"From: suspect@" in mail.raw for mail in mails):
            await self._house.perhaps_toggle_suspect()
        await self._world.stall("judged")
        self._world.seam("judged")
        return verdicts

    async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
        self._world.seam("recognise")
        judge = self._judge
        await self._world.pause()
        if any(mail.raw.startswith((BREAKS, KILLS)) for mail in mails):
            raise TaskFailed("died", "exit-1")
        await self._world.stall("recognised")
        return [judge.recognise(mail, at) for mail in mails]

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        """Something for each that stands for its PDF, and another each time: only what is frozen is the same again."""
        self._world.seam("typeset")
        await self._world.stall("compose")
        self._house.typesettings += 1
        return [f"%PDF {one.number} {self._house.typesettings}".encode() for one in attestations]

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        self._world.seam("compose")
        composer = self._composer
        await self._world.stall("compose")
        return [composer.compose(composition, at) for composition in compositions]

    async def close(self) -> None:
        pass


class Worker:
    """One process of the service, from its start to its end."""

    def __init__(self, house: House, name: str) -> None:
        self.process = Process(name)
        self.busy: set[object] = set()
        """Stages that are at work: none of them does two turns at once."""
        self.door = MailDoor(
            register=house.register,
            mailbox=Inbox(house.world),
            copies=AuditMailbox(house.world),
            hindsight=Hindsight(house.trails),
            mailer=MailServer(house.world),
            judges=InProcess(house),
            trust=TrustShelf(house),
            environment=Environment.PRODUCTION,
            account=ACCOUNT,
            inbox="INBOX",
            processed="Processed",
            quarantine="Quarantine",
            address=SERVICE,
            bounce_address="bounces@service.example",
            audit_address=AUDIT,
            owner=name,
            pace=_pace(house.chunk, house.mails_an_hour),
            clock=house.world.clock,
        )


def _pace(chunk: int, mails_an_hour: int) -> Pace:
    times: dict[str, Any] = {"lease": LEASE, "audit_wait": AUDIT_WAIT, "deadline": DEADLINE, "audit_reserve": RESERVE}
    return Pace(
        chunk=chunk,
        requests_max=chunk,
        chunk_bytes_max=60_000,
        attempts_max=3,
        waiting_max=1_000_000,
        put_off_bytes_max=1 << 40,
        disk_used_max=0.97,
        undetermined_retry=timedelta(minutes=20),
        rates={**dict.fromkeys(Budget, 1_000_000_000), Budget.MAILS_AN_HOUR: mails_an_hour},
        successor_at_once=False,
        late=timedelta(minutes=15),
        defer_first=timedelta(minutes=1),
        defer_most=timedelta(minutes=30),
        mail_bytes_max=1 << 23,
        gather=timedelta(0),
        sending_max=SENDING_MAX,
        **times,
    )
