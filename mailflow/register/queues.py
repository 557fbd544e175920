"""What operators see of the queues; what they do about it is in `acts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register import journal, keys, piecemeal
from mailflow.register.intake import context as raw_context
from mailflow.register.outbox import BOUNCED, sent
from mailflow.register.tables import intake, on_its_way, outbox, unanswered_mail
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import FOR_A_PERSON, IntakeState, OutboxState


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRow:
    """A mail that was taken in."""

    id: int
    received_at: datetime
    taken_at: datetime
    settled_at: datetime | None
    state: IntakeState
    reason: str | None
    detail: str | None
    sender: str | None
    digest: str | None
    size_bytes: int
    attempts: int
    solo: bool
    next_at: datetime | None
    lease_owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A mail that goes out."""

    id: int
    kind: str
    key: str
    part: int
    intake_id: int | None
    recipient: str
    message_id: str
    received_at: datetime
    queued_at: datetime
    sent_at: datetime | None
    state: OutboxState
    reason: str | None
    attempts: int
    next_at: datetime | None
    lease_owner: str | None


async def ordered(tx: Transaction, kind: str, keys: Sequence[str]) -> set[str]:
    """Of these keys of a kind of outgoing mail those that were ever ordered."""
    found: set[str] = set()
    for batch in batches(keys):
        statement = sa.select(outbox.c.key).where(outbox.c.kind == kind, tx.among(outbox.c.key, batch))
        found |= {row.key for row in await tx.all(statement)}
    return found


async def waiting(tx: Transaction, limit: int) -> list[IntakeRow]:
    """Mails that are not decided yet, oldest first."""
    statement = sa.select(*_intake_columns()).where(intake.c.next_at.is_not(None))
    rows = await tx.all(statement.order_by(intake.c.received_at, intake.c.id).limit(limit))
    return [_intake_row(row) for row in rows]


async def count_waiting(tx: Transaction, most: int) -> int:
    """How many mails are not decided yet; no more than `most` are counted, and none that its sender's rates put off."""
    waits = (intake.c.next_at.is_not(None), intake.c.turn_at.is_(None))
    some = sa.select(intake.c.id).where(*waits).limit(most).subquery()
    (row,) = await tx.all(sa.select(sa.func.count().label("mails")).select_from(some))
    return int(row.mails)


async def bytes_put_off(tx: Transaction) -> int:
    """How many octets those mails have that are not decided yet since they were beyond their senders' rates."""
    waits = (intake.c.next_at.is_not(None), intake.c.turn_at.is_not(None))
    (row,) = await tx.all(sa.select(sa.func.sum(intake.c.size_bytes).label("octets")).where(*waits))
    return int(row.octets or 0)


async def count_unsent(tx: Transaction, kind: str, most: int) -> int:
    """How many mails of a kind have not left; no more than `most` are counted, and none that waits for a person.

    So neither what is held nor what comes after it: whoever is to look at that may be away for days.
    """
    waits = (on_its_way, outbox.c.kind == kind, outbox.c.state != OutboxState.HELD.value, ~piecemeal.behind_a_held_one)
    some = sa.select(outbox.c.id).where(*waits).limit(most).subquery()
    (row,) = await tx.all(sa.select(sa.func.count().label("mails")).select_from(some))
    return int(row.mails)


async def unanswered(tx: Transaction, limit: int) -> list[OutboxRow]:
    """Outgoing mails that have not left, those whose time runs longest first."""
    first = (outbox.c.received_at, outbox.c.id)
    oldest = sa.select(outbox.c.id).where(on_its_way).order_by(*first).limit(limit)
    rows = await tx.all(sa.select(*_outbox_columns()).where(outbox.c.id.in_(oldest)).order_by(*first))
    return [_outbox_row(row) for row in rows]


async def set_aside(tx: Transaction, limit: int) -> list[IntakeRow]:
    """Mails that wait for a person, the latest first."""
    statement = sa.select(*_intake_columns()).where(unanswered_mail, intake.c.state.in_(FOR_A_PERSON))
    rows = await tx.all(statement.order_by(intake.c.received_at.desc(), intake.c.id.desc()).limit(limit))
    return [_intake_row(row) for row in rows]


async def counts(tx: Transaction) -> dict[str, dict[str, int]]:
    """How many rows each state has, of `intake` and of `outbox`; what is answered or has left is not counted."""
    found: dict[str, dict[str, int]] = {}
    for table, open_ in ((intake, unanswered_mail), (outbox, on_its_way)):
        statement = sa.select(table.c.state, sa.func.count().label("rows")).where(open_).group_by(table.c.state)
        found[table.name] = {row.state: row.rows for row in await tx.all(statement)}
    return found


@dataclass(frozen=True, slots=True)
class Left:
    """How many mails, in or out, work is left for that nobody is at just now."""

    due: int
    """Whoever is free may begin with them at once."""
    later: int
    """They are put off, come after a part that is to leave, or were perhaps sent."""


