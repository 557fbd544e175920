"""Mails that were decided and are still kept: what came, what was answered, and in which order they were decided."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from mailflow.register import cases, keys, outbox
from mailflow.register import intake as mails
from mailflow.register.cases import Filter
from mailflow.register.tables import intake
from mailflow.register.tables import outbox as outgoing
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import IntakeState
from mailflow.register.vault import SealBroken


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A mail to be read."""

    id: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A mail with its outcome."""

    id: int
    received_at: datetime
    decided_at: datetime
    state: IntakeState
    reason: str | None
    raw: bytes = field(repr=False)
    answer: bytes | None = field(repr=False)
    """What was ordered to be told; None when nothing was."""


async def count(tx: Transaction, which: Filter) -> tuple[int, int]:
    """How many of the mails that match are kept, and of how many the octets were erased since."""
    kept = intake.c.raw.is_not(None)
    erased = sa.and_(intake.c.raw.is_(None), intake.c.digest.is_not(None))
    numbers = []
    for state in (kept, erased):
        statement = sa.select(sa.func.count()).select_from(intake).where(state, *_meant(tx, which))
        numbers.append(int((await tx.all(statement))[0][0]))
    return numbers[0], numbers[1]


async def choose(tx: Transaction, which: Filter, limit: int) -> list[Chosen]:
    """The latest of these mails that are kept, `limit` at most, in the order in which they were decided."""
    order = (intake.c.settled_at, intake.c.received_at, intake.c.id)
    statement = sa.select(intake.c.id, intake.c.size_bytes).where(intake.c.raw.is_not(None), *_meant(tx, which))
    rows = await tx.all(statement.order_by(*(column.desc() for column in order)).limit(limit))
    return [Chosen(id=row.id, size_bytes=row.size_bytes) for row in reversed(rows)]


def _meant(tx: Transaction, which: Filter) -> list[sa.ColumnElement[bool]]:
    decided = (IntakeState.ANSWERED.value, IntakeState.SET_ASIDE.value)
    meant: list[sa.ColumnElement[bool]] = [intake.c.state.in_(decided), intake.c.settled_at.is_not(None)]
    return meant if which.is_empty else [*meant, intake.c.id.in_(cases.mails(tx, which).order_by(None))]


async def read(tx: Transaction, ids: Sequence[int], kind: str) -> list[Decided]:
    """These mails, in this order, with their answers, which are the outgoing mails of that kind.

    One whose octets do not open any more is left out; so is an answer that does not.
    """
    content_keys = await keys.of_intakes(tx, ids)
    found: dict[int, Decided] = {}
    for batch in batches(ids):
        rows = await tx.all(sa.select(intake).where(tx.among(intake.c.id, batch)))
        orders = await _orders(tx, kind, [str(id_) for id_ in batch])
        for row in rows:
            with contextlib.suppress(KeyError, SealBroken):
                found[row.id] = Decided(
                    id=row.id,
                    received_at=row.received_at,
                    decided_at=row.settled_at,
                    state=IntakeState(row.state),
                    reason=row.reason,
                    raw=tx.vault.open(content_keys[row.id], row.raw, mails.context(row)),
                    answer=orders.get(str(row.id)),
                )
    return [found[id_] for id_ in ids if id_ in found]


async def answer(tx: Transaction, id_: int, kind: str) -> bytes | None:
    """What was ordered to be told to one mail; None when nothing was, or it was erased."""
    return (await _orders(tx, kind, [str(id_)])).get(str(id_))


async def _orders(tx: Transaction, kind: str, names: Sequence[str]) -> dict[str, bytes]:
    """What was ordered to be told, by key, of those orders of a kind that are there and can be opened."""
    table = outgoing.c
    which = (table.kind == kind, table.part == 1, table.key.in_(names), table.payload.is_not(None))
    rows = await tx.all(sa.select(outgoing).where(*which))
    content_keys = await keys.sound(tx, [row.key_id for row in rows])
    found: dict[str, bytes] = {}
    for row in rows:
        if row.key_id in content_keys:
            where = outbox.context("payload", row.kind, row.key, row.part)
            with contextlib.suppress(SealBroken):
                found[row.key] = tx.vault.open(content_keys[row.key_id], row.payload, where)
    return found


async def decided_before(tx: Transaction, mail: Decided) -> frozenset[int]:
    """The mails that the same transaction decided before this one; the order in a chunk is that of reception."""
    order = sa.tuple_(intake.c.received_at, intake.c.id)
    statement = sa.select(intake.c.id).where(
        intake.c.raw.is_not(None),
        intake.c.settled_at == mail.decided_at,
        order < sa.tuple_(sa.literal(mail.received_at, intake.c.received_at.type), sa.literal(mail.id)),
    )
    return frozenset(row.id for row in await tx.all(statement))
