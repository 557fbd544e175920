"""What is counted without holes: unique numbers, a territory's history, a desk's dispatches. Read, and set right."""

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from mailflow.core import numbers
from mailflow.core.accounts import Cause, PassedOver, Series, Stretch, stretches
from mailflow.core.model import RequestState
from mailflow.register.tables import (
    counter,
    dispatch,
    file,
    history,
    history_counter,
    intake,
    journal,
    request,
    reserved_number,
)
from mailflow.register.transaction import Transaction
from mailflow.register.types import IntakeState

JUMPED = "numbers-jumped"
"""The journal's entry of numbers that nobody will ever be given: `territory`, `month`, `first` and `last`; `cause`, and
`by` and `why` of whoever restored the register."""
_MONTH = sa.func.substr(request.c.number, 4, 4)
_SEQUENCE = sa.cast(sa.func.substr(request.c.number, 8, 6), sa.Integer)


async def of_numbers(tx: Transaction) -> list[Series]:
    """Of each territory and month (`059 0126`). Reads all requests."""
    removed = sa.func.sum(sa.case((request.c.state == RequestState.REMOVED.value, 1), else_=0))
    name = (request.c.territory + " " + _MONTH).label("name")
    counters = {f"{row.territory} {row.month}": row.last for row in await tx.all(sa.select(counter))}
    return await _series(tx, name, _SEQUENCE, counters, removed)


async def of_history(tx: Transaction) -> list[Series]:
    """Of each territory. Reads all of the history."""
    counters = {row.territory: row.last for row in await tx.all(sa.select(history_counter))}
    return await _series(tx, history.c.territory.label("name"), history.c.sequence, counters)


async def of_dispatches(tx: Transaction) -> list[Series]:
    """Of each sender and desk (`lille 59123`): the last one is the counter."""
    return await _series(tx, (dispatch.c.sender + " " + dispatch.c.desk).label("name"), dispatch.c.number, None)


async def _series(
    tx: Transaction,
    name: sa.Label[str],
    member: sa.ColumnElement[int],
    counters: dict[str, int] | None,
    removed: sa.ColumnElement[int] | None = None,
) -> list[Series]:
    gone = sa.literal(0) if removed is None else removed
    columns = (
        name,
        sa.func.max(member).label("highest"),
        sa.func.count(member.distinct()).label("different"),
        sa.func.count().label("rows"),
        gone.label("removed"),
    )
    found = {row.name: row for row in await tx.all(sa.select(*columns).group_by(name))}
    names = sorted({*found, *(counters or ())})
    return [_one(one, found.get(one), counters) for one in names]


def _one(name: str, row: sa.Row[Any] | None, counters: dict[str, int] | None) -> Series:
    highest = int(row.highest) if row else 0
    return Series(
        name=name,
        counter=highest if counters is None else counters.get(name),
        highest=highest,
        count=int(row.different) if row else 0,
        rows=int(row.rows) if row else 0,
        removed=int(row.removed) if row else 0,
    )


async def holes_in_numbers(tx: Transaction, series: Series, limit: int) -> list[Stretch]:
    """What is missing between 1 and where the counter stands; the first stretches."""
    members = sa.select(_SEQUENCE.label("member")).where(_in(series))
    return await _holes(tx, members, series, limit)


async def passed_over(tx: Transaction) -> dict[str, list[PassedOver]]:
    """By territory and month, what a counter was made to pass over, on record, and what is kept for who had it."""
    found: defaultdict[str, list[PassedOver]] = defaultdict(list)
    entries = sa.select(journal.c.at, journal.c.detail).where(journal.c.kind == JUMPED).order_by(journal.c.id)
    for row in await tx.all(entries):
        said = json.loads(row.detail)
        stretch, cause = Stretch(said["first"], said["last"]), Cause(said["cause"])
        one = PassedOver(stretch=stretch, cause=cause, at=row.at, by=said["by"], why=said["why"])
        found[f"{said['territory']} {said['month']}"].append(one)
    for name, sequences in (await _kept(tx)).items():
        found[name] += [
            PassedOver(stretch=one, cause=Cause.KEPT, at=None, by="", why="") for one in stretches(sequences)
        ]
    return found


