"""What operators name: mails and outgoing mails that a filter matches, whatever state they are in."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register.arrivals import message_token
from mailflow.register.tables import awaited_file, file, history, intake, journal, outbox, sender
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import IntakeState, OutboxState

MAIL = "mail"
"""What a mail that came is called; outgoing mails are called by their kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is meant. Each criterion narrows it down; of one with several values any will do; an empty one is none."""

    intakes: Sequence[int] = ()
    """Mails by their intake, with all that goes out for them."""
    outgoing: Sequence[int] = ()
    """Outgoing mails."""
    kinds: Sequence[str] = ()
    """`mail`, or kinds of outgoing mails."""
    states: Sequence[str] = ()
    reasons: Sequence[str] = ()
    number: str = ""
    """A unique number: the mails by which its request was made or changed, with all that went out for them."""
    desk: str = ""
    """Of a file that the mail brought: known once it is decided, or is late and its sender is proven."""
    file: str = ""
    """Name of a file that the mail brought, known likewise; `*` stands for anything."""
    sender: str = ""
    """Proven to have sent the mail; of a mail that goes out for none, whom it goes to."""
    message_id: str = ""
    """Of a mail, or of an outgoing one, with its angle brackets: either leads to both."""
    since: datetime | None = None
    """Received, or ordered, at this instant or later."""
    until: datetime | None = None
    """And before this one."""

    @property
    def is_empty(self) -> bool:
        """It names nothing, and so matches everything."""
        return not any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A mail that came, or one that goes out, as it stands."""

    kind: str
    id: int
    """Of the intake, or of the outgoing mail."""
    intake_id: int | None
    """The mail that it is, or answers."""
    part: int
    received_at: datetime
    """From here its time runs."""
    state: IntakeState | OutboxState
    reason: str | None
    sender: str | None
    next_at: datetime | None
    lease_until: datetime | None
    sent_at: datetime | None
    """When it left for the first time."""
    sends: int
    """How often it was sent, or perhaps sent."""
    kept: bool
    """Its octets are here (of an outgoing mail: were composed, and are kept)."""
    composed: bool
    """It has octets, or had: of what had left in a time that was lost there may be none yet."""


async def count(tx: Transaction, which: Filter) -> int:
    """How many mails and outgoing mails match."""
    found = 0
    for statement in _statements(tx, which):
        found += int((await tx.all(sa.select(sa.func.count()).select_from(statement.subquery())))[0][0])
    return found


async def find(tx: Transaction, which: Filter, limit: int | None = None) -> list[Item]:
    """The first of them by the time that they have left; a mail before what goes out for it."""
    rows: list[Any] = []
    for statement in _statements(tx, which):
        ids = [row.id for row in await tx.all(statement.limit(limit))]
        rows += await _rows(tx, _table(statement), ids)
    items = [_item(row) for row in rows]
    return sorted(items, key=_order)[:limit]


async def lock(tx: Transaction, which: Filter) -> list[Item]:
    """All of them, in the same order, as they stand until the end of the transaction: nobody else changes them."""
    rows: list[Any] = []
    for statement in _statements(tx, which):
        ids = sorted(row.id for row in await tx.all(statement))
        rows += await _rows(tx, _table(statement), ids, locked=True)
    return sorted((_item(row) for row in rows), key=_order)


def _order(item: Item) -> tuple[datetime, int, bool, int]:
    return item.received_at, item.intake_id or 0, item.kind != MAIL, item.id


def mails(tx: Transaction, which: Filter) -> sa.Select[Any]:
    """The intakes of the mails that match, to be asked more of."""
    return _matching(intake, which, _of_mails(which, _named(tx, which)))


def _statements(tx: Transaction, which: Filter) -> list[sa.Select[Any]]:
    """The ids of what matches, of each of the two tables that can hold any."""
    statements = []
    if not which.outgoing and (not which.kinds or MAIL in which.kinds):
        statements.append(mails(tx, which))
    if not which.kinds or set(which.kinds) - {MAIL}:
        statements.append(_matching(outbox, which, _of_outgoing(which, _named(tx, which))))
    return statements


def _named(tx: Transaction, which: Filter) -> sa.Select[Any]:
    """The mails with the Message-ID."""
    return sa.select(intake.c.id).where(intake.c.message_token == message_token(tx.vault, which.message_id))


