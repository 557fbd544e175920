"""Mails and outgoing mails as a mailbox is held against them: counts of all, and rows by what a header tells.

Whole tables are read, in pages. Nothing is opened: what is compared are identifiers, digests, instants and states.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.accounts import KnownMail, KnownOutgoing
from mailflow.register.arrivals import UIDVALIDITY_END, message_token
from mailflow.register.tables import dispatch, intake, outbox, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import IntakeState, OutboxState

Counts = Sequence[tuple[tuple[str, ...], int]]
"""What is counted, by one or more words, in their order."""

_ON_ITS_WAY = (OutboxState.QUEUED.value, OutboxState.COMPOSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much there is, in one view of the register."""

    mails: Counts
    """By state."""
    outgoing: Counts
    """By kind and state."""
    requests: Counts
    """By state."""
    dispatches: int
    last_mail: int
    """The highest intake; 0: there is none."""
    last_outgoing: int


async def totals(tx: Transaction) -> Totals:
    """Reads all three tables."""
    return Totals(
        mails=await _count(tx, intake.c.state),
        outgoing=await _count(tx, outbox.c.kind, outbox.c.state),
        requests=await _count(tx, request.c.state),
        dispatches=await _one(tx, sa.select(sa.func.count()).select_from(dispatch)),
        last_mail=await _one(tx, sa.select(sa.func.max(intake.c.id))),
        last_outgoing=await _one(tx, sa.select(sa.func.max(outbox.c.id))),
    )


async def _one(tx: Transaction, statement: sa.Select[Any]) -> int:
    """One number; 0 of nothing."""
    ((number,),) = await tx.all(statement)
    return int(number or 0)


async def _count(tx: Transaction, *by: sa.Column[str]) -> Counts:
    statement = sa.select(*by, sa.func.count().label("rows")).group_by(*by).order_by(*by)
    return [(tuple(row[:-1]), int(row.rows)) for row in await tx.all(statement)]


# Mails

Header = tuple[str, datetime]
"""Message-ID and time of reception: what stays of a mail wherever it is moved."""


async def mails_at(
    tx: Transaction, account: str, mailbox: str, uidvalidity: int, uids: Collection[int]
) -> dict[int, KnownMail]:
    """Those that are on record under these very UIDs."""
    found: dict[int, KnownMail] = {}
    for batch in batches(sorted(uids)):
        here = (intake.c.account == account, intake.c.mailbox == mailbox, intake.c.uidvalidity == uidvalidity)
        statement = sa.select(*_MAIL, intake.c.uid).where(*here, tx.among(intake.c.uid, batch))
        found |= {row.uid: _mail(row) for row in await tx.all(statement)}
    return found


