"""Whether a clock is behind what the register knows to have come already."""

from datetime import datetime

import sqlalchemy as sa

from mailflow.register.tables import intake, outbox
from mailflow.register.transaction import Transaction


async def one_to_come(tx: Transaction, at: datetime) -> datetime | None:
    """When a mail came that waits, or its answer does, and that had not come yet `at` that time; None of none.

    By two clocks, the mail server's and ours: one that was ahead and has been set back makes nothing wait.
    """
    asked = (
        sa.select(intake.c.received_at, intake.c.taken_at).where(
            intake.c.next_at > at, intake.c.received_at > at, intake.c.taken_at > at
        ),
        sa.select(outbox.c.received_at, outbox.c.queued_at).where(
            outbox.c.next_at > at, outbox.c.received_at > at, outbox.c.queued_at > at, outbox.c.intake_id.is_not(None)
        ),
    )
    for ahead in asked:
        for row in await tx.all(ahead.limit(1)):
            came_at: datetime = min(row)
            return came_at
    return None
