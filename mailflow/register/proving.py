"""What a drill proves of a copy of the register: that it opens, and that it gives no number again that went out."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from mailflow.core import numbers
from mailflow.register import attestations, issuing, queues, requests
from mailflow.register import numbers as counters
from mailflow.register.journal import Act
from mailflow.register.tables import attestation, history, intake, outbox, request
from mailflow.register.transaction import Register, Transaction, batches


class _Undone(Exception):
    """Ends a transaction that must not be committed."""


async def opened(tx: Transaction, limit: int) -> dict[str, tuple[int, int]]:
    """How many of the latest mails, requests and attestations that are kept can be read, and of how many."""
    kept = sa.select(intake.c.id).where(intake.c.raw.is_not(None)).order_by(intake.c.id.desc()).limit(limit)
    mails = [await queues.raw(tx, row.id) is not None for row in await tx.all(kept)]
    latest = sa.select(request.c.number).where(request.c.payload.is_not(None))
    given = [row.number for row in await tx.all(latest.order_by(request.c.registered_at.desc()).limit(limit))]
    found = [(await requests.find_all(tx, [number]))[number].payload is not None for number in given]
    issued = sa.select(attestation.c.number).where(attestation.c.content.is_not(None))
    attested = []
    for row in await tx.all(issued.order_by(attestation.c.id.desc()).limit(limit)):
        attested += [one.is_whole for one in await attestations.of_number(tx, row.number) if one.content is not None]
    told = {"mails": mails, "requests": found, "attestations": attested}
    return {what: (sum(ends), len(ends)) for what, ends in told.items()}


async def went_out_since(live: Transaction, copy: Transaction, kind: str) -> set[str]:
    """The numbers that the copy does not know and whose answers (mails of `kind`) have left."""
    (last,) = await copy.all(sa.select(sa.func.max(request.c.registered_at).label("at")))
    told = sa.select(outbox.c.id).where(
        outbox.c.intake_id == history.c.intake_id, outbox.c.kind == kind, outbox.c.sent_at.is_not(None)
    )
    created = sa.select(history.c.number).where(history.c.revision == 1, told.exists())
    if last.at is not None:
        created = created.where(history.c.at >= last.at)
    found = {row.number for row in await live.all(created)}
    for batch in batches(sorted(found)):
        known = sa.select(request.c.number).where(copy.among(request.c.number, batch))
        found -= {row.number for row in await copy.all(known)}
    return found


async def given_again(copy: Register, went_out: Collection[str], at: datetime) -> set[str]:
    """Which of these numbers the copy would give to a request that comes now. Nothing of it is committed."""
    sequences: dict[tuple[str, str], dict[int, str]] = {}
    for number in went_out:
        parts = numbers.parse(number)
        key = (str(parts.territory), f"{parts.month:02}{parts.year % 100:02}")
        sequences.setdefault(key, {})[parts.sequence] = number
    again: set[str] = set()
    try:
        async with copy.begin() as tx:
            await issuing.resume(tx, Act(by="drill", why="drill"), at)
            await issuing.require_open(tx)
            for (territory, month), given in sorted(sequences.items()):
                following = await counters.allocate(tx, territory, month, 1)
                again |= {number for sequence, number in given.items() if sequence >= following}
            raise _Undone
    except _Undone:
        return again
