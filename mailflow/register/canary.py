"""Canary requests on their way, and how they ended. They lie apart from all that is counted."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mailflow.core.canary import CanaryOutcome, CanaryRun
from mailflow.core.numbers import UniqueNumber
from mailflow.register.alarm_tables import canary_run
from mailflow.register.tables import file, outbox
from mailflow.register.transaction import Transaction
from mailflow.register.types import OutboxState

KEPT = timedelta(days=400)
"""How long runs are remembered."""


async def begin(tx: Transaction, file_name: str, at: datetime, late_at: datetime) -> int:
    """Note that one is about to be sent; its id. What was noted long ago is forgotten."""
    await tx.run(sa.delete(canary_run).where(canary_run.c.ended_at < at - KEPT))
    new = sa.insert(canary_run).values(file_name=file_name, begun_at=at, late_at=late_at)
    (row,) = await tx.all(new.returning(canary_run.c.id))
    return int(row.id)


async def sent(tx: Transaction, id_: int, at: datetime) -> None:
    """The mail server took it."""
    await tx.run(sa.update(canary_run).where(canary_run.c.id == id_).values(sent_at=at))


async def ended(tx: Transaction, id_: int, outcome: CanaryOutcome, number: UniqueNumber | None, at: datetime) -> bool:
    """How it ended; False when that is known already."""
    still = (canary_run.c.id == id_, canary_run.c.ended_at.is_(None))
    values = {"ended_at": at, "outcome": outcome.value, "number": number}
    return bool(await tx.run(sa.update(canary_run).where(*still).values(**values)))


async def latest(tx: Transaction, limit: int) -> list[CanaryRun]:
    """The latest first."""
    return _runs(await tx.all(sa.select(canary_run).order_by(canary_run.c.id.desc()).limit(limit)))


async def standing(tx: Transaction) -> list[CanaryRun]:
    """The one that is on its way, and the last that ended, as far as there are any."""
    found = []
    for which in (canary_run.c.ended_at.is_(None), canary_run.c.ended_at.is_not(None)):
        found += await tx.all(sa.select(canary_run).where(which).order_by(canary_run.c.id.desc()).limit(1))
    return _runs(found)


async def answer_to(tx: Transaction, kind: str, desk: str, file_name: str) -> str | None:
    """The Message-ID of the answer (a mail of this kind) to the mail with that file, once it has left."""
    statement = (
        sa.select(outbox.c.message_id)
        .join(file, file.c.intake_id == outbox.c.intake_id)
        .where(
            file.c.desk == desk,
            file.c.name == file_name,
            outbox.c.kind == kind,
            outbox.c.part == 1,
            outbox.c.state == OutboxState.SENT.value,
        )
    )
    rows = await tx.all(statement)
    return rows[0].message_id if rows else None


def _runs(rows: Sequence[Any]) -> list[CanaryRun]:
    return [
        CanaryRun(**{**row._mapping, "outcome": CanaryOutcome(row.outcome) if row.outcome else None}) for row in rows
    ]
