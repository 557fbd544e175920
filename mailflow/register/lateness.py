"""Mails whose answer is late: each is looked at once, to see whether its sender can be told that it is here."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.numbers import DeskCode
from mailflow.register import keys
from mailflow.register.intake import context
from mailflow.register.tables import awaited_file, intake, outbox
from mailflow.register.transaction import Transaction, batches, fitting
from mailflow.register.types import FOR_A_PERSON, IntakeState, OutboxState
from mailflow.register.vault import SealBroken

_ANSWERED = IntakeState.ANSWERED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A mail that has waited too long in our hands."""

    id: int
    received_at: datetime
    turn_at: datetime | None
    """When its sender's rates let it be decided; None when they do not matter."""
    for_a_person: bool
    """Nobody decides it before an operator has looked at it: perhaps it breaks whoever looks into it."""
    raw: bytes | None = field(repr=False)
    """None when there is nothing to look into, or nobody to be told."""


async def find(tx: Transaction, answer: str, taken_before: datetime, limit: int, *, size_bytes_max: int) -> list[Late]:
    """The oldest mails taken in before that instant whose answer, an outgoing mail of kind `answer`, does not exist.

    Whatever somebody works on just now is left out: its answer may come in a moment.
    """
    waits = sa.and_(intake.c.late_at.is_(None), intake.c.taken_at <= taken_before)
    named = sa.select(intake.c.id, intake.c.size_bytes)
    undecided = named.where(waits, intake.c.state != _ANSWERED, intake.c.lease_owner.is_(None))
    rows = await tx.all(undecided.order_by(intake.c.taken_at, intake.c.id).limit(limit))
    uncomposed = named.join(outbox, outbox.c.intake_id == intake.c.id).where(
        waits,
        outbox.c.kind == answer,
        outbox.c.state == OutboxState.QUEUED.value,
        outbox.c.next_at.is_not(None),  # so it is; SQLite takes the index of what is due by that alone
        outbox.c.received_at <= taken_before,
        outbox.c.lease_owner.is_(None),
    )
    rows += await tx.all(uncomposed.order_by(outbox.c.received_at, outbox.c.id).limit(limit - len(rows)))
    return await _opened(tx, fitting({row.id: row.size_bytes for row in rows}, size_bytes_max))


async def _opened(tx: Transaction, ids: Sequence[int]) -> list[Late]:
    content_keys = await keys.of_intakes(tx, ids)
    late: dict[int, Late] = {}
    for batch in batches(ids):
        for row in await tx.all(sa.select(intake).where(tx.among(intake.c.id, batch))):
            raw = None
            if row.raw is not None and row.state != IntakeState.SAME_DELIVERY.value:
                with contextlib.suppress(KeyError, SealBroken):
                    raw = tx.vault.open(content_keys[row.id], row.raw, context(row))
            late[row.id] = Late(
                id=row.id,
                received_at=row.received_at,
                turn_at=row.turn_at,
                for_a_person=row.state in FOR_A_PERSON,
                raw=raw,
            )
    return [late[id_] for id_ in ids if id_ in late]


async def note(tx: Transaction, answer: str, ids: Sequence[int], at: datetime) -> set[int]:
    """Put on record that these were looked at. Returns those that were not before, and whose answer cannot leave yet.

    Until the end of the transaction none of them can be decided or have its answer frozen.
    """
    noted: set[int] = set()
    for batch in batches(sorted(ids)):
        statement = sa.update(intake).where(tx.among(intake.c.id, batch), intake.c.late_at.is_(None)).values(late_at=at)
        noted |= {row.id for row in await tx.all(statement.returning(intake.c.id))}
    for batch in batches(sorted(noted)):
        answers = (
            sa.select(outbox.c.intake_id, _on_its_way(outbox).label("on_its_way"))
            .where(tx.among(outbox.c.intake_id, batch), _is_first_part_of(outbox, answer))
            .order_by(outbox.c.id)
            .with_for_update()
        )
        noted -= {row.intake_id for row in await tx.all(answers) if row.on_its_way}
    return noted


async def remember_files(tx: Transaction, waiting: Sequence[tuple[int, DeskCode, str, str]]) -> None:
    """Which files these mails brought, as (intake, desk, name, digest): that they are here can be told from now on."""
    rows = [dict(zip(("intake_id", "desk", "name", "digest"), one, strict=True)) for one in waiting]
    await tx.all(tx.insert(awaited_file).on_conflict_do_nothing().returning(awaited_file.c.intake_id), rows)


async def withdraw(tx: Transaction, kind: str, keys_: Sequence[str], reason: str) -> None:
    """Outgoing mails of this kind are not wanted any more. One that is being sent is left alone."""
    states = [OutboxState.QUEUED.value, OutboxState.COMPOSED.value, OutboxState.HELD.value]
    for batch in batches(keys_):
        waiting = outbox.c.state.in_(states) & outbox.c.sent_at.is_(None)
        await _withdraw(tx, sa.and_(outbox.c.kind == kind, tx.among(outbox.c.key, batch), waiting), reason)


async def withdraw_overtaken(tx: Transaction, kind: str, answer: str, ids: Sequence[int], reason: str) -> set[int]:
    """Of these mails, those of this kind whose answer can leave: not wanted any more, though sent in vain before.

    Returns them.
    """
    answers = outbox.alias()
    answered = sa.and_(
        answers.c.intake_id == outbox.c.intake_id, _is_first_part_of(answers, answer), _on_its_way(answers)
    )
    overtaken: set[int] = set()
    for batch in batches(ids):
        these = sa.and_(tx.among(outbox.c.id, batch), outbox.c.kind == kind, sa.exists().where(answered))
        overtaken |= {row.id for row in await _withdraw(tx, these, reason)}
    return overtaken


async def give_up(tx: Transaction, outbox_id: int, reason: str, at: datetime) -> None:
    """A doubtful mail is not to be sent a second time. One that is being sent anew is left alone."""
    doubtful = sa.and_(outbox.c.state == OutboxState.SENDING.value, outbox.c.lease_until <= at)
    await _withdraw(tx, sa.and_(outbox.c.id == outbox_id, doubtful), reason)


def _is_first_part_of(outgoing: sa.FromClause, answer: str) -> sa.ColumnElement[bool]:
    """No other part tells when an answer can leave: the first may be frozen last, and none leaves before it."""
    return sa.and_(outgoing.c.kind == answer, outgoing.c.part == 1)


def _on_its_way(outgoing: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether it has its octets, or had them when it left."""
    return sa.or_(outgoing.c.raw.is_not(None), outgoing.c.sent_at.is_not(None))


async def _withdraw(tx: Transaction, which: sa.ColumnElement[bool], reason: str) -> Sequence[sa.Row[Any]]:
    free = {"next_at": None, "sending_at": None, "lease_owner": None, "lease_until": None}
    values = {"state": OutboxState.WITHDRAWN.value, "reason": reason, **free}
    return await tx.all(sa.update(outbox).where(which).values(**values).returning(outbox.c.id))
