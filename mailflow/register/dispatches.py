"""What desks were told of requests, and how far: one numbered dispatch after the other, without gap or overlap.

A desk's position in a territory is the history's sequence up to which it was told. The history is dense and in the
order of commits, so nothing comes in behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mailflow.core.model import Operation, RequestState
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import issuing
from mailflow.register.tables import dispatch, history, on_its_way, outbox, request
from mailflow.register.transaction import Transaction

ROWS_AHEAD = 2_000
"""Entries of the history that are looked at together."""
OWN_DESK_FIRST = timedelta(days=3)
"""So long nothing is told from a new number on whose answer has not left: a register that has lost its latest time
learns from answers which numbers went out. After that backups know it, and one answer that is held stops no others."""

_NEVER = sa.literal(2**63 - 1, sa.BigInteger)
"""Beyond every sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """The last thing within a dispatch that was done to a request and that the desk has no other way to learn of."""

    operation: Operation
    actor: DeskCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of a territory's history, and what the desk has to be told of it."""

    territory: Territory
    follows: int
    through: int
    acts: Mapping[UniqueNumber, Act]
    """By request, in the order in which each was first touched."""
    more: bool
    """Whether there is more behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A dispatch on record."""

    sender: str
    desk: DeskCode
    number: int
    """Counted for sender and desk, from 1."""
    territory: Territory
    follows: int
    through: int
    requests: int
    made_at: datetime

    @property
    def name(self) -> str:
        """No other one has it; the keys of the mails that carry it begin with it and a colon."""
        return f"{self.sender}:{self.desk}:{self.number}"


async def position(tx: Transaction, sender: str, desk: DeskCode, territory: Territory, since: datetime) -> int:
    """The sequence up to which it was told; when that was not since `since`, that of the last entry before it."""
    mine = (dispatch.c.sender == sender, dispatch.c.desk == desk, dispatch.c.territory == territory)
    latest = sa.select(dispatch.c.through, dispatch.c.made_at).where(*mine).order_by(dispatch.c.number.desc())
    told = await tx.all(latest.limit(1))
    if told and told[0].made_at >= since:
        return int(told[0].through)
    # Read backwards: what lies between is yet to be told.
    before = sa.select(history.c.sequence).where(history.c.territory == territory, history.c.at < since)
    found = await tx.all(before.order_by(history.c.sequence.desc()).limit(1))
    return int(max([0, *(row.sequence for row in found), *(row.through for row in told)]))


