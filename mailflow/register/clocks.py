"""Clocks that are wrong: behind what the register knows to have come, ahead of all that it knows, or ahead before."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mailflow.register.alarm_tables import job_run
from mailflow.register.tables import intake, journal, outbox
from mailflow.register.transaction import Transaction
from mailflow.register.types import OutboxState

APART_MAX = timedelta(minutes=5)
"""Hosts that differ by less are no matter: a mail that came in the meantime waits for so long at most."""
SILENCE_MAX = timedelta(days=2)
"""After so long without a mail and without the jobs of a day it is as likely that the clock is wrong."""
MAILS_LOOKED_AT = 200
"""Of the intake: what was taken in late, or from elsewhere, may have come long before."""
ENTRIES_LOOKED_AT = 200
"""Of the journal: who writes by a clock that is behind makes its newest entries no witness."""

_ON_HAND = outbox.c.state.in_((OutboxState.QUEUED.value, OutboxState.COMPOSED.value))
"""What waits to leave, by an index: all that has left is in the table as well."""


async def is_behind(tx: Transaction, at: datetime) -> bool:
    """Whether by our own clock it has been later before: what waits, or was written lately, says so."""
    latest = sa.select(journal.c.at).order_by(journal.c.id.desc()).limit(ENTRIES_LOOKED_AT).subquery()
    written = await tx.all(sa.select(latest.c.at).where(latest.c.at > at).limit(1))
    return bool(written) or await one_to_come(tx, at) is not None


async def one_to_come(tx: Transaction, at: datetime) -> datetime | None:
    """When a mail came that waits, or its answer does, or a send began that is not over, and that was not yet `at` that
    time; None of none.

    A mail came by two clocks, the mail server's and ours: one that was ahead and has been set back makes nothing wait.
    """
    asked = (
        sa.select(intake.c.received_at, intake.c.taken_at).where(
            intake.c.next_at.is_not(None), intake.c.received_at > at, intake.c.taken_at > at
        ),
        sa.select(outbox.c.received_at, outbox.c.queued_at)
        .where(_ON_HAND, outbox.c.next_at > at, outbox.c.received_at > at, outbox.c.queued_at > at)
        .where(outbox.c.intake_id.is_not(None)),
        sa.select(outbox.c.sending_at).where(outbox.c.state == OutboxState.SENDING.value, outbox.c.sending_at > at),
    )
    for ahead in asked:
        for row in await tx.all(ahead.limit(1)):
            came_at: datetime = min(row)
            return came_at
    return None


async def is_perhaps_ahead(tx: Transaction, at: datetime) -> bool:
    """Whether nothing bears witness that it is `at` by now: no mail came lately, by its server's clock, and no job of
    the day was done. Of a register in which neither ever was nothing can be said, nor done wrong.
    """
    mails = sa.select(intake.c.received_at).order_by(intake.c.id.desc()).limit(MAILS_LOOKED_AT)
    witnesses = [row.received_at for row in await tx.all(mails)]
    witnesses += [
        row.done_at for row in await tx.all(sa.select(job_run.c.done_at).where(job_run.c.done_at.is_not(None)))
    ]
    return bool(witnesses) and max(witnesses) < at - SILENCE_MAX


async def is_too_far(tx: Transaction, owner: str, at: datetime, *, lease: timedelta, put_off_max: timedelta) -> bool:
    """Whether by a clock that was ahead a mail waits, or is `owner`'s, for longer than any ever does."""
    for column, which in _too_far(owner, at, lease, put_off_max):  # each by an index: what is over is not read
        if await tx.all(sa.select(column.table.c.id).where(which).limit(1)):
            return True
    return False


async def set_right(tx: Transaction, owner: str, at: datetime, *, lease: timedelta, put_off_max: timedelta) -> int:
    """Such a mail is due, and is not `owner`'s any more, who is at none that came. How many times that was done.

    What is somebody else's stays so: his clock may be right, and ours behind. Nor may anybody live who says that it is
    (`presence.others_are_later`): what he put off would be due at once, again and again.
    """
    done = 0
    for column, which in _too_far(owner, at, lease, put_off_max):
        done += await tx.run(sa.update(column.table).where(which).values({column: at}))
    return done


def _too_far(
    owner: str, at: datetime, lease: timedelta, put_off_max: timedelta
) -> Iterator[tuple[sa.Column[Any], sa.ColumnElement[bool]]]:
    """By column. Of what came later than it is nothing is known: now the clock may be behind.

    A mail beyond its sender's rates may wait for days until its turn, and a send is looked for by any clock (`doubt`).
    """
    for table, came, may_not_wait in (
        (
            intake,
            sa.or_(intake.c.received_at <= at, intake.c.taken_at <= at),
            (intake.c.turn_at.is_(None), intake.c.turn_at <= at),
        ),
        (outbox, sa.or_(outbox.c.received_at <= at, outbox.c.queued_at <= at), (_ON_HAND,)),
    ):
        waits = sa.and_(came, table.c.next_at.is_not(None))
        for which in may_not_wait:
            yield table.c.next_at, sa.and_(waits, which, table.c.next_at > at + put_off_max + APART_MAX)
        ours = table.c.lease_owner == owner
        yield table.c.lease_until, sa.and_(waits, ours, table.c.lease_until > at + lease + APART_MAX)
