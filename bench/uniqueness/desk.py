"""A desk whose requests are decided as the mail door's are, by `registrar.submit`, and how long that takes."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

import sqlalchemy as sa

from bench.uniqueness.filling import Database
from bench.uniqueness.population import Household
from bench.uniqueness.rows import DESK, SENDER, Maker
from mailflow import registrar
from mailflow.core import places
from mailflow.core.calendar import PARIS, legal_day
from mailflow.core.form import HousingRequest
from mailflow.core.identity import Identity
from mailflow.core.model import (
    Door,
    Environment,
    Mandate,
    Operation,
    Outcome,
    RequestFile,
    Right,
    SenderCode,
    Submission,
    Submitter,
)
from mailflow.core.numbers import Territory, territory_of
from mailflow.demo.applications import Person, file_name, request_form
from mailflow.register import Register, Transaction, directory, intake
from mailflow.register.arrivals import Arrival
from mailflow.register.vault import ContentKey, Vault
from mailflow.registrar.claiming import apply_rules
from mailflow.registrar.naming import open_files
from mailflow.registrar.uniqueness import claim_persons, find_near
from mailflow.registrar.work import Creation, Terms
from mailflow.wire.codec import NUU, to_bytes, write
from mailflow.wire.envelope import ROOT, VERSIONS, Header, InterfaceFile, RequestElement
from mailflow.wire.reader import FileLimits, read_file

LIMITS = FileLimits(file_bytes_max=16 << 20, request_bytes_max=1 << 20, requests_max=1_000, nodes_max=1_000_000)


class CountingVault(Vault):
    """Counts how many persons of the register are opened to be compared."""

    __slots__ = ("opened",)

    def __init__(self, maker: Maker) -> None:
        """With the keys that the register was filled with."""
        super().__init__({"bench": maker.master_key}, first="bench", lookup_key=maker.lookup_key)
        self.opened = 0

    def open(self, key: ContentKey, sealed: bytes, context: str) -> bytes:
        """See `Vault`."""
        self.opened += context.startswith("near_person.")
        return super().open(key, sealed, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How long the checks took, in seconds."""

    exact: float
    near: float | None
    """None for who is refused before."""
    opened: int
    """How many persons were decrypted and compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of a submission, and how long that took from BEGIN to the end of COMMIT, in seconds."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    statements: int


class Desk:
    """Sends one file after the other. It may do everything everywhere."""

    def __init__(
        self, register: Register, vault: CountingVault, database: Database, terms: Terms, at: datetime, files: int
    ) -> None:
        self.register = register
        self.vault = vault
        self.database = database
        self.terms = terms
        self.at = at
        self.files = files

    @classmethod
    async def of(
        cls, register: Register, vault: CountingVault, database: Database, at: datetime, *, files: int
    ) -> Self:
        """One that was enrolled and has sent so many files."""
        async with register.read() as tx:
            terms = Terms(directory=await directory.read(tx), environment=Environment.PRODUCTION)
        return cls(register, vault, database, terms, at, files)

    @staticmethod
    async def enrol(register: Register, at: datetime) -> None:
        """Make it known."""
        change = directory.Change(by="bench", why="bench", at=at)
        rights = frozenset({Right.CREATION, Right.CONSULT})
        async with register.begin() as tx:
            sender = SenderCode(SENDER)
            await directory.add_sender(
                tx, sender, name=SENDER, answer_address="a@b.test", legacy_encryption=False, change=change
            )
            await directory.add_desk(tx, DESK, name=DESK, address="1 place", change=change)
            for territory in sorted(_MUNICIPALITIES):
                mandate = Mandate(desk=DESK, territory=territory, rights=rights, starts_on=legal_day(at), ends_on=None)
                await directory.add_mandate(tx, sender, mandate, change)

    def cpu_seconds(self) -> float:
        """Of this process and of the database's server so far, whatever else the machine does."""
        return time.process_time() + self.database.cpu_seconds()

    async def sent(self, *households: Household) -> Submission:
        """A mail that was taken in and judged, with one file of these requests."""
        self.files += 1
        requests = [
            RequestElement(
                form=HousingRequest.model_validate(form_of(household, legal_day(self.at))),
                reference=f"{self.files}/{position}",
            )
            for position, household in enumerate(households)
        ]
        header = Header(file_type=Operation.CREATION, dated_at=self.at.astimezone(PARIS))
        document = InterfaceFile(version=VERSIONS[-1], header=header, requests=tuple(requests))
        octets = to_bytes(write(document, ROOT, NUU))
        file = read_file(file_name(DESK, self.at, self.files), octets, limits=LIMITS, received_at=self.at)
        arrival = Arrival(
            account="service",
            mailbox="INBOX",
            uidvalidity=2,
            uid=self.files,
            raw=octets,
            size_bytes=len(octets),
            received_at=self.at,
        )
        async with self.register.begin() as tx:
            await intake.take_in(tx, [arrival], self.at)
            (last,) = await tx.all(sa.text("SELECT max(id) FROM intake"))
        return self._submission(file, last[0])

    def _submission(self, file: RequestFile, intake_id: int) -> Submission:
        submitter = Submitter(
            sender=SenderCode(SENDER), certificate="c" * 64, trust_generation=self.terms.directory.generation
        )
        return Submission(submitter=submitter, door=Door.MAIL, intake=intake_id, received_at=self.at, files=(file,))

    async def check(self, submission: Submission) -> Checked:
        """Only the checks, of one request, as `submit` makes them; nothing of it stays."""
        (sender,) = self.terms.directory.senders
        (work,) = open_files(submission, sender, self.terms, self.at)
        apply_rules(work, {})
        candidates = [outcome for outcome in work.outcomes.values() if isinstance(outcome, Creation)]
        assert len(candidates) == 1, work.outcomes
        async with self._undone() as tx:
            begun, opened = time.perf_counter(), self.vault.opened
            await claim_persons(tx, candidates, {})
            claimed = time.perf_counter()
            stands = candidates[0].stands
            if stands:
                await find_near(tx, candidates, [])
            found = time.perf_counter()
        return Checked(
            exact=claimed - begun, near=found - claimed if stands else None, opened=self.vault.opened - opened
        )

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[Transaction]:
        class UndoneError(Exception):
            pass

        try:
            async with self.register.begin() as tx:
                yield tx
                raise UndoneError
        except UndoneError:
            pass

    async def decide(self, *submissions: Submission) -> Decided:
        """All in one transaction."""
        with statements() as seen:
            begun = time.perf_counter()
            async with self.register.begin() as tx:
                receipts = await registrar.submit(tx, submissions, self.terms, self.at)
            seconds = time.perf_counter() - begun
        outcomes = tuple(outcome for receipt in receipts for file in receipt.files for outcome in file.outcomes)
        return Decided(outcomes=outcomes, seconds=seconds, statements=len(seen))


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """All that is said to any database meanwhile: text and parameters."""
    seen: list[tuple[str, Any]] = []

    def said(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", said)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", said)


def form_of(household: Household, today: date) -> dict[str, Any]:
    """A request of theirs that the rules accept, by the names of the wire."""
    applicant, *others = household.persons
    return request_form(
        _person(applicant),
        desk=DESK,
        deposited_on=today,
        municipalities=[_MUNICIPALITIES[household.territory]],
        co_applicant=_person(others[0]) if others else None,
    )


def _person(identity: Identity) -> Person:
    return Person(surname=identity.surname, first_name=identity.first_name, born_on=identity.born_on)


def _municipalities() -> dict[Territory, str]:
    """One of each territory, that is none of the former ones."""
    found: dict[Territory, str] = {}
    for line in places.content(places.MUNICIPALITIES_FILE).decode().splitlines():
        code, name, _, present = line.split(";") if line.count(";") == 3 else ("", "", "", "")
        if name and not present and (territory := territory_of(code)):
            found.setdefault(territory, code)
    return found


_MUNICIPALITIES = _municipalities()
