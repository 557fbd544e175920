"""Requests whose day has come: to be noticed, to end, to be erased."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from mailflow.core.model import RequestState
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.register import attestations, keys, nir, requests
from mailflow.register.tables import attestation, request
from mailflow.register.transaction import Transaction, batches

_ACTIVE = request.c.state == RequestState.ACTIVE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """An active request with its last day."""

    number: UniqueNumber
    desk: DeskCode
    """That created it."""
    expires_on: date


def unnoticed(today: date, until: date, desks: Collection[str] | None = None) -> sa.Select[Any]:
    """Active requests whose last day lies between both days and that nobody was told of yet."""
    which = [
        _ACTIVE,
        request.c.expires_on.between(today, until),
        request.c.noticed_for.is_distinct_from(request.c.expires_on),
    ]
    if desks is not None:
        which.append(request.c.desk.in_(desks))
    return _endings(which)


def lapsed(today: date) -> sa.Select[Any]:
    """Active requests whose last day has passed."""
    return _endings([_ACTIVE, request.c.expires_on < today])


def _endings(which: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    columns = (request.c.number, request.c.desk, request.c.expires_on)
    return sa.select(*columns).where(*which).order_by(request.c.expires_on, request.c.number)


def erasable(ended_until: date) -> sa.Select[Any]:
    """Requests with content that ended on that day or before."""
    which = (request.c.payload.is_not(None), request.c.ended_on <= ended_until)
    return sa.select(request.c.number).where(*which).order_by(request.c.ended_on, request.c.number)


async def count(tx: Transaction, which: sa.Select[Any]) -> int:
    """How many there are."""
    return int((await tx.all(sa.select(sa.func.count()).select_from(which.order_by(None).subquery())))[0][0])


async def first(tx: Transaction, which: sa.Select[Any], limit: int) -> list[UniqueNumber]:
    """The numbers of the first, in their order."""
    return [row.number for row in await tx.all(which.limit(limit))]


async def endings(tx: Transaction, which: sa.Select[Any], limit: int) -> list[Ending]:
    """The first, in their order."""
    return [
        Ending(number=row.number, desk=row.desk, expires_on=row.expires_on) for row in await tx.all(which.limit(limit))
    ]


async def notice(tx: Transaction, found: Sequence[Ending]) -> list[Ending]:
    """Put on record that somebody was told; returns those of which this was so far not so, and is still true."""
    days = {ending.number: ending.expires_on for ending in found}
    told: list[Ending] = []
    for batch in batches(sorted(days)):
        which = (
            tx.among(request.c.number, batch),
            _ACTIVE,
            request.c.noticed_for.is_distinct_from(request.c.expires_on),
        )
        columns = (request.c.number, request.c.desk, request.c.expires_on)
        rows = await tx.all(sa.select(*columns).where(*which).order_by(request.c.number).with_for_update())
        now = [row.number for row in rows if row.expires_on == days[row.number]]
        await tx.run(sa.update(request).where(request.c.number.in_(now)).values(noticed_for=request.c.expires_on))
        told += [Ending(**row._mapping) for row in rows if row.number in now]
    return sorted(told, key=lambda ending: (ending.expires_on, ending.number))


async def erase(tx: Transaction, numbers: Sequence[str]) -> list[UniqueNumber]:
    """Erase what these requests say, and all by which their persons were recognised; returns those that had anything.

    Their content key goes, and with it their history's content and their attestations. Number, days, states, digests
    and codes stay.
    """
    rows: list[Any] = []
    for batch in batches(sorted(numbers)):
        statement = (
            sa.select(request.c.number, request.c.id, request.c.key_id)
            .where(tx.among(request.c.number, batch), request.c.payload.is_not(None))
            .order_by(request.c.number)
            .with_for_update()
        )
        rows += await tx.all(statement)
    keys.erase(tx, [row.key_id for row in rows])
    ids = [row.id for row in rows]
    await requests.release(tx, ids)
    await nir.erase(tx, ids)
    for batch in batches(ids):
        await tx.run(sa.update(request).where(tx.among(request.c.id, batch)).values(payload=None))
    erased = [row.number for row in rows]
    for batch in batches(erased):
        await attestations.erase(tx, tx.among(attestation.c.number, batch))
    return erased
