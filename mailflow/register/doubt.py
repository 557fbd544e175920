"""Sends that were cut off in the middle of the data: nobody saw how they ended, and each is decided once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from mailflow.register import clocks
from mailflow.register import outbox as outgoing
from mailflow.register.tables import outbox
from mailflow.register.transaction import Transaction
from mailflow.register.types import OutboxState

_SENDING = OutboxState.SENDING.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A mail whose sending was cut off after the data began."""

    id: int
    kind: str
    message_id: str
    body_digest: str
    since: datetime
    missed_at: datetime | None
    """When no copy of it was found for the first time; None while nobody has looked in vain."""
    received_at: datetime
    copies_before: int
    """How many copies may lie in the audit mailbox that say nothing of this send: it was sent again by an operator."""


async def doubtful(tx: Transaction, limit: int, at: datetime, lease: timedelta) -> list[Doubtful]:
    """Mails cut off in the middle, whose sender gave no more sign within its lease; who has waited longest first.

    A lease that ends later than any that is given at `at` is none: the clock was ahead, or is behind.
    """
    names = ("id", "kind", "message_id", "body_digest", "received_at", "copies_before", "missed_at")
    statement = (
        sa.select(*(outbox.c[name] for name in names), outbox.c.sending_at.label("since"))
        .where(outbox.c.state == _SENDING, outbox.c.sending_at.is_not(None), _left(at, lease))
        .order_by(outbox.c.lease_until, outbox.c.id)
        .limit(limit)
    )
    return [Doubtful(**row._mapping) for row in await tx.all(statement)]


async def put_behind(tx: Transaction, id_: int, at: datetime, lease: timedelta) -> None:
    """It is looked for now: unless that decides it, its next look comes after those of all who wait by now."""
    still = sa.and_(outbox.c.id == id_, _left(at, lease))
    await outgoing.change(tx, still, (_SENDING,), {"lease_until": at})


async def miss(tx: Transaction, id_: int, since: datetime, at: datetime) -> None:
    """No copy of the send that began at `since` was there."""
    still = sa.and_(outbox.c.id == id_, outbox.c.sending_at == since)
    await outgoing.change(tx, still, (_SENDING,), {"missed_at": at})


async def resolve(tx: Transaction, id_: int, since: datetime, *, sent: bool, at: datetime) -> None:
    """Decide the send that began at `since`: the mail was sent, or the same octets go again.

    A later send is left alone, be it under way or in doubt itself: somebody else has decided this one.
    """
    still = sa.and_(outbox.c.id == id_, outbox.c.sending_at == since, outbox.c.lease_until <= at)
    await outgoing.change(tx, still, (_SENDING,), outgoing.sent(at) if sent else outgoing.again(at, "cut off"))


def _left(at: datetime, lease: timedelta) -> sa.ColumnElement[bool]:
    """Its sender gave no more sign."""
    return sa.or_(outbox.c.lease_until <= at, outbox.c.lease_until > at + lease + clocks.APART_MAX)
