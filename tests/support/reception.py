"""A register with enrolled senders, to which tests submit files as the doors do: by `registrar.submit`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from mailflow import registrar
from mailflow.core.form import HousingRequest
from mailflow.core.model import (
    Door,
    Environment,
    Mandate,
    Outcome,
    Receipt,
    Refused,
    Registered,
    RequestFile,
    Right,
    SenderCode,
    Standing,
    Submission,
    Submitter,
)
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.order import Deregistration, Holder, Lease
from mailflow.register import Register, directory, intake
from mailflow.register.arrivals import Arrival
from mailflow.registrar import Terms
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, Header, InterfaceFile, RequestElement
from mailflow.wire.reader import read_file
from tests.support.records import rows
from tests.support.requests import LIMITS, RECEIVED_AT, a_form

AT = RECEIVED_AT + timedelta(minutes=1)
TODAY = date(2026, 1, 15)
LILLE, PARIS, CORSICA = "59350", "75056", "2A004"
CRE = frozenset({Right.CREATION})
CHANGE = directory.Change(by="operator", why="test", at=AT)
EVERYWHERE = ("059", "111")


def a_request(
    surname: str,
    co_applicant: str | None = None,
    *,
    desk: str = "59123",
    at: str = LILLE,
    deposited: str = "2026-01-12",
    first_name: str = "Zoé",
    complete: bool = True,
) -> HousingRequest:
    """Somebody's request. Two of one surname are the same person, unless the first name differs."""
    co = {"nom": co_applicant, "prenom": "Zoé", "dateNaissance": "1990-02-28", "lienDemandeur": "M"}
    changes = {
        "numGuichet": desk,
        "dateCreationDemande": deposited,
        "personnePhysique/demandeur/nom": surname,
        "personnePhysique/demandeur/prenom": first_name,
        "personnePhysique/coDemandeur": co if co_applicant else None,
        "logementRecherche/listeLocalisationSouhaite": [{"commune": at}],
    }
    if not complete:
        changes["logementRecherche/demandeElargie"] = None
    return a_form(changes)


def a_file(
    *forms: HousingRequest,
    sequence: int = 1,
    desk: str = "59123",
    name: str | None = None,
    references: Sequence[str | None] = (),
    operation: str = "CRE",
) -> RequestFile:
    """A `DEM` file with these requests, written and read as the wire does."""
    document = InterfaceFile(
        version="02.01",
        header=Header(file_type=operation, dated_at=RECEIVED_AT),
        requests=tuple(
            RequestElement(reference=reference, form=form)
            for form, reference in zip(forms, [*references, *[None] * len(forms)], strict=False)
        ),
    )
    octets = to_bytes(write(document, ROOT, NUU))
    given = name or f"DEM{desk}-202601151030-{sequence:06}.xml"
    return read_file(given, octets, limits=LIMITS, received_at=RECEIVED_AT)


def an_order(
    operation: str,
    *elements: RequestElement,
    sequence: int = 1,
    desk: str = "59123",
    dated_at: datetime = RECEIVED_AT,
    received_at: datetime | None = None,
) -> RequestFile:
    """A file of any operation, written and read as the wire does; received when it was made unless that is given."""
    document = InterfaceFile(version="02.01", header=Header(file_type=operation, dated_at=dated_at), requests=elements)
    name = f"DEM{desk}-202601151030-{sequence:06}.xml"
    octets = to_bytes(write(document, ROOT, NUU))
    return read_file(name, octets, limits=LIMITS, received_at=received_at or dated_at)