async def left(tx: Transaction, owner: str, at: datetime) -> Left:
    """What is due and what is not is told by one statement for each queue, so that no mail falls in between.

    `owner` asks, and is at nothing any more: what it still holds, such as a send whose end it did not see, is left too.
    """
    due = later = 0
    for table, waits, in_turn in (
        (intake, intake.c.next_at.is_not(None), sa.true()),
        (outbox, outbox.c.next_at.is_not(None) & ~piecemeal.behind_a_held_one, piecemeal.in_turn),
        (outbox, outbox.c.sending_at.is_not(None), sa.true()),
    ):
        idle = sa.or_(table.c.lease_until.is_(None), table.c.lease_until <= at, table.c.lease_owner == owner)
        now = table.c.next_at.is_not(None) & (table.c.next_at <= at) & in_turn
        counts = (sa.func.count().filter(now).label("due"), sa.func.count().filter(~now).label("later"))
        (row,) = await tx.all(sa.select(*counts).where(waits, idle))
        due += int(row.due)
        later += int(row.later)
    return Left(due=due, later=later)


async def find_intake(tx: Transaction, intake_id: int) -> IntakeRow | None:
    """One mail that was taken in, without its octets."""
    rows = await tx.all(sa.select(*_intake_columns()).where(intake.c.id == intake_id))
    return _intake_row(rows[0]) if rows else None


async def sizes(tx: Transaction, intake_ids: Sequence[int]) -> dict[int, int]:
    """How many octets these mails have, in their order."""
    found: dict[int, int] = {}
    for batch in batches(intake_ids):
        rows = await tx.all(sa.select(intake.c.id, intake.c.size_bytes).where(tx.among(intake.c.id, batch)))
        found |= {row.id: row.size_bytes for row in rows}
    return {id_: found[id_] for id_ in intake_ids if id_ in found}


async def raw(tx: Transaction, intake_id: int) -> bytes | None:
    """The octets of a mail; None when it was too large to be read, or its content key is no more, or damaged."""
    rows = await tx.all(sa.select(intake).where(intake.c.id == intake_id))
    key = (await keys.of_intakes(tx, [intake_id])).get(intake_id)
    if not rows or key is None or rows[0].raw is None:
        return None
    return tx.vault.open(key, rows[0].raw, raw_context(rows[0]))


async def find_outbox(
    tx: Transaction, *, id_: int | None = None, message_id: str | None = None, intake_id: int | None = None
) -> list[OutboxRow]:
    """Outgoing mails by one of these."""
    which = sa.or_(
        outbox.c.id == id_ if id_ is not None else sa.false(),
        outbox.c.message_id == message_id if message_id is not None else sa.false(),
        outbox.c.intake_id == intake_id if intake_id is not None else sa.false(),
    )
    rows = await tx.all(sa.select(*_outbox_columns()).where(which).order_by(outbox.c.id))
    return [_outbox_row(row) for row in rows]


# What came back


async def record_bounce(
    tx: Transaction, *, envelope_id: str, message_id: str, verp: str, intake_id: int, at: datetime
) -> int | None:
    """A delivery status notification came for a mail of ours: an answer that had left is held for an operator.

    Names of the mail, the surest first, empty where the notification has none. Nobody vouches for a notification:
    so one that names a mail still on its way is only put on record. Returns the mail's id, None when there is none.
    """
    names = [
        (outbox.c.envelope_id, envelope_id),
        (outbox.c.message_id, message_id),
        (outbox.c.envelope_id, verp),
    ]
    for column, value in names:
        if value and (found := await tx.all(sa.select(outbox.c.id, outbox.c.state).where(column == value))):
            break
    else:
        return None
    row = found[0]
    # Also one that we do not know yet to have left: who knows its name has got it from whom we gave it to. And one that
    # left in a time that was lost, without octets here (`departures`): it would be taken to have arrived once composed,
    # unless it came back before and was released.
    waits = sa.and_(outbox.c.state.in_((OutboxState.QUEUED.value, OutboxState.HELD.value)), outbox.c.copies_before == 0)
    without_octets = sa.and_(waits, outbox.c.sent_at.is_not(None), outbox.c.body_digest.is_(None))
    has_left = sa.or_(outbox.c.state.in_((OutboxState.SENT.value, OutboxState.SENDING.value)), without_octets)
    held = {"state": OutboxState.HELD.value, "reason": BOUNCED, "sent_again_at": outbox.c.sent_again_at, "round": None}
    await tx.run(sa.update(outbox).where(outbox.c.id == row.id, has_left).values(**{**sent(at), **held}))
    entry = journal.Entry(kind="bounced", intake_id=intake_id, detail={"outbox": row.id, "state_before": row.state})
    await journal.append(tx, [entry], at)
    return int(row.id)


def _intake_columns() -> list[sa.Column[Any]]:
    return [intake.c[name] for name in IntakeRow.__slots__]


def _outbox_columns() -> list[sa.Column[Any]]:
    return [outbox.c[name] for name in OutboxRow.__slots__]


def _intake_row(row: sa.Row[Any]) -> IntakeRow:
    return IntakeRow(**{**row._mapping, "state": IntakeState(row.state)})


def _outbox_row(row: sa.Row[Any]) -> OutboxRow:
    return OutboxRow(**{**row._mapping, "state": OutboxState(row.state)})
