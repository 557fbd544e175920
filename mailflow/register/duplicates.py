"""Pairs of requests that may be one person's: found when the later one was registered, for the territory manager."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.model import RequestState
from mailflow.core.numbers import Territory, UniqueNumber
from mailflow.register.tables import probable_duplicate, request
from mailflow.register.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two requests of one territory."""

    territory: Territory
    number: UniqueNumber
    other: UniqueNumber
    """The one that was there first."""
    likeness: str
    found_at: datetime


async def note(tx: Transaction, pairs: Sequence[Pair]) -> None:
    """Keep pairs; of one that is known already the first finding stays."""
    rows = [
        {
            "territory": pair.territory,
            "number": pair.number,
            "other": pair.other,
            "likeness": pair.likeness,
            "found_at": pair.found_at,
        }
        for pair in pairs
    ]
    await tx.run(tx.insert(probable_duplicate).on_conflict_do_nothing(), rows)


async def of_active(tx: Transaction, territory: str | None, limit: int) -> list[Pair]:
    """Pairs of which both requests are active still, the latest first."""
    pair, one, other = probable_duplicate, request.alias("one"), request.alias("other")
    active = RequestState.ACTIVE.value
    statement = (
        sa.select(pair)
        .join(one, sa.and_(one.c.number == pair.c.number, one.c.state == active))
        .join(other, sa.and_(other.c.number == pair.c.other, other.c.state == active))
        .order_by(pair.c.found_at.desc(), pair.c.number.desc(), pair.c.other)
        .limit(limit)
    )
    if territory is not None:
        statement = statement.where(pair.c.territory == territory)
    return [
        Pair(territory=row.territory, number=row.number, other=row.other, likeness=row.likeness, found_at=row.found_at)
        for row in await tx.all(statement)
    ]
