"""Whose mail comes next: the intake goes round the senders, so that who sends thousands keeps nobody else waiting.

Each mail stands in a line: that of the sender whose enrolled From address it bears, or the one line of all others.
Nobody has proven the address yet: who takes another's makes that sender's line longer, and no other one. A mail gets
a place in the first round, from the one that is worked on, in which its line has less than `MAILS_A_ROUND`. So it waits
for those of its own line that came before it, and for one round of each other line. Within a round the mail that was
received first comes first; so as long as no line is long, nothing else counts.
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.register.tables import intake, sender_address
from mailflow.register.transaction import Transaction, batches

MAILS_A_ROUND = 100
STRANGERS = ""
"""The line of mails whose From address nobody is enrolled with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a mail stands."""

    line: str
    """Code of a sender, or `STRANGERS`."""
    round: int


async def places(tx: Transaction, from_addresses: Sequence[str], at: datetime) -> list[Place]:
    """Places for mails with these From addresses (in lower case, empty where there is not just one), in this order."""
    senders = await _senders(tx, set(from_addresses))
    lines = [senders.get(address, STRANGERS) for address in from_addresses]
    present = await _present(tx, at)
    ends = await _ends(tx, set(lines), at)
    found: list[Place] = []
    for line in lines:
        last, mails = ends.get(line, (present, 0))
        if last < present:
            last, mails = present, 0
        elif mails >= MAILS_A_ROUND:
            last, mails = last + 1, 0
        ends[line] = (last, mails + 1)
        found.append(Place(line=line, round=last))
    return found


async def _senders(tx: Transaction, addresses: Set[str]) -> dict[str, str]:
    """Whose addresses these are; of an address that several senders share, the first of them."""
    found: dict[str, str] = {}
    for batch in batches(sorted(addresses - {""})):
        which = sa.select(sender_address).where(tx.among(sender_address.c.address, batch))
        for row in await tx.all(which.order_by(sender_address.c.sender)):
            found.setdefault(row.address, row.sender)
    return found


async def _present(tx: Transaction, at: datetime) -> int:
    """The round that is worked on: the first of what is due."""
    rows = await tx.all(sa.select(intake.c.round).where(intake.c.next_at <= at).order_by(intake.c.round).limit(1))
    return int(rows[0].round) if rows else 0


async def _ends(tx: Transaction, lines: Collection[str], at: datetime) -> dict[str, tuple[int, int]]:
    """The last round in which each of these lines has mails that are due, and how many it has there."""
    found: dict[str, tuple[int, int]] = {}
    for batch in batches(sorted(lines)):
        rounds = (
            sa.select(intake.c.line, intake.c.round, sa.func.count().label("mails"))
            .where(tx.among(intake.c.line, batch), intake.c.next_at <= at)
            .group_by(intake.c.line, intake.c.round)
        )
        for row in await tx.all(rounds):
            found[row.line] = max(found.get(row.line, (0, 0)), (int(row.round), int(row.mails)))
    return found
