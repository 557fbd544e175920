"""Whose mail comes next: each queue goes round the desks, so that who sends thousands keeps nobody else waiting.

Each mail stands in a line. On its way in that is the line of the sender whose enrolled From address it bears, or the
one of all others: nobody has proven the address yet, and who takes another's makes that sender's line longer, and no
other one. On its way out it is the line of its recipient. A mail gets a place in the first round, from the one that is
worked on, in which its line has less than `MAILS_A_ROUND`. So it waits for those of its own line that came before it,
and for one round of each other line. Within a round the mail that was received first comes first; so as long as no
line is long, nothing else counts.

A mail on its way out that is put off loses its place, and comes in anew when it is due again: of whom nothing could be
delivered to for hours thousands come due at once, and their old places would be before everybody else's. The further
parts of a letter stand where the one does that they are behind, and come in anew with it. While it has not left they
count for nothing: their place may be one in a backlog that is no more, which no other mail is to come after.

What waits or is taken in when a register is restored stands before all rounds, in one line of its own: see `RESTORED`.
"""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from mailflow.register import piecemeal
from mailflow.register.tables import intake, outbox, sender_address
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import OutboxState

MAILS_A_ROUND = 100
PLACES_AT_ONCE = 1_000
"""How many mails that come due again get a place in one transaction: many more than it then claims."""
STRANGERS = ""
"""The line of mails whose From address nobody is enrolled with."""
RESTORED = -1
"""The round of mails that were decided in a time that the register has lost, or may have been. What was done then to a
request comes after its creation: so they are decided one by one, in the order of reception, before all others."""

FIRST = RESTORED
"""On the way out: what was perhaps sent, and is not there. It comes before all rounds, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Mails that go round in their lines: rows of a table with `round`, `received_at`, `id` and `next_at`."""

    line: sa.Column[str]
    """In which line a mail stands."""
    stages: Sequence[sa.ColumnElement[bool]]
    """Which mails are worked on together: an index has those of each in the order of their rounds."""
    in_turn: sa.ColumnElement[bool]
    """Whether a mail that is due may be worked on: the others say neither which round that is nor where a line ends."""


IN = Queue(line=intake.c.line, stages=(sa.true(),), in_turn=sa.true())
OUT = Queue(
    line=outbox.c.recipient,
    stages=tuple(outbox.c.state == state.value for state in (OutboxState.QUEUED, OutboxState.COMPOSED)),
    in_turn=piecemeal.in_turn,
)


async def lines(tx: Transaction, from_addresses: Sequence[str]) -> list[str]:
    """The lines of mails with these From addresses (in lower case, empty where there is not just one), in this order.

    Each is the code of a sender, or `STRANGERS`.
    """
    senders = await _senders(tx, set(from_addresses))
    return [senders.get(address, STRANGERS) for address in from_addresses]


async def places(tx: Transaction, queue: Queue, lines: Sequence[str], at: datetime) -> list[int]:
    """Rounds for mails that come into these lines, in this order."""
    if not lines:
        return []
    present = await _present(tx, queue, at)
    ends = await _ends(tx, queue, set(lines), at)
    found: list[int] = []
    for line in lines:
        last, mails = ends.get(line, (present, 0))
        if last < present:
            last, mails = present, 0
        elif mails >= MAILS_A_ROUND:
            last, mails = last + 1, 0
        ends[line] = (last, mails + 1)
        found.append(last)
    return found


async def come_in_anew(tx: Transaction, due: sa.Select[Any], at: datetime) -> None:
    """Give places to those of these outgoing mails, which are due, that have none any more; the oldest first."""
    placeless = due.with_only_columns(outbox.c.id, outbox.c.recipient).where(outbox.c.round.is_(None))
    rows = await tx.all(placeless.order_by(outbox.c.received_at, outbox.c.id).limit(PLACES_AT_ONCE))
    rounds = await places(tx, OUT, [row.recipient for row in rows], at)
    anew = dict(zip((row.id for row in rows), rounds, strict=True))
    anew |= {part: anew[ahead] for part, ahead in (await piecemeal.behind(tx, list(anew))).items()}
    placed = sa.update(outbox).where(outbox.c.id == sa.bindparam("b_id")).values(round=sa.bindparam("b_round"))
    await tx.run(placed, [{"b_id": id_, "b_round": round_} for id_, round_ in anew.items()])


async def in_turn(
    tx: Transaction, queue: Queue, due: sa.Select[Any], limit: int, urgent_before: datetime | None
) -> dict[int, int]:
    """Of mails that are due, selected by `id` and `size_bytes`, the next ones with their sizes, `limit` at most.

    Those received until `urgent_before` come first, the oldest first; the others as their rounds have it. Before both
    comes what is `FIRST`.
    """
    mails = queue.line.table.c
    first = (mails.received_at, mails.id)
    due = due.limit(limit)
    found: dict[int, int] = {}
    if urgent_before is not None:
        if queue is OUT:
            before_all = due.where(mails.round == FIRST).order_by(*first)
            found |= {row.id: row.size_bytes for row in await tx.all(before_all)}
        urgent = due.where(mails.received_at <= urgent_before).order_by(*first)
        found |= {row.id: row.size_bytes for row in await tx.all(urgent)}
    if len(found) < limit:
        placed = due.where(mails.round.is_not(None)).order_by(mails.round, *first)
        found |= {row.id: row.size_bytes for row in await tx.all(placed)}
    return dict(islice(found.items(), limit))


async def _senders(tx: Transaction, addresses: Set[str]) -> dict[str, str]:
    """Whose addresses these are; of an address that several senders share, the first of them."""
    found: dict[str, str] = {}
    for batch in batches(sorted(addresses - {""})):
        which = sa.select(sender_address).where(tx.among(sender_address.c.address, batch))
        for row in await tx.all(which.order_by(sender_address.c.sender)):
            found.setdefault(row.address, row.sender)
    return found


async def _present(tx: Transaction, queue: Queue, at: datetime) -> int:
    """The round that is worked on: the first of what is due."""
    mails = queue.line.table.c
    due = sa.select(mails.round).where(mails.next_at <= at, mails.round > RESTORED, queue.in_turn)
    first = due.order_by(mails.round).limit(1)
    rows = [row for stage in queue.stages for row in await tx.all(first.where(stage))]
    return min((int(row.round) for row in rows), default=0)


async def _ends(tx: Transaction, queue: Queue, lines: Collection[str], at: datetime) -> dict[str, tuple[int, int]]:
    """The last round in which each of these lines has mails that are due, and how many it has there."""
    mails, line = queue.line.table.c, queue.line
    found: dict[str, tuple[int, int]] = {}
    for batch in batches(sorted(lines)):
        rounds = (
            sa.select(line.label("line"), mails.round, sa.func.count().label("mails"))
            .where(tx.among(line, batch), mails.next_at <= at, mails.round.is_not(None), queue.in_turn)
            .group_by(line, mails.round)
        )
        for row in await tx.all(rounds):
            found[row.line] = max(found.get(row.line, (0, 0)), (int(row.round), int(row.mails)))
    return found