def about(
    number: str,
    surname: str = "Durand",
    *,
    born_on: str = "1990-02-28",
    form: HousingRequest | None = None,
    motive: str | None = None,
    submotive: str | None = None,
    lease: Lease | None = None,
) -> RequestElement:
    """What an operation says of a registered request: its number, its holder, and what else it carries."""
    said = Deregistration(motive=motive, submotive=submotive, lease=lease)
    return RequestElement(
        number=number,
        holder=Holder(surname=surname, born_on=date.fromisoformat(born_on)),
        form=form,
        deregistration=said if said != Deregistration() else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail's worth of files."""

    files: tuple[RequestFile, ...]
    sender: str = "mairie"


def sent(*files: RequestFile, sender: str = "mairie") -> Sent:
    return Sent(files=files, sender=sender)


@dataclass(slots=True)
class Reception:
    """Submits to a register, each call one chunk. Give `register` anew to stand for another process."""

    register: Register
    environment: Environment = Environment.PRODUCTION
    at: datetime = AT
    received_at: datetime = RECEIVED_AT
    senders: dict[str, str] = field(default_factory=dict)
    """The last sender that was enrolled for each desk."""

    async def enrol(
        self,
        sender: str = "mairie",
        desk: str = "59123",
        territories: Sequence[str] = EVERYWHERE,
        *,
        rights: frozenset[Right] = CRE,
        starts_on: date = date(2025, 1, 1),
        ends_on: date | None = None,
    ) -> None:
        """Let a sender, new or not, act for a desk, new or not."""
        async with self.register.begin() as tx:
            known = {known.code for known in await directory.list_senders(tx)}
            if sender not in known:
                await directory.add_sender(
                    tx,
                    SenderCode(sender),
                    name=sender,
                    answer_address="a@b.test",
                    legacy_encryption=False,
                    change=CHANGE,
                )
            if desk not in self.senders:
                await directory.add_desk(tx, DeskCode(desk), name=desk, address="1 place", change=CHANGE)
            self.senders[desk] = sender
            for territory in territories:
                mandate = Mandate(
                    desk=DeskCode(desk),
                    territory=Territory(territory),
                    rights=rights,
                    starts_on=starts_on,
                    ends_on=ends_on,
                )
                await directory.add_mandate(tx, SenderCode(sender), mandate, CHANGE)

    async def suspend_desk(self, desk: str, standing: Standing = Standing.SUSPENDED) -> None:
        async with self.register.begin() as tx:
            await directory.set_desk_standing(tx, DeskCode(desk), standing, CHANGE)

    async def terms(self) -> Terms:
        async with self.register.read() as tx:
            return Terms(directory=await directory.read(tx), environment=self.environment)

    async def prepare(self, *mails: Sent) -> tuple[Terms, list[Submission]]:
        """The mails taken in and their senders proven, as of now."""
        terms = await self.terms()
        return terms, [
            Submission(
                submitter=Submitter(
                    sender=SenderCode(mail.sender),
                    certificate="c" * 64,
                    trust_generation=terms.directory.generation,
                ),
                door=Door.MAIL,
                intake=await self._take_in(),
                received_at=self.received_at,
                files=mail.files,
            )
            for mail in mails
        ]

    async def submit(self, *mails: Sent) -> tuple[Receipt, ...]:
        """Decide these mails in one transaction."""
        terms, submissions = await self.prepare(*mails)
        async with self.register.begin() as tx:
            return await registrar.submit(tx, submissions, terms, self.at)

    async def outcomes(self, *files: RequestFile, sender: str = "mairie") -> tuple[Outcome, ...]:
        """Decide one mail; what became of all its requests."""
        (receipt,) = await self.submit(sent(*files, sender=sender))
        return tuple(outcome for file in receipt.files for outcome in file.outcomes)

    async def outcome(self, form: HousingRequest, *, sequence: int, sender: str = "mairie") -> Outcome:
        """Decide one request in a file of its own, of the desk that it names."""
        file = a_file(form, sequence=sequence, desk=form.desk or "59123")
        (outcome,) = await self.outcomes(file, sender=sender)
        return outcome

    def wait(self, **time: float) -> None:
        """What follows is received and decided so much later."""
        self.received_at += timedelta(**time)
        self.at += timedelta(**time)

    async def act(self, operation: str, *elements: RequestElement, sequence: int, desk: str = "59123") -> list[Outcome]:
        """One file of any operation, received now from the sender of that desk, which makes one every second."""
        dated_at = self.received_at + timedelta(seconds=sequence)
        file = an_order(operation, *elements, sequence=sequence, desk=desk, dated_at=dated_at)
        return list(await self.outcomes(file, sender=self.senders[desk]))

    async def _take_in(self) -> int:
        (known,) = await rows(self.register, "SELECT count(*) FROM intake")
        uid = int(known[0]) + 1
        arrival = Arrival(
            account="service",
            mailbox="INBOX",
            uidvalidity=1,
            uid=uid,
            raw=b"mail %d" % uid,
            size_bytes=8,
            received_at=RECEIVED_AT,
        )
        async with self.register.begin() as tx:
            await intake.take_in(tx, [arrival], AT)
        (row,) = await rows(self.register, f"SELECT id FROM intake WHERE uid = {uid}")
        return int(row[0])


def number_of(outcome: Outcome) -> UniqueNumber:
    """The number that it got."""
    assert isinstance(outcome, Registered), outcome
    return outcome.number


def codes_of(outcome: Outcome) -> list[str]:
    """Why it was refused."""
    assert isinstance(outcome, Refused), outcome
    return [anomaly.code.name for anomaly in outcome.anomalies]


def renamed(file: RequestFile, sequence: int) -> RequestFile:
    """The same octets under another name of the same desk."""
    return replace(file, name=f"DEM{file.desk}-202601151030-{sequence:06}.xml")
