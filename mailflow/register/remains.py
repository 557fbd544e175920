"""What is left of a request and of the mails that brought it: in the register, and in the key store."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.register import keys
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
    """When it was settled, or had left; None: not yet."""


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
    statement = sa.select(intake.c.id, intake.c.settled_at.label("done_at"))
    which = statement.where(intake.c.id.in_(intakes), intake.c.raw.is_not(None)).order_by(intake.c.id)
    return [KeptMail(**row._mapping) for row in await tx.all(which)]


async def of_outgoing(tx: Transaction, kind: str, beginnings: Collection[str]) -> list[KeptMail]:
    """Mails of ours of a kind that are kept, whose keys begin so."""
    sealed = sa.or_(outbox.c.payload.is_not(None), outbox.c.raw.is_not(None))
    named = sa.or_(sa.false(), *(outbox.c.key.startswith(begins, autoescape=True) for begins in beginnings))
    statement = sa.select(outbox.c.id, outbox.c.sent_at.label("done_at")).where(outbox.c.kind == kind, sealed, named)
    return [KeptMail(**row._mapping) for row in await tx.all(statement.order_by(outbox.c.id))]


async def _count(tx: Transaction, *which: sa.ColumnElement[bool]) -> int:
    ((found,),) = await tx.all(sa.select(sa.func.count()).where(*which))
    return int(found)
