"""Sequences of unique numbers: dense within a territory and month, never given twice, never past their end."""

from mailflow.core.numbers import SEQUENCE_MAX
from mailflow.errors import MailflowError
from mailflow.register import issuing
from mailflow.register.tables import counter
from mailflow.register.transaction import Transaction


class SequenceExhausted(MailflowError):
    """The territory and month has not so many numbers left. The counter stands where it stood."""


async def allocate(tx: Transaction, territory: str, month: str, count: int) -> int:
    """Take `count` consecutive sequences (from 1 on) of a territory and month (`MMYY`); returns the first.

    The counter stays locked until the transaction ends: allocate late, several counters in sorted order.
    Raises SequenceExhausted, after which the transaction can go on, and `issuing.NumbersStopped`.
    """
    await issuing.require_open(tx)
    assert count >= 1, "somebody wants a number"
    if count > SEQUENCE_MAX:
        raise SequenceExhausted(f"{territory} {month}")
    new = tx.insert(counter).values(territory=territory, month=month, last=count)
    last = counter.c.last + new.excluded.last
    taken = await tx.all(
        new.on_conflict_do_update(
            index_elements=[counter.c.territory, counter.c.month],
            set_={"last": last},
            where=last <= SEQUENCE_MAX,
        ).returning(counter.c.last)
    )
    if not taken:
        raise SequenceExhausted(f"{territory} {month}")
    return int(taken[0].last) - count + 1
