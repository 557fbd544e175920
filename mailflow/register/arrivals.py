"""Mails as a mailbox has them, and what is on record under their UIDs, which a server may have given before."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from mailflow.register.tables import intake
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import Vault

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


def message_token(vault: Vault, message_id: str) -> int | None:
    """What a Message-ID is kept as; None of none."""
    return vault.short_token("request-message-id", message_id) if message_id else None


@dataclass(frozen=True, slots=True)
class Taken:
    """What is on record under a UID."""

    received_at: datetime
    digest: str | None
    """None: it was too large to be read."""
    message_token: int | None
    """None: it has no Message-ID."""
    size_bytes: int

    def bears(self, received_at: datetime, token: int | None, size_bytes: int) -> bool:
        """Whether a mail that has its UID, and this header, is surely this mail.

        The date alone says little: a clock that was put back with its server counts the same seconds once more. Without
        a Message-ID only octets tell; of what was too large to be read, the size.
        """
        if received_at != self.received_at:
            return False
        if self.message_token is None and self.digest is None:
            return size_bytes == self.size_bytes
        return token is not None and token == self.message_token


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
            .returning(intake.c.uid, *(intake.c[field.name] for field in fields(Taken)))
        )
        found |= {uid: Taken(*known) for uid, *known in await tx.all(statement)}
    return found


async def others(tx: Transaction, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Those of these, whose UIDs are on record, that are not the mails on record.

    A server may give a mail's octets in another form later, and one whose files were copied may have lost its dates: it
    is another mail when neither its octets nor its header are as they were.
    """
    found = []
    for one in arrivals:
        known = (await taken(tx, one.account, one.mailbox, one.uidvalidity, [one.uid]))[one.uid]
        token = message_token(tx.vault, one.message_id)
        has_its_octets = known.digest is not None and known.digest == digest(one)
        # A mail without a name that a server renders otherwise each time is another one once, and not at each poll.
        was_another = one.uidvalidity >= UIDVALIDITY_END and token is None and known.message_token is None
        if not (
            has_its_octets
            or known.bears(one.received_at, token, one.size_bytes)
            or (was_another and known.received_at == one.received_at)
        ):
            found.append(one)
    return found
