"""A mail door on a real register with a mailbox, a mail server and judges in this very process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailflow.attestation import Attestation, typeset
from mailflow.core.model import CertificateUse, Directory, Environment
from mailflow.core.rates import Budget
from mailflow.errors import Unavailable
from mailflow.mail.audit import GAPS_MIN
from mailflow.mail.delivery import settle_doubtful
from mailflow.mail.door import MailDoor, Pace
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.judge import Unjudged
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.mail.trust import Trust, TrustMaterial
from mailflow.register import Register, directory
from tests.support.fake_mailer import FakeMailer
from tests.support.fakes import FakeMailbox
from tests.support.judging import RECEIVED_AT, SERVICE, Software, everybody, mairie
from tests.support.pki import shared_pki
from tests.support.pool_parts import BREAKS, MakeComposer, MakeStumblingJudge

AUDIT = "audit@service.example"
PACE = Pace(
    chunk=50,
    requests_max=1_000,
    chunk_bytes_max=1 << 24,
    lease=timedelta(minutes=10),
    attempts_max=3,
    waiting_max=1_000_000,
    put_off_bytes_max=1 << 40,
    disk_used_max=0.97,
    undetermined_retry=timedelta(minutes=20),
    rates=dict.fromkeys(Budget, 1_000_000_000),
    successor_at_once=False,
    late=timedelta(minutes=15),
    deadline=timedelta(hours=12),
    sending_max=timedelta(minutes=20),
    audit_wait=timedelta(minutes=75),
    audit_reserve=timedelta(hours=2),
    defer_first=timedelta(minutes=1),
    defer_most=timedelta(minutes=30),
    mail_bytes_max=1 << 23,
    gather=timedelta(0),
)


class Shelf:
    """`door.TrustSource`: the shared PKI, around the enrolments of the register."""

    def __init__(self) -> None:
        self.known: TrustMaterial | None = None
        self.trouble: Callable[[], None] = lambda: None

    async def material(self, directory: Directory) -> TrustMaterial:
        self.trouble()
        given = everybody().material
        if self.known is None or self.known.directory.generation != directory.generation:
            self.known = TrustMaterial(
                directory=directory,
                anchors=given.anchors,
                intermediates=given.intermediates,
                crls=given.crls,
                window=given.window,
            )
        return self.known


@dataclass(slots=True)
class InProcess:
    """`door.Judges` without processes. `before` is awaited with each chunk that is to be judged."""

    served: TrustMaterial | None = None
    environment: Environment = Environment.PRODUCTION
    chunks: list[int] = field(default_factory=list)
    """How many mails came at a time."""
    trouble: Callable[[], None] = lambda: None
    mail_bytes_max: int = 1 << 23
    _trust: Trust | None = None

    async def serve(self, material: TrustMaterial) -> None:
        self._trust, self.served = Trust(material), material

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        assert self._trust is not None
        self.chunks.append(len(mails))
        self.trouble()
        if any(mail.raw.startswith(BREAKS) for mail in mails):
            raise TaskFailed("valueerror", "mime.py-1")
        key = shared_pki().service_ec
        judge = MakeStumblingJudge(key=key.key_pem, certificate=key.pem)(self._trust)
        return judge.judge_some(mails, at)

    async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
        assert self._trust is not None
        if any(mail.raw.startswith(BREAKS) for mail in mails):
            raise TaskFailed("valueerror", "mime.py-1")
        key = shared_pki().service_ec
        judge = MakeStumblingJudge(key=key.key_pem, certificate=key.pem)(self._trust)
        return [judge.recognise(mail, at) for mail in mails]

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        return [typeset(attestation) for attestation in attestations]

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        assert self._trust is not None
        key = shared_pki().service_ec
        make = MakeComposer(
            key=key.key_pem, certificate=key.pem, mail_bytes_max=self.mail_bytes_max, environment=self.environment
        )
        composer = make(self._trust)
        return [composer.compose(one, at) for one in compositions]

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class AuditCopies:
    """`ports.Copies`: what the mail server delivered to the audit mailbox."""

    mailer: FakeMailer

    async def find(self, message_id: str) -> Sequence[bytes]:
        return [raw for raw in self.mailer.mailboxes.get("audit", []) if message_id.encode() in raw]

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class House:
    """The world around a door; its clock stands still unless moved."""

    register: Register
    now: datetime = RECEIVED_AT + timedelta(minutes=1)
    environment: Environment = Environment.PRODUCTION
    mailbox: FakeMailbox = field(init=False)
    mailer: FakeMailer = field(default_factory=FakeMailer)
    judges: InProcess = field(default_factory=InProcess)
    shelf: Shelf = field(default_factory=Shelf)
    troubles: list[str] = field(default_factory=list)
    """Seams of the mailbox at which it is away, each once."""

    def __post_init__(self) -> None:
        self.judges.environment = self.environment
        self.mailbox = FakeMailbox(clock=lambda: RECEIVED_AT, size_bytes_max=1 << 20, trouble=self._trouble)

    def _trouble(self, seam: str) -> None:
        if seam in self.troubles:
            self.troubles.remove(seam)
            raise Unavailable("away")

    async def miss(self) -> None:
        """Time goes by, in which doubtful sends are looked for: without a copy the next look gives them up."""
        for _ in range(GAPS_MIN):
            await settle_doubtful(self.door())
            self.now += PACE.audit_wait / GAPS_MIN

    async def enrol(self, software: Software | None = None) -> None:
        """The mairie, or somebody else, with its desk and mandate."""
        change = directory.Change(by="operator", why="test", at=self.now)
        who = software or mairie()
        sender = who.enrolment()
        (mandate,) = sender.mandates
        async with self.register.begin() as tx:
            await directory.add_sender(
                tx,
                sender.code,
                name=sender.name,
                answer_address=sender.answer_address,
                legacy_encryption=False,
                change=change,
            )
            await directory.add_address(tx, sender.code, sender.answer_address, change)
            for use in CertificateUse:
                identity = who.identity
                await directory.add_certificate(
                    tx, sender.code, fingerprint=identity.fingerprint, der=identity.der, use=use, change=change
                )
            if software is None:
                await directory.add_desk(tx, mandate.desk, name="mairie", address="1 place", change=change)
            await directory.add_mandate(tx, sender.code, mandate, change)

    def door(self, owner: str = "me", pace: Pace = PACE) -> MailDoor:
        return MailDoor(
            register=self.register,
            mailbox=self.mailbox,
            copies=AuditCopies(self.mailer),
            hindsight=Hindsight(None),
            mailer=self.mailer,
            judges=self.judges,
            trust=self.shelf,
            environment=self.environment,
            account="service",
            inbox="INBOX",
            processed="Processed",
            quarantine="Quarantine",
            address=SERVICE,
            bounce_address=SERVICE,
            audit_address=AUDIT,
            owner=owner,
            pace=pace,
            clock=lambda: self.now,
        )