def _matching(table: sa.Table, which: Filter, conditions: list[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    if which.states:
        conditions.append(table.c.state.in_(which.states))
    if which.reasons:
        conditions.append(table.c.reason.in_(which.reasons))
    if which.since is not None:
        conditions.append(table.c.received_at >= which.since)
    if which.until is not None:
        conditions.append(table.c.received_at < which.until)
    return sa.select(table.c.id).where(*conditions).order_by(table.c.received_at, table.c.id)


def _of_mails(which: Filter, named: sa.Select[Any]) -> list[sa.ColumnElement[bool]]:
    found = _about(which, intake.c.id)
    if which.sender:
        found.append(intake.c.sender == which.sender)
    if which.message_id:
        ours = sa.select(outbox.c.intake_id).where(outbox.c.message_id == which.message_id)
        found.append(sa.or_(intake.c.id.in_(ours), intake.c.id.in_(named)))
    return found


def _of_outgoing(which: Filter, named: sa.Select[Any]) -> list[sa.ColumnElement[bool]]:
    found = _about(which, outbox.c.intake_id)
    if which.outgoing:
        found.append(outbox.c.id.in_(which.outgoing))
    if which.kinds:
        found.append(outbox.c.kind.in_(which.kinds))
    if which.sender:
        theirs = sa.select(intake.c.id).where(intake.c.sender == which.sender)
        address = sa.select(sender.c.answer_address).where(sender.c.code == which.sender)
        told = sa.and_(outbox.c.intake_id.is_(None), outbox.c.recipient.in_(address))
        found.append(sa.or_(outbox.c.intake_id.in_(theirs), told))
    if which.message_id:
        found.append(sa.or_(outbox.c.message_id == which.message_id, outbox.c.intake_id.in_(named)))
    return found


def _about(which: Filter, intake_id: sa.Column[int]) -> list[sa.ColumnElement[bool]]:
    """What is asked of the mail, whichever table names it."""
    found: list[sa.ColumnElement[bool]] = []
    if which.intakes:
        found.append(intake_id.in_(which.intakes))
    if which.number:
        told = [sa.select(table.c.intake_id).where(table.c.number == which.number) for table in (history, journal)]
        found.append(sa.or_(*(intake_id.in_(one) for one in told)))
    if which.desk or which.file:
        brought = [_brought(table, which) for table in (file, awaited_file)]
        found.append(sa.or_(*(intake_id.in_(one) for one in brought)))
    return found


def _brought(table: sa.Table, which: Filter) -> sa.Select[Any]:
    conditions = [table.c.desk == which.desk] if which.desk else []
    if "*" in which.file:
        pattern = "%".join(_escaped(piece) for piece in which.file.split("*"))
        conditions.append(table.c.name.like(pattern, escape="\\"))
    elif which.file:
        conditions.append(table.c.name == which.file)
    return sa.select(table.c.intake_id).where(*conditions)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _table(statement: sa.Select[Any]) -> sa.Table:
    (table,) = statement.get_final_froms()
    assert isinstance(table, sa.Table)
    return table


async def _rows(tx: Transaction, table: sa.Table, ids: Sequence[int], *, locked: bool = False) -> list[Any]:
    mail = table is intake
    shared = ("id", "received_at", "state", "reason", "next_at", "lease_until")
    columns: list[Any] = [*(table.c[name] for name in shared), table.c.raw.is_not(None).label("kept")]
    if mail:
        columns += [sa.literal(MAIL).label("kind"), intake.c.id.label("intake_id"), sa.literal(1).label("part")]
        columns += [sa.null().label("sent_at"), sa.literal(0).label("sends"), intake.c.sender]
        columns += [sa.literal(1).label("composed")]
    else:
        of = sa.select(intake.c.sender).where(intake.c.id == outbox.c.intake_id).scalar_subquery()
        columns += [outbox.c.kind, outbox.c.intake_id, outbox.c.part, outbox.c.sent_at, outbox.c.sends]
        columns += [of.label("sender"), outbox.c.body_digest.is_not(None).label("composed")]
    rows: list[Any] = []
    for batch in batches(ids):
        statement = sa.select(*columns).where(tx.among(table.c.id, batch)).order_by(table.c.id)
        rows += await tx.all(statement.with_for_update(of=table) if locked else statement)
    return rows


def _item(row: Any) -> Item:
    state = (IntakeState if row.kind == MAIL else OutboxState)(row.state)
    return Item(**{**row._mapping, "state": state, "kept": bool(row.kept), "composed": bool(row.composed)})
