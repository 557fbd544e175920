"""The history of requests: every change, by whom and through which message. Added to, never changed.

An entry says how the request stood after it. Its content before is kept with the change that replaced it, sealed
under the request's own content key: when that is deleted, the history is erased, and the facts stay.

`sequence` counts the entries of a territory, without holes and in the order in which they were committed: its counter
stays locked until the commit. Who has read up to a sequence has missed nothing before it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.life import Life
from mailflow.core.model import Door, Operation
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import keys
from mailflow.register.requests import life_columns, life_of
from mailflow.register.tables import history, history_counter, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """By whom and through which message."""

    desk: DeskCode
    sender: str
    door: Door
    intake_id: int
    file_record: str
    position: int
    """Within the file, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of one request."""

    number: UniqueNumber
    revision: int
    """1 for the creation."""
    territory: Territory
    operation: Operation
    life: Life
    """How it left the request."""
    origin: Origin | None
    """None: done by the service itself."""
    dated_at: datetime
    """Of the file."""
    said: bytes | None = field(default=None, repr=False)
    """What the operation said beside the form."""
    content_before: bytes | None = field(default=None, repr=False)
    """What the request said before; None when the operation left it as it was, or made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEntry:
    """An entry as it stands in the history. Sealed values are None once the content key is deleted."""

    sequence: int
    at: datetime
    entry: Entry


async def append(
    tx: Transaction, entries: Sequence[Entry], content_keys: dict[UniqueNumber, ContentKey], at: datetime
) -> None:
    """Add entries in this order; each request has its key in `content_keys`.

    Their territories' counters stay locked until the transaction ends: append late.
    """
    next_of = {
        territory: await _allocate(tx, territory, count)
        for territory, count in sorted(Counter(entry.territory for entry in entries).items())
    }
    rows = []
    for entry in entries:
        sequence = next_of[entry.territory]
        next_of[entry.territory] += 1
        rows.append(_row(tx, entry, content_keys[entry.number], sequence, at))
    await tx.run(sa.insert(history), rows)


async def _allocate(tx: Transaction, territory: str, count: int) -> int:
    """The first of `count` sequences."""
    new = tx.insert(history_counter).values(territory=territory, last=count)
    taken = await tx.all(
        new.on_conflict_do_update(
            index_elements=[history_counter.c.territory],
            set_={"last": history_counter.c.last + new.excluded.last},
        ).returning(history_counter.c.last)
    )
    return int(taken[0].last) - count + 1


def _row(tx: Transaction, entry: Entry, key: ContentKey, sequence: int, at: datetime) -> dict[str, object]:
    def sealed(value: bytes | None, column: str) -> bytes | None:
        return None if value is None else tx.vault.seal(key, value, _context(column, entry.number, entry.revision))

    origin = entry.origin
    return {
        "number": entry.number,
        "revision": entry.revision,
        "territory": entry.territory,
        "sequence": sequence,
        "operation": entry.operation.value,
        **life_columns(entry.life),
        "desk": origin and origin.desk,
        "sender": origin and origin.sender,
        "door": origin and origin.door.value,
        "intake_id": origin and origin.intake_id,
        "file_record": origin and origin.file_record,
        "position": origin and origin.position,
        "dated_at": entry.dated_at,
        "at": at,
        "said": sealed(entry.said, "said"),
        "content_before": sealed(entry.content_before, "content_before"),
    }


def _context(column: str, number: str, revision: int) -> str:
    return f"history.{column}:{number}:{revision}"


async def of_number(tx: Transaction, number: str) -> list[KeptEntry]:
    """The life of one request, oldest first."""
    return await _entries(tx, history.c.number == number, history.c.revision)


async def of_numbers(tx: Transaction, numbers: Collection[str]) -> dict[UniqueNumber, list[KeptEntry]]:
    """The lives of several requests, each oldest first."""
    found: dict[UniqueNumber, list[KeptEntry]] = {}
    for batch in batches(sorted(numbers)):
        for kept in await _entries(tx, tx.among(history.c.number, batch), history.c.revision):
            found.setdefault(kept.entry.number, []).append(kept)
    return found


async def changed_since(tx: Transaction, territories: Collection[str], at: datetime) -> list[UniqueNumber]:
    """Requests of these territories to which something was done then or later, their creation not counted."""
    if not territories:
        return []
    statement = sa.select(history.c.number).where(
        history.c.territory.in_(sorted(territories)), history.c.at >= at, history.c.revision > 1
    )
    return [row.number for row in await tx.all(statement.distinct().order_by(history.c.number))]


async def of_territory(tx: Transaction, territory: Territory, *, after: int, limit: int) -> list[KeptEntry]:
    """At most `limit` entries of a territory that follow the sequence `after`, in order."""
    which = sa.and_(history.c.territory == territory, history.c.sequence > after)
    return await _entries(tx, which, history.c.sequence, limit)


async def last_sequences(tx: Transaction) -> dict[Territory, int]:
    """How far the history of each territory has come."""
    return {row.territory: row.last for row in await tx.all(sa.select(history_counter))}


async def acted_on_by_others(tx: Transaction, numbers: Collection[str]) -> set[str]:
    """Those requests to which another desk than the creating one has done something; the service itself is none."""
    found: set[str] = set()
    for batch in batches(sorted(numbers)):
        statement = (
            sa.select(history.c.number)
            .join(request, request.c.number == history.c.number)
            .where(tx.among(history.c.number, batch), history.c.desk != request.c.desk)
        )
        found |= {row.number for row in await tx.all(statement)}
    return found


async def _entries(
    tx: Transaction, which: sa.ColumnElement[bool], order: sa.ColumnElement[int], limit: int | None = None
) -> list[KeptEntry]:
    columns = sa.select(history, request.c.key_id, request.c.deposited_on)
    statement = columns.join(request, request.c.number == history.c.number).where(which)
    rows = await tx.all(statement.order_by(order).limit(limit))
    content_keys = await keys.find(tx, [row.key_id for row in rows])

    def opened(row: sa.Row[tuple[object, ...]], sealed: bytes | None, column: str) -> bytes | None:
        key = content_keys.get(row.key_id)
        if key is None or sealed is None:
            return None
        return tx.vault.open(key, sealed, _context(column, row.number, row.revision))

    return [
        KeptEntry(
            sequence=row.sequence,
            at=row.at,
            entry=Entry(
                number=row.number,
                revision=row.revision,
                territory=row.territory,
                operation=Operation(row.operation),
                life=life_of(row),
                origin=None
                if row.desk is None
                else Origin(
                    desk=row.desk,
                    sender=row.sender,
                    door=Door(row.door),
                    intake_id=row.intake_id,
                    file_record=row.file_record,
                    position=row.position,
                ),
                dated_at=row.dated_at,
                said=opened(row, row.said, "said"),
                content_before=opened(row, row.content_before, "content_before"),
            ),
        )
        for row in rows
    ]
