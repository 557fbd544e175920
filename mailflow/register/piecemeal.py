"""Orders that are composed part by part: how far they have come, and what their parts have to agree in."""

from dataclasses import dataclass

import sqlalchemy as sa

from mailflow.register.tables import outbox
from mailflow.register.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What there is of an order that is composed part by part."""

    frozen: frozenset[int]
    """The parts that have their octets."""
    bytes_max: int | None
    """The limit on a mail that they were cut to; None when there are none. The others have to keep to it."""


async def begun(tx: Transaction, id_: int) -> Begun:
    """How far an order in parts has come, under whatever settings."""
    order = sa.select(outbox.c.kind, outbox.c.key, outbox.c.part_bytes_max).where(outbox.c.id == id_).subquery()
    same = sa.and_(outbox.c.kind == order.c.kind, outbox.c.key == order.c.key)
    parts = sa.select(outbox.c.part, outbox.c.raw.is_not(None).label("frozen"), order.c.part_bytes_max).where(same)
    rows = await tx.all(parts)
    return Begun(frozen=frozenset(row.part for row in rows if row.frozen), bytes_max=rows[0].part_bytes_max)


async def keep_to(tx: Transaction, id_: int, bytes_max: int) -> bool:
    """Along with a part that is frozen: all are cut to one limit. False when others were cut to another one."""
    same = sa.or_(outbox.c.part_bytes_max.is_(None), outbox.c.part_bytes_max == bytes_max)
    begin = sa.update(outbox).where(outbox.c.id == id_, same).values(part_bytes_max=bytes_max)
    return bool(await tx.run(begin))
