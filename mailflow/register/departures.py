"""Mails that left in a time that the register lost, though it had ordered them before: none is to leave once more."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register import journal
from mailflow.register.outbox import sent
from mailflow.register.tables import outbox
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import OutboxState

_NEVER_SENT = sa.and_(
    # No list: that of a statement for many rows is not spelled out.
    sa.or_(*[outbox.c.state == one.value for one in (OutboxState.QUEUED, OutboxState.COMPOSED, OutboxState.HELD)]),
    outbox.c.sends == 0,
    outbox.c.copies_before == 0,
)
_FROZEN = outbox.c.raw.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A mail that was ordered, and that this register never sent."""

    kind: str
    intake_id: int | None
    dated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Of a mail that has left all the same."""

    number: int
    first_at: datetime


async def unsent(tx: Transaction, message_ids: Collection[str]) -> dict[str, Unsent]:
    """Of these Message-IDs those of mails that were ordered, and that this register never sent.

    Nobody else knows such a Message-ID, so whatever bears it has left in a time that was lost: this order, or one for
    the same mail, which was decided in that time, and anew since.
    """
    columns = sa.select(outbox.c.message_id, outbox.c.kind, outbox.c.intake_id, outbox.c.dated_at)
    found: dict[str, Unsent] = {}
    for batch in batches(sorted(message_ids)):
        for row in await tx.all(columns.where(tx.among(outbox.c.message_id, batch), _NEVER_SENT)):
            found[row.message_id] = Unsent(kind=row.kind, intake_id=row.intake_id, dated_at=row.dated_at)
    return found


async def record_sent(tx: Transaction, left: Mapping[str, Copies], at: datetime) -> int:
    """These mails have left, by Message-ID, as often as they have copies: none goes once more. How many were unsent.

    One that has no octets yet is composed all the same, for what is kept of it, and not sent (`outbox.freeze`), unless
    it came back and an operator released it.
    """
    there = await unsent(tx, left)
    of = {name: left[name] for name in sorted(there)}
    rows = [{"b_name": name, "b_sent_at": one.first_at, "b_sends": one.number} for name, one in of.items()]
    # One statement: between two of them a worker may keep the octets of one.
    values: dict[str, Any] = {
        **{name: sa.case((_FROZEN, value), else_=outbox.c[name]) for name, value in sent(at).items()},
        "sent_at": sa.bindparam("b_sent_at"),
        "sends": sa.bindparam("b_sends"),
    }
    these = sa.update(outbox).where(outbox.c.message_id == sa.bindparam("b_name"), _NEVER_SENT)
    await tx.run(these.values(**values), rows)
    await journal.append(tx, [journal.Entry(kind="had-left", detail={"mails": len(rows)})] if rows else [], at)
    return len(rows)
