"""Outgoing mails: ordered in the transaction that decides, composed once, frozen, then sent as often as it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.register import journal, keys, piecemeal, rounds
from mailflow.register.tables import intake, outbox, sender
from mailflow.register.transaction import Transaction, batches, fitting
from mailflow.register.types import Instant, OutboxState
from mailflow.register.vault import ContentKey, SealBroken, Vault

ORDERS_BYTES_MAX = 16 * 1024 * 1024
"""Of the orders that are composed together, but at least one: as objects they take many times that."""

TOKEN_CHARACTERS = 40

BOUNCED = "bounced"
"""Why a mail is held that had left, and came back."""

_FREE: dict[str, Any] = {"lease_owner": None, "lease_until": None}
_UNMISSED: dict[str, Any] = {"missed_since": None, "missed_at": None}
_OUT_OF_LINE: dict[str, Any] = {"round": None, **_FREE}
"""Free, and without a place until it is due again."""
_SHARED_BY_PARTS = (
    "kind", "key", "intake_id", "received_at", "recipient", "dated_at", "queued_at", "key_id", "next_at",
    "round",
)  # fmt: skip
_UNSEALED = [column for column in outbox.c if not isinstance(column.type, sa.LargeBinary)]
"""Orders and octets are many times as long as the rest: they are read only where they are opened."""
_SENDS_IN_VAIN = sa.case((outbox.c.state == OutboxState.SENDING.value, outbox.c.sends - 1), else_=outbox.c.sends)
"""The server has said that it did not take it."""
_SENT_ONCE = sa.case((outbox.c.sends == 0, 1), else_=outbox.c.sends)  # at least: a restored register may not know
_FROZEN = ("raw", "body_digest", "state", "next_at", "missed_at")
_LEFT: dict[str, Any] = {"state": OutboxState.SENT.value, "next_at": None}
_COMPOSED = OutboxState.COMPOSED.value
_SENDING = OutboxState.SENDING.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An order for a mail. (kind, key) is ordered once, for ever; it is composed into one part or several."""

    kind: str
    key: str
    intake_id: int | None
    """The mail that it answers; its content key then seals the order, else one of its own does."""
    recipient: str
    domain: str
    """Right-hand side of the Message-ID; its left-hand side is a token of (kind, key, part)."""
    dated_at: datetime
    payload: bytes
    """All that is needed to compose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """An order that is leased to us to be composed."""

    id: int
    kind: str
    key: str
    payload: bytes
    message_id: str
    further: str
    """A secret that the Message-IDs of further parts can be made of."""
    dated_at: datetime
    recipient: str
    intake_id: int | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Octets:
    """A complete mail."""

    message_id: str
    raw: bytes = field(repr=False)
    body_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A frozen mail that is leased to us to be sent."""

    id: int
    recipient: str
    message_id: str
    raw: bytes
    body_digest: str
    attempts: int
    received_at: datetime
    """From here the time for the answer runs: reception of the mail that it answers, else when it was ordered."""
    intake_id: int | None


def envelope_id(message_id: str) -> str:
    """How a delivery status notification names the mail (ENVID): the local part of its Message-ID."""
    return message_id.strip("<>").partition("@")[0]


def message_id(vault: Vault, *, kind: str, key: str, domain: str) -> str:
    """Of the first part: it depends on what is ordered alone, so that the same mail is known again."""
    return f"<{vault.token('message-id', f'{kind}:{key}:1')[:TOKEN_CHARACTERS]}@{domain}>"


