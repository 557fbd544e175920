"""The rows that registered households leave, made by the register's own functions while nothing is written.

What each household has of its own is true: identities, tokens, content keys, everything that is sealed. What they say
beside it is the same form for all. Of their mails and files there is what retention leaves.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Self, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.uniqueness.population import BLOCK, Household, Population
from mailflow.core import numbers
from mailflow.core.identity import Profile, near_keys
from mailflow.core.life import Life
from mailflow.core.model import Door, Operation
from mailflow.core.numbers import SEQUENCE_MAX, DeskCode, UniqueNumber
from mailflow.register import Transaction, history, identities, journal, likeness, nir, requests, tables
from mailflow.register.identities import IdentityClaim
from mailflow.register.key_store import KeyStore
from mailflow.register.key_tables import content_key, master_key
from mailflow.register.requests import NewRequest
from mailflow.register.types import IntakeState
from mailflow.register.vault import Vault

DESK, SENDER = DeskCode("99001"), "logiciel"
ELEMENTS = ("demandeur", "coDemandeur")
REQUESTS_A_FILE = 10
NEXT_IDENTIFIER = 100_000_000
"""What is registered afterwards is counted from here; what is made here lies below."""
_LIVES_DAYS = 300

Rows = Mapping[sa.Table, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes the rows of whole blocks; it may travel to another process."""

    population: Population
    payload: bytes
    """What every request says."""
    master_key: bytes
    lookup_key: bytes
    at: datetime

    @property
    def vault(self) -> Vault:
        """The register's."""
        return Vault({"bench": self.master_key}, first="bench", lookup_key=self.lookup_key)

    def rows(self, blocks: range) -> Rows:
        """By table, in an order in which they can be written."""
        households = [household for block in blocks for household in self.population.block(block)]
        recorder = Recorder(self.vault, blocks.start * BLOCK, len(households))
        asyncio.run(_register(recorder, households, self.payload, self.at))
        return {
            table: recorder.rows[table]
            for table in (content_key, *tables.metadata.sorted_tables)
            if table in recorder.rows
        }