async def _kept(tx: Transaction) -> dict[str, list[int]]:
    """What is kept for requests that had it in a time that was lost, and have not come again; in order."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    statement = sa.select(reserved_number.c.number).distinct().where(reserved_number.c.given_at.is_(None))
    for row in await tx.all(statement.order_by(reserved_number.c.number)):
        parts = numbers.parse(row.number)
        found[f"{parts.territory} {parts.month:02}{parts.year % 100:02}"].append(parts.sequence)
    return found


def _in(series: Series) -> sa.ColumnElement[bool]:
    return request.c.number.startswith(series.name.replace(" ", ""))


async def holes_in_history(tx: Transaction, series: Series, limit: int) -> list[Stretch]:
    """Likewise, of a territory's history."""
    members = sa.select(history.c.sequence.label("member")).where(history.c.territory == series.name)
    return await _holes(tx, members, series, limit)


async def holes_in_dispatches(tx: Transaction, series: Series, limit: int) -> list[Stretch]:
    """Likewise, of what a desk was told."""
    sender, _, desk = series.name.rpartition(" ")
    which = (dispatch.c.sender == sender, dispatch.c.desk == desk)
    return await _holes(tx, sa.select(dispatch.c.number.label("member")).where(*which), series, limit)


async def _holes(tx: Transaction, members: sa.Select[Any], series: Series, limit: int) -> list[Stretch]:
    listed = members.distinct().subquery()
    before = sa.func.coalesce(sa.func.lag(listed.c.member).over(order_by=listed.c.member), 0).label("before")
    pairs = sa.select(listed.c.member, before).subquery()
    gaps = sa.select(pairs).where(pairs.c.member - pairs.c.before > 1).order_by(pairs.c.member).limit(limit)
    found = [Stretch(row.before + 1, row.member - 1) for row in await tx.all(gaps)]
    if len(found) < limit and (series.counter or 0) > series.highest:
        found.append(Stretch(series.highest + 1, series.counter or 0))
    return found


async def given_twice(tx: Transaction, series: Series, limit: int) -> list[int]:
    """Sequences of a territory and month that two numbers have."""
    which = sa.select(_SEQUENCE.label("member")).where(_in(series))
    rows = await tx.all(which.group_by(_SEQUENCE).having(sa.func.count() > 1).order_by(_SEQUENCE).limit(limit))
    return [row.member for row in rows]


async def raise_counter(tx: Transaction, series: Series) -> None:
    """The counter of a territory and month stands at the highest number at least: the next one is a new one."""
    territory, _, month = series.name.partition(" ")
    new = tx.insert(counter).values(territory=territory, month=month, last=series.highest)
    higher = counter.c.last < new.excluded.last
    await tx.run(
        new.on_conflict_do_update(
            index_elements=[counter.c.territory, counter.c.month], set_={"last": new.excluded.last}, where=higher
        )
    )


async def raise_history_counter(tx: Transaction, series: Series) -> None:
    """Likewise, of a territory's history."""
    new = tx.insert(history_counter).values(territory=series.name, last=series.highest)
    higher = history_counter.c.last < new.excluded.last
    set_ = {"last": new.excluded.last}
    await tx.run(new.on_conflict_do_update(index_elements=[history_counter.c.territory], set_=set_, where=higher))


# Numbers that stand alone


async def without_history(tx: Transaction, limit: int) -> tuple[int, list[str]]:
    """Numbers whose making is not in the history: how many, and the first of them."""
    made = sa.select(history.c.number).where(history.c.number == request.c.number, history.c.revision == 1)
    return await _numbers(tx, sa.select(request.c.number).where(~made.exists()), limit)


async def not_answered(tx: Transaction, limit: int) -> tuple[int, list[str]]:
    """Numbers whose mail does not count as answered: nobody can have been told."""
    answered = (
        sa.select(file.c.record)
        .join(intake, intake.c.id == file.c.intake_id)
        .where(file.c.record == request.c.file_record, intake.c.state == IntakeState.ANSWERED.value)
    )
    return await _numbers(tx, sa.select(request.c.number).where(~answered.exists()), limit)


async def _numbers(tx: Transaction, which: sa.Select[tuple[str]], limit: int) -> tuple[int, list[str]]:
    ((number,),) = await tx.all(sa.select(sa.func.count()).select_from(which.subquery()))
    rows = await tx.all(which.order_by(request.c.number).limit(limit))
    return int(number), [row.number for row in rows]