async def queue(tx: Transaction, drafts: Sequence[Draft], at: datetime) -> set[tuple[str, str]]:
    """Order mails. Returns the (kind, key) ordered now; those ordered before stay as they are."""
    intakes = sorted({draft.intake_id for draft in drafts if draft.intake_id is not None})
    content_keys = await keys.of_intakes(tx, intakes)
    received: dict[int, datetime] = {}
    for batch in batches(intakes):
        columns = sa.select(intake.c.id, intake.c.received_at).where(tx.among(intake.c.id, batch))
        received |= {row.id: row.received_at for row in await tx.all(columns)}
    own: dict[tuple[str, str], ContentKey] = {}
    places = await rounds.places(tx, rounds.OUT, [draft.recipient for draft in drafts], at)
    rows = []
    for draft, place in zip(drafts, places, strict=True):
        name = (draft.kind, draft.key)
        first = message_id(tx.vault, kind=draft.kind, key=draft.key, domain=draft.domain)
        if draft.intake_id is None:
            key = own[name] = tx.vault.new_key()
        else:
            key = content_keys[draft.intake_id]
        rows.append(
            {
                "kind": draft.kind,
                "key": draft.key,
                "part": 1,
                "intake_id": draft.intake_id,
                "received_at": at if draft.intake_id is None else received[draft.intake_id],
                "recipient": draft.recipient,
                "message_id": first,
                "envelope_id": envelope_id(first),
                "dated_at": draft.dated_at,
                "queued_at": at,
                "key_id": key.id,
                "payload": tx.vault.seal(key, draft.payload, context("payload", *name, 1)),
                "state": OutboxState.QUEUED.value,
                # Never later than the server's clock says: ours may be ahead, and be set back.
                "next_at": at if draft.intake_id is None else min(at, received[draft.intake_id]),
                "round": place,
            }
        )
    named = (outbox.c.kind, outbox.c.key, outbox.c.part)
    new = tx.insert(outbox).on_conflict_do_nothing(index_elements=named).returning(*named)
    ordered = {(row.kind, row.key) for row in await tx.all(new, rows)}
    await keys.keep(tx, [(own[name], keys.Owner.of_mail(*name)) for name in sorted(own.keys() & ordered)], at)
    return ordered


def context(column: str, kind: str, key: str, part: int) -> str:
    """Where a column of an outgoing mail is sealed to."""
    return f"outbox.{column}:{kind}\0{key}\0{part}"


# Compose


async def claim_queued(
    tx: Transaction,
    owner: str,
    limit: int,
    at: datetime,
    lease_until: datetime,
    *,
    urgent_before: datetime | None = None,
) -> list[Queued]:
    """Lease the next orders without octets that are due (`rounds.in_turn`). A lease that ran out is nobody's."""
    ids = await _next(tx, _due(OutboxState.QUEUED, outbox.c.payload, at), at, limit, urgent_before, ORDERS_BYTES_MAX)
    return [
        Queued(
            id=row.id,
            kind=row.kind,
            key=row.key,
            payload=payload,
            message_id=row.message_id,
            further=tx.vault.token("message-id", f"{row.kind}:{row.key}"),
            dated_at=row.dated_at,
            recipient=row.recipient,
            intake_id=row.intake_id,
            attempts=row.attempts,
        )
        for row, payload in await _leased(tx, ids, outbox.c.payload, owner, at, lease_until)
    ]


async def freeze(tx: Transaction, mails: Mapping[int, Sequence[Octets]], *, begin: int = 1) -> None:
    """Keep the octets of composed mails, by the id of the order, where there are none yet. They never change again.

    An order that came to several parts: the first is kept in its row, the others get rows of their own. The order is
    open until its first part is frozen; those that come after part `begin` may be kept before that. What has left in a
    time that the register lost (`departures`) is sent by that, unless it came back and is to go again: in other octets.
    """
    rows = []
    for batch in batches(sorted(mails)):
        rows += await tx.all(
            sa.select(*_UNSEALED)
            .where(tx.among(outbox.c.id, batch), outbox.c.state == OutboxState.QUEUED.value)
            .order_by(outbox.c.id)
            .with_for_update()
        )
    content_keys = await keys.find(tx, {row.key_id for row in rows})

    def sealed(row: Any, part: int, octets: bytes) -> bytes:
        return tx.vault.seal(content_keys[row.key_id], octets, context("raw", row.kind, row.key, part))

    first, further = [], []
    for row in rows:
        for part, mail in enumerate(mails[row.id], begin):
            frozen = {"raw": sealed(row, part, mail.raw), "body_digest": mail.body_digest, "state": _COMPOSED}
            if part == 1:
                frozen |= {"next_at": row.next_at, "missed_at": row.missed_at}
                if row.sent_at is not None:  # No copy of these octets can be there yet, if they are to go.
                    frozen |= {"missed_at": row.next_at} if row.copies_before else _LEFT
                first.append({f"b_{name}": value for name, value in frozen.items()} | {"b_id": row.id})
                continue
            names = {"part": part, "message_id": mail.message_id, "envelope_id": envelope_id(mail.message_id)}
            further.append({name: row._mapping[name] for name in _SHARED_BY_PARTS} | names | frozen)
    statement = (
        sa.update(outbox)
        .where(outbox.c.id == sa.bindparam("b_id"), outbox.c.raw.is_(None))
        .values(attempts=0, copies_before=0, **{name: sa.bindparam(f"b_{name}") for name in _FROZEN}, **_FREE)
    )
    await tx.run(statement, first)
    named = [outbox.c.kind, outbox.c.key, outbox.c.part]
    await tx.run(tx.insert(outbox).on_conflict_do_nothing(index_elements=named), further)