async def intakes_at(
    tx: Transaction, account: str, mailbox: str, uidvalidity: int, uids: Collection[int]
) -> Mapping[int, Collection[int]]:
    """The intakes of all that is on record under each of these UIDs, which a server may have given several times."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    given = intake.c.uidvalidity % UIDVALIDITY_END
    for batch in batches(sorted(uids)):
        here = (intake.c.account == account, intake.c.mailbox == mailbox, given == uidvalidity)
        for row in await tx.all(sa.select(intake.c.id, intake.c.uid).where(*here, tx.among(intake.c.uid, batch))):
            found[row.uid].append(row.id)
    return found


async def mails_by_header(tx: Transaction, headers: Collection[Header]) -> Mapping[Header, Sequence[KnownMail]]:
    """All that have such a header, the oldest first. What has no Message-ID is found by its digest only."""
    wanted = {(message_token(tx.vault, message_id), at): (message_id, at) for message_id, at in headers if message_id}
    found: defaultdict[Header, list[KnownMail]] = defaultdict(list)
    for batch in batches(sorted(wanted, key=str)):
        tokens, instants = {token for token, _ in batch}, {at for _, at in batch}
        which = (intake.c.message_token.in_(sorted(tokens, key=str)), intake.c.received_at.in_(sorted(instants)))
        statement = sa.select(*_MAIL, intake.c.message_token).where(*which).order_by(intake.c.id)
        for row in await tx.all(statement):
            if header := wanted.get((row.message_token, row.received_at)):
                found[header].append(_mail(row))
    return found


async def mails_by_digest(tx: Transaction, digests: Collection[str]) -> Mapping[str, Sequence[KnownMail]]:
    """All that have these octets, the oldest first."""
    found: defaultdict[str, list[KnownMail]] = defaultdict(list)
    for batch in batches(sorted(digests)):
        statement = sa.select(*_MAIL).where(tx.among(intake.c.digest, batch)).order_by(intake.c.id)
        for row in await tx.all(statement):
            found[row.digest].append(_mail(row))
    return found


async def mails_too_large(tx: Transaction, received: Collection[datetime]) -> Mapping[datetime, Sequence[KnownMail]]:
    """Those received at these instants that were too large to be read: nothing else is known of them."""
    found: defaultdict[datetime, list[KnownMail]] = defaultdict(list)
    for batch in batches(sorted(set(received))):
        which = (intake.c.digest.is_(None), tx.among(intake.c.received_at, batch))
        for row in await tx.all(sa.select(*_MAIL).where(*which).order_by(intake.c.id)):
            found[row.received_at].append(_mail(row))
    return found


async def whole(tx: Transaction, ids: Collection[int]) -> set[int]:
    """Those of these mails whose octets were taken in."""
    found: set[int] = set()
    for batch in batches(sorted(ids)):
        statement = sa.select(intake.c.id).where(tx.among(intake.c.id, batch), intake.c.digest.is_not(None))
        found |= {row.id for row in await tx.all(statement)}
    return found


async def mails_put_away(
    tx: Transaction, account: str, *, after: int, through: int, since: datetime, before: datetime, limit: int
) -> list[KnownMail]:
    """A page of those of this account that were received since then, and taken in before that; by id."""
    which = (
        intake.c.id > after,
        intake.c.id <= through,
        intake.c.account == account,
        intake.c.received_at >= since,
        intake.c.taken_at < before,
    )
    return [_mail(row) for row in await tx.all(sa.select(*_MAIL).where(*which).order_by(intake.c.id).limit(limit))]


_MAIL = (
    *(intake.c.id, intake.c.account, intake.c.received_at),
    *(intake.c.size_bytes, intake.c.digest, intake.c.state),
)


def _mail(row: sa.Row[Any]) -> KnownMail:
    return KnownMail(
        id=row.id,
        account=row.account,
        received_at=row.received_at,
        size_bytes=row.size_bytes,
        is_whole=row.digest is not None,
        digest=row.digest,
        repeats=row.state == IntakeState.SAME_DELIVERY.value,
    )


# Outgoing mails


async def outgoing(tx: Transaction, message_ids: Collection[str]) -> dict[str, KnownOutgoing]:
    """Those with these Message-IDs."""
    found: dict[str, KnownOutgoing] = {}
    for batch in batches(sorted(message_ids)):
        rows = await tx.all(sa.select(*_OUTGOING).where(tx.among(outbox.c.message_id, batch)))
        found |= {row.message_id: _outgoing(row) for row in rows}
    return found


async def outgoing_left(
    tx: Transaction, *, after: int, through: int, since: datetime, before: datetime, limit: int
) -> list[KnownOutgoing]:
    """A page of those that left last between these instants and were not ordered to be sent again; by id."""
    left_at = sa.func.coalesce(outbox.c.sent_again_at, outbox.c.sent_at)
    which = (
        outbox.c.id > after,
        outbox.c.id <= through,
        outbox.c.state == OutboxState.SENT.value,
        left_at >= since,
        left_at < before,
    )
    rows = await tx.all(sa.select(*_OUTGOING).where(*which).order_by(outbox.c.id).limit(limit))
    return [_outgoing(row) for row in rows]


_OUTGOING = (
    *(outbox.c.id, outbox.c.message_id, outbox.c.body_digest, outbox.c.sends, outbox.c.copies_before),
    *(outbox.c.state, outbox.c.lease_owner),
)


def _outgoing(row: sa.Row[Any]) -> KnownOutgoing:
    return KnownOutgoing(
        id=row.id,
        message_id=row.message_id,
        body_digest=row.body_digest,
        sends=row.sends,
        copies_before=row.copies_before,
        waits=(row.state in _ON_ITS_WAY or _is_unsent(row)) and row.lease_owner is None,
    )


def _is_unsent(row: sa.Row[Any]) -> bool:
    """It is held, and never left: should somebody release it, it would."""
    return bool(row.state == OutboxState.HELD.value and row.sends == 0)


# What nobody was told


async def answers_missing(tx: Transaction, before: datetime, limit: int) -> tuple[int, list[int]]:
    """Mails that count as answered and have no answer, not even an order for one: how many, and the first of them."""
    unanswered = sa.select(outbox.c.id).where(outbox.c.intake_id == intake.c.id)
    answered = (intake.c.state == IntakeState.ANSWERED.value, intake.c.settled_at < before)
    which = sa.select(intake.c.id).where(*answered, ~unanswered.exists())
    ((number,),) = await tx.all(sa.select(sa.func.count()).select_from(which.subquery()))
    rows = await tx.all(which.order_by(intake.c.id).limit(limit))
    return int(number), [row.id for row in rows]
