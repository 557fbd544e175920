"""Sends that did not end as they should.

Of one that was cut off in the middle of the data nobody saw how it ended: it is decided once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from mailflow.register import clocks, rounds
from mailflow.register import outbox as outgoing
from mailflow.register.tables import outbox
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import OutboxState

_COMPOSED = OutboxState.COMPOSED.value
_SENDING = OutboxState.SENDING.value


@dataclass(frozen=True, slots=True)
class Missed:
    """Looks in vain for the copy of a send."""

    since: datetime
    """As if from here on it could have come and been seen without a break."""
    at: datetime
    """When the last one was."""

    @property
    def time(self) -> timedelta:
        """How long a copy had to come and be seen."""
        return self.at - self.since

    def again(self, at: datetime, gap_max: timedelta) -> "Missed":
        """With a further one at `at`.

        Between two of them no more than `gap_max` counts: while the mail host was away no copy could come, nor has one
        had the time by which a clock was put ahead. By a clock that is behind the last one all counts anew.
        """
        if at < self.at - clocks.APART_MAX:
            return Missed(at, at)
        gap = max(at - self.at, timedelta(0))
        return Missed(self.since + max(gap - gap_max, timedelta(0)), self.at + gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A mail whose sending was cut off after the data began."""

    id: int
    kind: str
    message_id: str
    body_digest: str
    since: datetime
    missed: Missed | None
    """None while nobody has looked in vain."""
    received_at: datetime
    copies_before: int
    """How many copies may lie in the audit mailbox that say nothing of this send: it was sent again by an operator."""


async def doubtful(tx: Transaction, limit: int, at: datetime, lease: timedelta) -> list[Doubtful]:
    """Mails cut off in the middle, whose sender gave no more sign within its lease; who has waited longest first.

    A lease that ends later than any that is given at `at` is none, of which nobody knows since when it waits: the clock
    was ahead, or is behind.
    """
    names = ("id", "kind", "message_id", "body_digest", "received_at", "copies_before")
    missed = (outbox.c.missed_since, outbox.c.missed_at)
    columns = sa.select(*(outbox.c[name] for name in names), outbox.c.sending_at.label("since"), *missed)
    in_doubt = columns.where(outbox.c.state == _SENDING, outbox.c.sending_at.is_not(None))
    found: list[Doubtful] = []
    for over in _over(at, lease):
        these = in_doubt.where(over).order_by(outbox.c.lease_until, outbox.c.id).limit(limit - len(found))
        for row in await tx.all(these):
            looks = None if row.missed_at is None else Missed(row.missed_since, row.missed_at)
            found.append(Doubtful(**{name: row._mapping[name] for name in (*names, "since")}, missed=looks))
    return found


async def put_behind(tx: Transaction, id_: int, at: datetime, lease: timedelta) -> None:
    """It is looked for now: unless that decides it, its next look comes after those of all who wait by now."""
    still = sa.and_(outbox.c.id == id_, sa.or_(*_over(at, lease)))
    await outgoing.change(tx, still, (_SENDING,), {"lease_until": at})


async def miss(tx: Transaction, id_: int, since: datetime, missed: Missed) -> None:
    """No copy of the send that began at `since` was there."""
    still = sa.and_(outbox.c.id == id_, outbox.c.sending_at == since)
    await outgoing.change(tx, still, (_SENDING,), {"missed_since": missed.since, "missed_at": missed.at})


async def go_again(tx: Transaction, id_: int, at: datetime) -> None:
    """An operator sends it once more since no copy of it is there any more: none is discounted if it is in doubt then.

    Without another look before, if it goes soon.
    """
    await outgoing.change(tx, outbox.c.id == id_, (_COMPOSED,), {"copies_before": 0, "missed_at": at, "next_at": at})


async def resolve(tx: Transaction, id_: int, since: datetime, *, sent: bool, at: datetime) -> None:
    """Decide the send that began at `since`: the mail was sent, or the same octets go again.

    A later send is left alone, be it under way or in doubt itself: somebody else has decided this one.
    """
    still = sa.and_(outbox.c.id == id_, outbox.c.sending_at == since, outbox.c.lease_until <= at)
    # Before all rounds: after a while in a line nobody would know any more whether it is there by now (`reopen`).
    again = {**outgoing.again(at, "cut off"), "missed_at": at, "round": rounds.FIRST}
    values = outgoing.sent(at) if sent else again
    await outgoing.change(tx, still, (_SENDING,), values)


async def reopen(tx: Transaction, ids: Sequence[int], at: datetime, *, fresh: timedelta, time: timedelta) -> set[int]:
    """Which of these, claimed at `at`, are in doubt anew instead of going again: the last look is not so `fresh`.

    While the server would not have them, or nobody sent, it may have been away all the while, with the mail in its
    queue, and be there again. Of the time that a copy had, `time` is kept.
    """
    reopened: set[int] = set()
    for batch in batches(ids):
        perhaps_sent = sa.and_(tx.among(outbox.c.id, batch), outbox.c.copies_before < outbox.c.sends)
        is_fresh = sa.and_(outbox.c.next_at.is_not_distinct_from(outbox.c.missed_at), outbox.c.missed_at > at - fresh)
        in_doubt = {"state": _SENDING, "next_at": None, "round": None, "sending_at": at, "lease_until": at}
        again = sa.update(outbox).where(perhaps_sent, sa.not_(is_fresh))
        again = again.values(**in_doubt, missed_since=at - time, missed_at=at)
        reopened |= {row.id for row in await tx.all(again.returning(outbox.c.id))}
    return reopened


def _over(at: datetime, lease: timedelta) -> tuple[sa.ColumnElement[bool], ...]:
    """Its sender gave no more sign: what has waited for nobody knows how long, and what has since its lease ended."""
    return outbox.c.lease_until > at + lease + clocks.APART_MAX, outbox.c.lease_until <= at