def _news(desk: DeskCode | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """What others did; and of a desk's own acts those that its answers do not tell in full.

    The answer to a `CRS` says nothing of the couple's request, which it changes too. That to a reactivation, or to a
    renewal in time that is decided late, says nothing of the content, which a desk erases when a request ends.
    """
    couple_left = sa.and_(history.c.operation == Operation.CREATION_AFTER_SEPARATION.value, history.c.revision > 1)
    before = history.alias("before")
    had_ended = sa.exists().where(
        before.c.number == history.c.number,
        before.c.revision == history.c.revision - 1,
        before.c.state != RequestState.ACTIVE.value,
    )
    revived = sa.and_(history.c.state == RequestState.ACTIVE.value, had_ended)
    return sa.or_(history.c.desk.is_distinct_from(desk), couple_left, revived)


def _untold(desk: DeskCode, territory: Territory, after: int, at: datetime) -> sa.ColumnElement[bool]:
    """What a desk is to be told: the news since `after`, to the first new number that its own desk has yet to learn."""
    made = history.alias("made")
    unanswered = sa.exists().where(outbox.c.intake_id == made.c.intake_id, on_its_way, outbox.c.sent_at.is_(None))
    first = sa.select(sa.func.min(made.c.sequence)).where(
        made.c.territory == territory,
        made.c.sequence > after,
        made.c.revision == 1,
        made.c.at > at - OWN_DESK_FIRST,
        unanswered,
    )
    end = sa.func.coalesce(first.scalar_subquery(), _NEVER)
    return sa.and_(history.c.territory == territory, history.c.sequence > after, history.c.sequence < end, _news(desk))


async def count_news(tx: Transaction, desk: DeskCode, territory: Territory, after: int, at: datetime) -> int:
    """Of how many requests a desk is to be told something."""
    which = (_untold(desk, territory, after, at),)
    return int((await tx.all(sa.select(sa.func.count(history.c.number.distinct())).where(*which)))[0][0])


async def window(
    tx: Transaction,
    desk: DeskCode,
    territory: Territory,
    after: int,
    at: datetime,
    *,
    requests_max: int,
    bytes_max: int,
) -> Window:
    """What a desk is to be told of since `after`: as much as the limits allow, but at least one request; or all.

    It ends before the first new number whose answer has not left (`OWN_DESK_FIRST`): that is for another night.

    `bytes_max` counts the sealed content of the requests.
    """
    through, total = after, 0
    acts: dict[UniqueNumber, Act] = {}
    while rows := await _entries(tx, desk, territory, through, at):
        for row in rows:
            if row.number not in acts:
                total += row.size or 0
                if acts and (len(acts) == requests_max or total > bytes_max):
                    return Window(territory=territory, follows=after, through=through, acts=acts, more=True)
            acts[row.number] = Act(operation=Operation(row.operation), actor=row.desk)
            through = row.sequence
        if len(rows) < ROWS_AHEAD:
            break
    return Window(territory=territory, follows=after, through=through, acts=acts, more=False)


async def has_news(tx: Transaction, desk: DeskCode, territory: Territory, after: int, at: datetime) -> bool:
    """Whether a desk is to be told anything."""
    return bool(await _entries(tx, desk, territory, after, at, limit=1))


async def _entries(
    tx: Transaction, desk: DeskCode, territory: Territory, after: int, at: datetime, *, limit: int = ROWS_AHEAD
) -> list[sa.Row[Any]]:
    columns = (history.c.sequence, history.c.number, history.c.desk, history.c.operation)
    statement = (
        sa.select(*columns, sa.func.length(request.c.payload).label("size"))
        .join(request, request.c.number == history.c.number)
        .where(_untold(desk, territory, after, at))
        .order_by(history.c.sequence)
        .limit(limit)
    )
    return await tx.all(statement)


async def stretch(tx: Transaction, made: Made) -> Window:
    """What a dispatch on record told of."""
    statement = (
        sa.select(history.c.number, history.c.desk, history.c.operation)
        .where(history.c.territory == made.territory, history.c.sequence.between(made.follows + 1, made.through))
        .where(_news(made.desk))
        .order_by(history.c.sequence)
    )
    acts = {row.number: Act(operation=Operation(row.operation), actor=row.desk) for row in await tx.all(statement)}
    return Window(territory=made.territory, follows=made.follows, through=made.through, acts=acts, more=False)


async def last_changes(tx: Transaction, numbers: Sequence[str]) -> dict[UniqueNumber, datetime]:
    """When each of these requests was changed last."""
    statement = (
        sa.select(history.c.number, history.c.at)
        .join(request, sa.and_(request.c.number == history.c.number, request.c.revision == history.c.revision))
        .where(history.c.number.in_(numbers))
    )
    return {row.number: row.at for row in await tx.all(statement)}


async def next_number(tx: Transaction, sender: str, desk: DeskCode) -> int:
    """The number of the next dispatch."""
    mine = (dispatch.c.sender == sender, dispatch.c.desk == desk)
    (last,) = await tx.all(sa.select(sa.func.max(dispatch.c.number)).where(*mine))
    return int(last[0] or 0) + 1


async def record(tx: Transaction, made: Made) -> bool:
    """Put a dispatch on record; False when that number, or one from there on in that territory, exists already.

    Raises `issuing.NumbersStopped`.
    """
    await issuing.require_open(tx)
    columns = {name: getattr(made, name) for name in Made.__slots__}
    new = tx.insert(dispatch).values(**columns).on_conflict_do_nothing().returning(dispatch.c.number)
    return bool(await tx.all(new))


async def find(tx: Transaction, desk: str, number: int) -> list[Made]:
    """The dispatches of that number: one for each sender that acts for the desk."""
    statement = sa.select(dispatch).where(dispatch.c.desk == desk, dispatch.c.number == number)
    return [Made(**row._mapping) for row in await tx.all(statement.order_by(dispatch.c.sender))]


async def telling_of(tx: Transaction, number: str) -> list[Made]:
    """The dispatches that told of a request, the first ones first."""
    covers = (
        dispatch.c.territory == history.c.territory,
        dispatch.c.follows < history.c.sequence,
        dispatch.c.through >= history.c.sequence,
        _news(dispatch.c.desk),
    )
    told = sa.select(dispatch).select_from(history).join(dispatch, sa.and_(*covers))
    statement = told.where(history.c.number == number).distinct()
    rows = await tx.all(statement.order_by(dispatch.c.made_at, dispatch.c.sender, dispatch.c.desk, dispatch.c.number))
    return [Made(**row._mapping) for row in rows]


async def of_desk(tx: Transaction, desk: str | None, limit: int) -> list[Made]:
    """The latest dispatches, of one desk or of all, the last first."""
    statement = sa.select(dispatch).order_by(dispatch.c.made_at.desc(), dispatch.c.desk, dispatch.c.number.desc())
    if desk is not None:
        statement = statement.where(dispatch.c.desk == desk)
    return [Made(**row._mapping) for row in await tx.all(statement.limit(limit))]