class Recorder(Transaction):
    """A transaction that keeps the rows it is given, and finds none.

    `first`: the place in the population from which on `count` households are registered; what is counted, is from it.
    """

    __slots__ = ("_person", "_sequence", "first", "rows")

    def __init__(self, vault: Vault, first: int, count: int) -> None:
        super().__init__(cast("AsyncConnection", None), vault, cast("KeyStore", self), writes=True)
        self.rows: dict[sa.Table, list[Mapping[str, Any]]] = defaultdict(list)
        self.first = first
        self._person = 2 * first + 1
        self._sequence = first + count

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[Self]:
        """It is the key store too."""
        yield self

    @property
    def has_only_writer(self) -> bool:
        """Nobody else writes here."""
        return True

    def insert(self, table: sa.Table) -> postgresql.Insert:
        """All that the functions of the register say by it is not looked at."""
        return postgresql.insert(table)

    async def all(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> list[Any]:
        """The rows that are written, as they come back from an INSERT; none from anything else."""
        if not isinstance(statement, sa.Insert):
            asked = statement.get_final_froms() if isinstance(statement, sa.Select) else []
            return [SimpleNamespace(name=self.vault.first)] if asked == [master_key] else []
        if statement.table is tables.history_counter:
            return [SimpleNamespace(last=self._sequence)]
        written = list(rows or ())
        if statement.table is tables.near_person:
            written = [{**row, "id": self._person + place} for place, row in enumerate(written)]
            self._person += len(written)
        self.rows[cast("sa.Table", statement.table)] += written
        return [SimpleNamespace(**row) for row in written]

    async def run(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> int:
        """How many rows are written."""
        if isinstance(statement, sa.Insert):
            self.rows[cast("sa.Table", statement.table)] += rows or ()
        return len(rows or ())


async def _register(tx: Recorder, households: Sequence[Household], payload: bytes, at: datetime) -> None:
    """What `registrar.submit` writes when it registers these."""
    first = tx.first // REQUESTS_A_FILE
    files = [_file(tx, first + number, at) for number in range(-(-len(households) // REQUESTS_A_FILE))]
    made = [
        _request(household, tx.first + place, files[place // REQUESTS_A_FILE][0], payload, at)
        for place, household in enumerate(households)
    ]
    signers = [
        (new, ELEMENTS[order], person, Profile(person), household.nir if order == 0 else None)
        for new, household in zip(made, households, strict=True)
        for order, person in enumerate(household.persons)
    ]
    references = [(DESK, reference_of(tx.first + place), new.id, "0" * 64) for place, new in enumerate(made)]
    await requests.bind_references(tx, references)
    await identities.claim(
        tx,
        [
            IdentityClaim(territory=new.territory, key=profile.key, ordinal=0, request_id=new.id, nir=given)
            for new, _, _, profile, given in signers
        ],
    )
    sought = [likeness.Sought(territory=new.territory, keys=near_keys(profile)) for new, _, _, profile, _ in signers]
    found = await likeness.find(tx, sought)
    keys = await requests.insert(tx, made, at)
    await likeness.remember(
        tx,
        [
            likeness.Remembered(
                request_id=new.id, element=element, identity=person, tokens=each.tokens, key=keys[new.number]
            )
            for (new, element, person, _, _), each in zip(signers, found, strict=True)
        ],
    )
    await nir.keep(tx, {new.id: {element: given} for new, element, _, _, given in signers if given}, at)
    intakes = [intake_id for _, intake_id in files for _ in range(REQUESTS_A_FILE)]
    entries = [_beginning(new, intake_id) for new, intake_id in zip(made, intakes, strict=False)]
    await history.append(tx, entries, keys, at)
    noted = [
        journal.Entry(kind="registered", intake_id=intake_id, number=new.number, sender=SENDER, desk=DESK)
        for new, intake_id in zip(made, intakes, strict=False)
    ]
    await journal.append(tx, noted, at)


def life_of(place: int, at: datetime) -> Life:
    """Deposited so many years ago that its sequence is nobody else's, renewed less than a year ago."""
    renewed_on = at.date() - timedelta(days=place % _LIVES_DAYS + 1)
    deposited_on = renewed_on.replace(year=renewed_on.year - 1 - place // SEQUENCE_MAX, day=min(renewed_on.day, 28))
    return Life.beginning(deposited_on).renewed(renewed_on)


def number_of(household: Household, place: int, at: datetime) -> UniqueNumber:
    """The number of the household that has this place in the population."""
    return _number(household, place, life_of(place, at))


def reference_of(place: int) -> str:
    """The desk's own reference."""
    return f"dossier {place}"


def _number(household: Household, place: int, life: Life) -> UniqueNumber:
    return numbers.compose(household.territory, life.deposited_on, place % SEQUENCE_MAX, DESK)


def _request(household: Household, place: int, record: str, payload: bytes, at: datetime) -> NewRequest:
    life = life_of(place, at)
    return NewRequest(
        id=uuid.uuid4().hex,
        number=_number(household, place, life),
        territory=household.territory,
        desk=DESK,
        sender=SENDER,
        life=life,
        dated_at=at,
        payload=payload,
        file_record=record,
        position=place % REQUESTS_A_FILE,
    )


def _beginning(new: NewRequest, intake_id: int) -> history.Entry:
    return history.Entry(
        number=new.number,
        revision=1,
        territory=new.territory,
        operation=Operation.CREATION,
        life=new.life,
        origin=history.Origin(
            desk=new.desk,
            sender=new.sender,
            door=Door.MAIL,
            intake_id=intake_id,
            file_record=new.file_record,
            position=new.position,
        ),
        dated_at=new.dated_at,
    )


def _file(tx: Recorder, number: int, at: datetime) -> tuple[str, int]:
    """A mail with one file, both emptied by now; the file's record, the intake."""
    record, intake_id, digest = uuid.uuid4().hex, number + 1, hashlib.sha256(b"%d" % number).hexdigest()
    tx.rows[tables.intake].append(
        {
            "id": intake_id,
            "account": "service",
            "mailbox": "INBOX",
            "uidvalidity": 1,
            "uid": intake_id,
            "digest": digest,
            "size_bytes": 20_000,
            "received_at": at,
            "taken_at": at,
            "late_at": at,
            "state": IntakeState.ANSWERED.value,
            "sender": SENDER,
            "settled_at": at,
        }
    )
    tx.rows[tables.file].append(
        {
            "record": record,
            "desk": DESK,
            "name": f"DEM{DESK}-202001011200-{number:06}.xml",
            "digest": digest,
            "intake_id": intake_id,
            "settled": True,
        }
    )
    return record, intake_id
