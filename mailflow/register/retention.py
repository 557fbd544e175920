"""Mails that are done with: after a time their octets go, and what was made of them; the proof that they were stays.

Their content key is deleted, and with it all that was sealed under it: the mail itself, the receipts and `RET` files of
its files, its answers. The attestations that were first issued for it go too. What stays is in clear: digests, names of
files, instants, states.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register import attestations, journal, keys
from mailflow.register.tables import attestation, file, intake, outbox
from mailflow.register.transaction import Transaction
from mailflow.register.types import IntakeState, OutboxState

_SETTLED = (IntakeState.ANSWERED.value, IntakeState.SET_ASIDE.value)
LEFT = (OutboxState.SENT.value, OutboxState.WITHDRAWN.value)
"""Of outgoing mails: nothing of them is to leave any more."""


def _done_with(before: datetime | None) -> list[sa.ColumnElement[bool]]:
    """Mails that were settled, their answers gone, before that instant or at all. What is held waits for somebody."""
    lingers: sa.ColumnElement[bool] = outbox.c.state.not_in(LEFT)
    which: list[sa.ColumnElement[bool]] = [intake.c.raw.is_not(None), intake.c.state.in_(_SETTLED)]
    if before is not None:
        lingers = sa.or_(lingers, outbox.c.sent_at >= before)
        which.append(intake.c.settled_at < before)
    return [*which, ~sa.exists().where(outbox.c.intake_id == intake.c.id, lingers)]


def _intakes(before: datetime) -> sa.Select[Any]:
    columns = (intake.c.id, intake.c.key_id)
    return sa.select(*columns).where(*_done_with(before)).order_by(intake.c.settled_at, intake.c.id)


def _own_mails(before: datetime) -> sa.Select[Any]:
    """Mails of ours that answer none, sent before that instant in all their parts, which share a key."""
    part = outbox.alias("part")
    lingers = sa.exists().where(
        part.c.kind == outbox.c.kind,
        part.c.key == outbox.c.key,
        sa.or_(part.c.state.not_in(LEFT), part.c.sent_at >= before),
    )
    return sa.select(outbox.c.id, outbox.c.key_id).where(
        outbox.c.sent_at < before, outbox.c.raw.is_not(None), outbox.c.intake_id.is_(None), ~lingers
    )


async def count_due(tx: Transaction, before: datetime) -> tuple[int, int]:
    """How many mails of others, and how many of ours that answer none, are to be erased."""
    theirs, ours = (
        sa.select(sa.func.count()).select_from(due.subquery()) for due in (_intakes(before), _own_mails(before))
    )
    return int((await tx.all(theirs))[0][0]), int((await tx.all(ours))[0][0])


async def intakes_due(tx: Transaction, before: datetime, limit: int) -> list[int]:
    """The oldest mails to be erased."""
    return [row.id for row in await tx.all(_intakes(before).limit(limit))]


async def kept(tx: Transaction, ids: Sequence[int]) -> list[int]:
    """Those of these mails whose octets we still have."""
    statement = sa.select(intake.c.id).where(intake.c.id.in_(ids), intake.c.raw.is_not(None))
    return [row.id for row in await tx.all(statement.order_by(intake.c.id))]


async def done_with(tx: Transaction, ids: Sequence[int]) -> list[int]:
    """Those of these mails that could be erased now: settled, and their answers left."""
    statement = sa.select(intake.c.id).where(intake.c.id.in_(ids), *_done_with(None))
    return [row.id for row in await tx.all(statement.order_by(intake.c.id))]


async def erase_intakes(tx: Transaction, before: datetime, limit: int, at: datetime) -> int:
    """Erase the oldest mails that are done with; how many."""
    return await _erase(tx, _intakes(before).limit(limit), at)


async def erase_these(tx: Transaction, ids: Sequence[int], at: datetime) -> int:
    """Erase those of these mails that are done with; how many."""
    columns = (intake.c.id, intake.c.key_id)
    which = sa.select(*columns).where(intake.c.id.in_(ids), *_done_with(None)).order_by(intake.c.id)
    return await _erase(tx, which, at)


async def _erase(tx: Transaction, which: sa.Select[Any], at: datetime) -> int:
    """The mails, their files' receipts and their answers."""
    rows = await tx.all(which.with_for_update(of=intake))
    if not rows:
        return 0
    ids = [row.id for row in rows]
    keys.erase(tx, [row.key_id for row in rows])
    await tx.run(sa.update(file).where(file.c.intake_id.in_(ids)).values(receipt=None, returned=None))
    await tx.run(sa.update(outbox).where(outbox.c.intake_id.in_(ids)).values(payload=None, raw=None))
    await attestations.erase(tx, attestation.c.intake_id.in_(ids))
    await tx.run(sa.update(intake).where(intake.c.id.in_(ids)).values(raw=None))
    await journal.append(tx, [journal.Entry(kind="mail-erased", intake_id=id_) for id_ in ids], at)
    return len(ids)


async def erase_own_mails(tx: Transaction, before: datetime, limit: int, at: datetime) -> int:
    """Erase the oldest mails of ours that answer none; how many."""
    rows = await tx.all(_own_mails(before).order_by(outbox.c.sent_at, outbox.c.id).limit(limit).with_for_update())
    if not rows:
        return 0
    ids = [row.id for row in rows]
    keys.erase(tx, sorted({row.key_id for row in rows}))
    await tx.run(sa.update(outbox).where(outbox.c.id.in_(ids)).values(payload=None, raw=None))
    await journal.append(tx, [journal.Entry(kind="outbox-erased", detail={"outbox": id_}) for id_ in ids], at)
    return len(ids)