async def give_back(tx: Transaction, owner: str, ids: Sequence[int]) -> None:
    """They could not be composed, through no fault of theirs: whoever comes next may try, if they are still ours."""
    ours = sa.and_(tx.among(outbox.c.id, ids), outbox.c.lease_owner == owner)
    await change(tx, ours, (OutboxState.QUEUED.value,), _FREE)


async def compose_later(tx: Transaction, owner: str, id_: int, until: datetime, reason: str) -> None:
    """It could not be composed now: claimed again at `until`, if it is still leased to `owner`."""
    ours = sa.and_(outbox.c.id == id_, outbox.c.lease_owner == owner)
    values = {"next_at": until, "reason": reason, "attempts": outbox.c.attempts + 1, **_OUT_OF_LINE}
    await change(tx, ours, (OutboxState.QUEUED.value,), values)


# Deliver


async def claim_composed(
    tx: Transaction,
    owner: str,
    limit: int,
    at: datetime,
    lease_until: datetime,
    *,
    size_bytes_max: int,
    urgent_before: datetime | None = None,
) -> list[Composed]:
    """Lease the next frozen mails that are due (`rounds.in_turn`); at least one, however large."""
    ids = await _next(tx, _due(OutboxState.COMPOSED, outbox.c.raw, at), at, limit, urgent_before, size_bytes_max)
    return [
        Composed(
            id=row.id,
            recipient=row.recipient,
            message_id=row.message_id,
            raw=raw,
            body_digest=row.body_digest,
            attempts=row.attempts,
            received_at=row.received_at,
            intake_id=row.intake_id,
        )
        for row, raw in await _leased(tx, ids, outbox.c.raw, owner, at, lease_until)
    ]


async def _next(
    tx: Transaction, due: sa.Select[Any], at: datetime, limit: int, urgent_before: datetime | None, size_bytes_max: int
) -> list[int]:
    """Of those that are due as many as `limit` and the size of their sealed values allow; at least one."""
    await rounds.come_in_anew(tx, due, at)
    return fitting(await rounds.in_turn(tx, rounds.OUT, due, limit, urgent_before), size_bytes_max)


async def _leased(
    tx: Transaction, ids: Sequence[int], sealed: sa.Column[bytes], owner: str, at: datetime, lease_until: datetime
) -> list[tuple[Any, bytes]]:
    """Lease these, and open what is sealed in a column. A row that does not open is held: the others go on."""
    rows = await _lease(tx, ids, sealed, owner, lease_until)
    content_keys = await keys.sound(tx, {row.key_id for row in rows})
    found: list[tuple[Any, bytes]] = []
    for row in rows:
        try:
            where = context(sealed.name, row.kind, row.key, row.part)
            found.append((row, tx.vault.open(content_keys[row.key_id], row.sealed or b"", where)))
        except (KeyError, SealBroken):
            await hold(tx, owner, [row.id], "seal broken", at)
    return found


def _due(state: OutboxState, sealed: sa.Column[bytes], at: datetime) -> sa.Select[Any]:
    return (
        sa.select(outbox.c.id, sa.func.length(sealed).label("size_bytes"))
        .where(
            outbox.c.state == state.value,
            outbox.c.next_at <= at,
            sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= at),
            piecemeal.in_turn,
        )
        .with_for_update(skip_locked=True)
    )


async def _lease(
    tx: Transaction, ids: Sequence[int], sealed: sa.Column[bytes], owner: str, lease_until: datetime
) -> list[Any]:
    """An answer goes to the address that its sender has now: it may have come back from the one before."""
    present = sa.select(sender.c.answer_address).join(intake, intake.c.sender == sender.c.code)
    present = present.where(intake.c.id == outbox.c.intake_id).correlate(outbox)
    recipient = sa.func.coalesce(present.scalar_subquery(), outbox.c.recipient)
    rows: list[Any] = []
    for batch in batches(ids):
        lease = sa.update(outbox).values(lease_owner=owner, lease_until=lease_until, recipient=recipient)
        rows += await tx.all(lease.where(tx.among(outbox.c.id, batch)).returning(*_UNSEALED, sealed.label("sealed")))
    return sorted(rows, key=lambda row: (row.received_at, row.id))


