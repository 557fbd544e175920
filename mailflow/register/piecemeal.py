"""Orders of several parts: when each part may leave, how far they are composed, and what their parts must agree in."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from mailflow.register.tables import outbox
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import OutboxState

_before = outbox.alias("part_before")
in_turn = sa.or_(
    outbox.c.part == 1,
    sa.exists().where(
        _before.c.kind == outbox.c.kind,
        _before.c.key == outbox.c.key,
        _before.c.part == outbox.c.part - 1,
        _before.c.sent_at.is_not(None),
    ),
)
"""Whether the part before this one has left. Whoever looks for what a register lost knows an answer by its first part,
and numbers by the `RET` in it, which come before the attestations: so nothing goes ahead of what tells of it."""
_held = outbox.alias("part_held")
behind_a_held_one = sa.and_(
    outbox.c.part > 1,  # nearly all are first parts: nothing is looked up for these
    sa.exists().where(
        _held.c.kind == outbox.c.kind,
        _held.c.key == outbox.c.key,
        _held.c.part < outbox.c.part,
        _held.c.state == OutboxState.HELD.value,
        _held.c.sent_at.is_(None),
    ),
)
"""Whether a part before this one waits for somebody: then so does this one. One that came back has left before."""


async def behind(tx: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """The parts that wait until these ones have left, each with the one that is ahead of it."""
    one, part = outbox.alias("part_ahead"), outbox.alias("part_behind")
    of_one_order = sa.and_(part.c.kind == one.c.kind, part.c.key == one.c.key)
    after = sa.and_(of_one_order, part.c.part > one.c.part, part.c.next_at.is_not(None))
    found: dict[int, int] = {}
    for batch in batches(ids):
        pairs = sa.select(part.c.id, one.c.id.label("ahead")).join_from(one, part, after)
        unsent = pairs.where(tx.among(one.c.id, batch), one.c.sent_at.is_(None))
        found |= {row.id: row.ahead for row in await tx.all(unsent)}
    return found


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
