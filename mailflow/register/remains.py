"""What is left of a request and of the mails that brought it: in the register, and in the key store."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register import keys
from mailflow.register.retention import LEFT
from mailflow.register.tables import (
    active_identity,
    attestation,
    intake,
    near_person,
    nir,
    outbox,
    request,
    request_reference,
)
from mailflow.register.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMail:
    """A mail of others, or of ours, that holds something yet."""

    id: int
    done_at: datetime | None
    """Since when it is done with: settled, and all that was to leave has left; None: not yet, so it is kept."""


async def of_request(tx: Transaction, number: str) -> dict[str, int]:
    """By what it is, how many of it are left; all 0 once the request is erased."""
    (row,) = await tx.all(
        sa.select(request.c.id, request.c.key_id, request.c.payload).where(request.c.number == number)
    )
    tables = {
        "social security numbers": nir.c.request_id,
        "claims on an identity": active_identity.c.request_id,
        "persons to be compared": near_person.c.request_id,
        "references of desks": request_reference.c.request_id,
    }
    counts = {name: await _count(tx, column == row.id) for name, column in tables.items()}
    kept = (attestation.c.number == number, attestation.c.content.is_not(None))
    return {
        "contents": int(row.payload is not None),
        "content keys": len(await keys.existing(tx, [row.key_id])),
        **counts,
        "attestations": await _count(tx, *kept),
    }


async def count_keys(tx: Transaction, intakes: Collection[int]) -> int:
    """Content keys that are there although these mails, which they belonged to, were erased."""
    rows = await tx.all(sa.select(intake.c.key_id).where(intake.c.id.in_(intakes), intake.c.raw.is_(None)))
    return len(await keys.existing(tx, [row.key_id for row in rows]))


async def of_intakes(tx: Transaction, intakes: Collection[int]) -> list[KeptMail]:
    """Those of these mails that are kept, with their receipts and answers."""
    theirs = outbox.c.intake_id == intake.c.id
    statement = sa.select(intake.c.id, intake.c.settled_at, *_leaving(outbox, theirs))
    which = statement.where(intake.c.id.in_(intakes), intake.c.raw.is_not(None)).order_by(intake.c.id)
    return [
        KeptMail(id=row.id, done_at=None if row.lingers or not row.settled_at else _later(row.settled_at, row.left_at))
        for row in await tx.all(which)
    ]


async def of_outgoing(tx: Transaction, kind: str, beginnings: Collection[str]) -> list[KeptMail]:
    """Mails of ours of a kind that are kept, whose keys begin so."""
    sealed = sa.or_(outbox.c.payload.is_not(None), outbox.c.raw.is_not(None))
    named = sa.or_(sa.false(), *(outbox.c.key.startswith(begins, autoescape=True) for begins in beginnings))
    part = outbox.alias("part")
    together = sa.and_(part.c.kind == outbox.c.kind, part.c.key == outbox.c.key)
    statement = sa.select(outbox.c.id, *_leaving(part, together)).where(outbox.c.kind == kind, sealed, named)
    return [
        KeptMail(id=row.id, done_at=None if row.lingers else row.left_at)
        for row in await tx.all(statement.order_by(outbox.c.id))
    ]


def _leaving(mails: sa.FromClause, which: sa.ColumnElement[bool]) -> tuple[sa.ColumnElement[Any], ...]:
    """Of what leaves together: whether any has not, as retention sees it (what is held waits), and when it did."""
    lingers = sa.exists().where(which, mails.c.state.not_in(LEFT)).label("lingers")
    left_at = sa.select(sa.func.max(mails.c.sent_at)).where(which).scalar_subquery()
    return lingers, sa.type_coerce(left_at, outbox.c.sent_at.type).label("left_at")


def _later(one: datetime, other: datetime | None) -> datetime:
    return max(one, other) if other else one


async def _count(tx: Transaction, *which: sa.ColumnElement[bool]) -> int:
    ((found,),) = await tx.all(sa.select(sa.func.count()).where(*which))
    return int(found)