async def mark_sending(tx: Transaction, owner: str, ids: Sequence[int], at: datetime) -> set[int]:
    """Just before the data: from here on it may have been sent. Returns those that are still ours to send."""
    ours: set[int] = set()
    for batch in batches(ids):
        statement = (
            sa.update(outbox)
            .where(
                tx.among(outbox.c.id, batch),
                outbox.c.state == _COMPOSED,
                outbox.c.lease_owner == owner,
                outbox.c.lease_until > at,
            )
            .values(state=_SENDING, sending_at=at, next_at=None, round=None, sends=outbox.c.sends + 1, **_UNMISSED)
            .returning(outbox.c.id)
        )
        ours |= {row.id for row in await tx.all(statement)}
    return ours


async def mark_sent(tx: Transaction, ids: Sequence[int], at: datetime) -> None:
    """The server took it: whatever was done to it meanwhile, these octets have left. A bounce may have come since."""
    held = sa.and_(outbox.c.state == OutboxState.HELD.value, outbox.c.reason.is_distinct_from(BOUNCED))
    on_its_way = sa.or_(outbox.c.state.in_((_COMPOSED, _SENDING)), held)
    await tx.run(sa.update(outbox).where(tx.among(outbox.c.id, ids), on_its_way).values(**sent(at), sends=_SENT_ONCE))


async def defer(tx: Transaction, owner: str, ids: Sequence[int], until: datetime, reason: str) -> None:
    """The server would not have it now: sent again at `until`. Rows that are no longer leased to `owner` stay."""
    ours = sa.and_(tx.among(outbox.c.id, ids), outbox.c.lease_owner == owner)
    await change(tx, ours, (_COMPOSED, _SENDING), {**again(until, reason), "sends": _SENDS_IN_VAIN})


async def hold(tx: Transaction, owner: str, ids: Sequence[int], reason: str, at: datetime) -> set[int]:
    """Stop until an operator looks: it cannot be composed, or the server refused it for good. Returns those held.

    Rows that are no longer leased to `owner` stay: whoever has them now may be sending them.
    """
    values = {"state": OutboxState.HELD.value, "reason": reason, "next_at": None, "sending_at": None, **_OUT_OF_LINE}
    values["sends"] = _SENDS_IN_VAIN
    stopped: set[int] = set()
    for batch in batches(ids):
        ours = (tx.among(outbox.c.id, batch), outbox.c.lease_owner == owner)
        waiting = outbox.c.state.in_((OutboxState.QUEUED.value, _COMPOSED, _SENDING))
        held = sa.update(outbox).where(*ours, waiting).values(**values).returning(outbox.c.id)
        stopped |= {row.id for row in await tx.all(held)}
    entries = [journal.Entry(kind="outbox-held", detail={"outbox": id_, "reason": reason}) for id_ in sorted(stopped)]
    await journal.append(tx, entries, at)
    return stopped


async def release_all(tx: Transaction, owner: str) -> None:
    """Give back whatever is leased to `owner`: it stops. What is being sent stays doubtful until it is looked for."""
    ours = sa.and_(outbox.c.lease_until.is_not(None), outbox.c.lease_owner == owner, outbox.c.state != _SENDING)
    await tx.run(sa.update(outbox).where(ours).values(**_FREE))


def sent(at: datetime) -> dict[str, Any]:
    """What a row says once the server took the mail."""
    first, now = outbox.c.sent_at, sa.bindparam(None, at, Instant())
    left = {"sent_at": sa.func.coalesce(first, now), "sent_again_at": sa.case((first.is_not(None), now))}
    return {"state": OutboxState.SENT.value, **left, "reason": None, "next_at": None, "sending_at": None, **_FREE}


def again(until: datetime, reason: str) -> dict[str, Any]:
    """What a row says whose octets are to go another time."""
    free = {"sending_at": None, **_OUT_OF_LINE}
    return {"state": _COMPOSED, "next_at": until, "reason": reason, "attempts": outbox.c.attempts + 1, **free}


async def change(
    tx: Transaction, which: sa.ColumnElement[bool], states: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Write these values into rows that are in one of these states."""
    await tx.run(sa.update(outbox).where(which, outbox.c.state.in_(states)).values(**values))
