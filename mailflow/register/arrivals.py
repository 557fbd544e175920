"""Mails as a mailbox has them, and what is on record under their UIDs, which a server may have given before."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from mailflow.register.tables import intake
from mailflow.register.transaction import Transaction, batches

NAMED = ("account", "mailbox", "uidvalidity", "uid")
"""What names a mail on a server (RFC 3501 section 2.3.1.1)."""
UIDVALIDITY_END = 2**32
"""What RFC 3501 leaves room for. Added once for each mail that had the same UID under the same UIDVALIDITY before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A mail as a mailbox had it."""

    account: str
    mailbox: str
    uidvalidity: int
    uid: int
    raw: bytes | None
    """None when it was too large to be read."""
    size_bytes: int
    received_at: datetime
    message_id: str = ""
    """With its angle brackets; empty when it has none that can be used. Whoever sent it wrote it, whoever that is."""
    from_address: str = ""
    """In lower case; empty when there is not just one. Nobody has proven it: it says in whose line the mail waits."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail that is on record."""

    arrival: Arrival
    """As it is there: its UIDVALIDITY may be another one."""
    is_new: bool
    """It was not on record before."""


def digest(arrival: Arrival) -> str | None:
    """SHA-256 of its octets; None when it was too large to be read."""
    return None if arrival.raw is None else hashlib.sha256(arrival.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """What is on record under a UID."""

    received_at: datetime
    digest: str | None
    """None: it was too large to be read."""


async def taken(
    tx: Transaction, account: str, mailbox: str, uidvalidity: int, uids: Collection[int]
) -> dict[int, Taken]:
    """What is on record under these UIDs: as long as a server keeps its word, the same mails.

    They are written again, so that this commit vouches for them: a primary that has lost its standby may show what it
    could never hand on, and a mail whose record is lost with it must not have left the inbox.
    """
    found: dict[int, Taken] = {}
    for batch in batches(sorted(uids)):
        statement = (
            sa.update(intake)
            .where(
                intake.c.account == account,
                intake.c.mailbox == mailbox,
                intake.c.uidvalidity == uidvalidity,
                tx.among(intake.c.uid, batch),
            )
            .values(taken_at=intake.c.taken_at)
            .returning(intake.c.uid, intake.c.digest, intake.c.received_at)
        )
        found |= {row.uid: Taken(row.received_at, row.digest) for row in await tx.all(statement)}
    return found


async def others(tx: Transaction, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Those of these, whose UIDs are on record, that are not the mails on record: under the UIDVALIDITY to try next.

    A server may give a mail's octets in another form later, and one whose files were copied may have lost its dates: it
    is another mail when neither is as it was.
    """
    found = []
    for one in arrivals:
        known = (await taken(tx, one.account, one.mailbox, one.uidvalidity, [one.uid]))[one.uid]
        if known.received_at != one.received_at and (known.digest is None or known.digest != digest(one)):
            found.append(replace(one, uidvalidity=one.uidvalidity + UIDVALIDITY_END))
    return found
