"""The journal: what happened, in order. Entries are added and never changed or deleted; the database sees to it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from mailflow.register.tables import journal
from mailflow.register.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. `detail` holds identifiers and codes, never content."""

    kind: str
    intake_id: int | None = None
    number: str | None = None
    sender: str | None = None
    desk: str | None = None
    detail: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntry:
    """An entry as it stands in the journal."""

    id: int
    at: datetime
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """That a person did something: who, and why."""

    by: str
    why: str


async def append(tx: Transaction, entries: Sequence[Entry], at: datetime) -> None:
    """Add entries in this order."""
    rows = [
        {
            "at": at,
            "kind": entry.kind,
            "intake_id": entry.intake_id,
            "number": entry.number,
            "sender": entry.sender,
            "desk": entry.desk,
            "detail": json.dumps(dict(entry.detail), sort_keys=True, ensure_ascii=False),
        }
        for entry in entries
    ]
    await tx.run(sa.insert(journal), rows)


async def of_intake(tx: Transaction, intake_id: int) -> list[KeptEntry]:
    """All that is on record of one intake, oldest first."""
    return await _entries(tx, journal.c.intake_id == intake_id)


async def of_number(tx: Transaction, number: str) -> list[KeptEntry]:
    """All that is on record of one request, oldest first."""
    return await _entries(tx, journal.c.number == number)


async def _entries(tx: Transaction, which: sa.ColumnElement[bool]) -> list[KeptEntry]:
    return [
        KeptEntry(
            id=row.id,
            at=row.at,
            entry=Entry(
                kind=row.kind,
                intake_id=row.intake_id,
                number=row.number,
                sender=row.sender,
                desk=row.desk,
                detail=json.loads(row.detail),
            ),
        )
        for row in await tx.all(sa.select(journal).where(which).order_by(journal.c.id))
    ]
