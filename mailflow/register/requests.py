"""Requests under their numbers, and the desks' own references by which a second one is recognised.

A reference is claimed before the number is taken, because counters come last; so what it points to may not be
written yet, within the transaction that claimed it. At its end it must be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.life import Life
from mailflow.core.model import RequestState
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import identities, keys
from mailflow.register.tables import request, request_reference
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownReference:
    """What a desk's own reference is bound to."""

    request_id: str
    digest: str
    """Of the request that bound it: another digest is another request."""
    number: UniqueNumber | None
    """None, like the next two, while that request is not written yet, in this same transaction."""
    life: Life | None
    revision: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request that has its number."""

    id: str
    number: UniqueNumber
    territory: Territory
    desk: DeskCode
    sender: str
    life: Life
    dated_at: datetime
    """Of the file."""
    payload: bytes
    """All that it says; sealed under a content key of its own."""
    file_record: str
    position: int
    """Within the file, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A request of the register."""

    id: str
    number: UniqueNumber
    territory: Territory
    desk: DeskCode
    sender: str
    life: Life
    registered_at: datetime
    revision: int
    """Of the last entry in its history."""
    dated_at: datetime
    """Of the last file that was applied to it."""
    key: ContentKey | None = field(repr=False)
    """None when it was deleted."""
    payload: bytes | None = field(repr=False)
    """None when its content key was deleted: the number and the fact stay."""
    file_record: str
    position: int


async def bind_references(
    tx: Transaction, references: Sequence[tuple[DeskCode, str, str, str]]
) -> set[tuple[DeskCode, str]]:
    """Bind (desk, reference, request_id, digest). Returns the (desk, reference) bound now."""
    named = {
        (desk, reference_token(tx, desk, reference)): (reference, request_id, digest)
        for desk, reference, request_id, digest in reversed(references)
    }
    rows = [
        {"desk": desk, "token": token, "request_id": request_id, "digest": digest}
        for (desk, token), (_, request_id, digest) in sorted(named.items())
    ]
    new = tx.insert(request_reference).on_conflict_do_nothing()
    bound = await tx.all(new.returning(request_reference.c.desk, request_reference.c.token), rows)
    return {(row.desk, named[row.desk, row.token][0]) for row in bound}


async def known_references(
    tx: Transaction, references: Collection[tuple[DeskCode, str]]
) -> dict[tuple[DeskCode, str], KnownReference]:
    """What these (desk, reference) are bound to, as far as they are."""
    tokens = {(desk, reference_token(tx, desk, reference)): (desk, reference) for desk, reference in references}
    found: dict[tuple[DeskCode, str], KnownReference] = {}
    table = request_reference
    for batch in batches(sorted({token for _, token in tokens})):
        statement = (
            sa.select(*(table.c[name] for name in ("desk", "token", "digest", "request_id")))
            .add_columns(request.c.number, request.c.revision, *_LIFE)
            .outerjoin(request, request.c.id == table.c.request_id)
            .where(tx.among(table.c.token, batch), table.c.desk.in_(sorted({desk for desk, _ in tokens})))
        )
        for row in await tx.all(statement):
            found[tokens[row.desk, row.token]] = KnownReference(
                request_id=row.request_id,
                digest=row.digest,
                number=row.number,
                life=life_of(row) if row.number else None,
                revision=row.revision,
            )
    return found


async def release(tx: Transaction, request_ids: Sequence[str], *, forget: bool = True) -> None:
    """Let go of the references and identities of requests that are not registered after all, or removed.

    Without `forget` their persons are found, as before, until somebody has them forgotten (`likeness.forget`).
    """
    await identities.release(tx, request_ids, forget=forget)
    for batch in batches(request_ids):
        await tx.run(sa.delete(request_reference).where(tx.among(request_reference.c.request_id, batch)))


async def insert(tx: Transaction, requests: Sequence[NewRequest], at: datetime) -> dict[UniqueNumber, ContentKey]:
    """Write new requests; returns their content keys. A number that exists already is ConstraintViolated."""
    made = [tx.vault.new_key() for _ in requests]
    await keys.keep(tx, [(key, keys.Owner("request", new.id)) for new, key in zip(requests, made, strict=True)], at)
    rows = [
        {
            "id": new.id,
            "number": new.number,
            "territory": new.territory,
            "desk": new.desk,
            "sender": new.sender,
            **life_columns(new.life),
            "deposited_on": new.life.deposited_on,
            "registered_at": at,
            "revision": 1,
            "dated_at": new.dated_at,
            "key_id": key.id,
            "payload": tx.vault.seal(key, new.payload, f"request.payload:{new.number}"),
            "file_record": new.file_record,
            "position": new.position,
        }
        for new, key in zip(requests, made, strict=True)
    ]
    await tx.run(sa.insert(request), rows)
    return {new.number: key for new, key in zip(requests, made, strict=True)}


async def find(tx: Transaction, number: str) -> StoredRequest | None:
    """The request under `number`, with its content."""
    return (await _stored(tx, sa.select(request).where(request.c.number == number))).get(UniqueNumber(number))


async def find_all(tx: Transaction, numbers: Collection[str]) -> dict[UniqueNumber, StoredRequest]:
    """Those requests of `numbers` that exist, with their content."""
    found: dict[UniqueNumber, StoredRequest] = {}
    for batch in batches(sorted(numbers)):
        found |= await _stored(tx, sa.select(request).where(tx.among(request.c.number, batch)))
    return found


async def lock(tx: Transaction, numbers: Collection[str]) -> dict[UniqueNumber, StoredRequest]:
    """Those requests of `numbers` that exist, ours until the transaction ends.

    In sorted order, so that two seldom wait for each other; before any claim, since others claim after they lock.
    """
    found: dict[UniqueNumber, StoredRequest] = {}
    for batch in batches(sorted(numbers)):
        statement = sa.select(request).where(tx.among(request.c.number, batch)).order_by(request.c.number)
        found |= await _stored(tx, statement.with_for_update())
    return found


async def update(tx: Transaction, changed: Sequence[StoredRequest]) -> None:
    """Write how locked requests stand now: life, revision, date of the file, content."""
    rows = [
        {
            "b_number": now.number,
            **life_columns(now.life),
            "revision": now.revision,
            "dated_at": now.dated_at,
            "payload": tx.vault.seal(now.key, now.payload, f"request.payload:{now.number}")
            if now.key is not None and now.payload is not None
            else None,
        }
        for now in changed
    ]
    columns = [name for name in rows[0] if name != "b_number"] if rows else []
    statement = sa.update(request).where(request.c.number == sa.bindparam("b_number"))
    await tx.run(statement.values({name: sa.bindparam(name) for name in columns}), rows)


async def _stored(tx: Transaction, statement: sa.Select[Any]) -> dict[UniqueNumber, StoredRequest]:
    rows = await tx.all(statement)
    content_keys = await keys.find(tx, [row.key_id for row in rows])
    found: dict[UniqueNumber, StoredRequest] = {}
    for row in rows:
        key, sealed = content_keys.get(row.key_id), row.payload
        found[row.number] = StoredRequest(
            id=row.id,
            number=row.number,
            territory=row.territory,
            desk=row.desk,
            sender=row.sender,
            life=life_of(row),
            registered_at=row.registered_at,
            revision=row.revision,
            dated_at=row.dated_at,
            key=key,
            payload=tx.vault.open(key, sealed, f"request.payload:{row.number}") if key and sealed is not None else None,
            file_record=row.file_record,
            position=row.position,
        )
    return found


_LIFE = (
    request.c.state,
    request.c.motive,
    request.c.deposited_on,
    request.c.renewed_on,
    request.c.expires_on,
    request.c.ended_on,
)


def life_of(row: Any) -> Life:
    """The life in a row of the request or of its history."""
    return Life(
        state=RequestState(row.state),
        motive=row.motive,
        deposited_on=row.deposited_on,
        renewed_on=row.renewed_on,
        expires_on=row.expires_on,
        ended_on=row.ended_on,
    )


def life_columns(life: Life) -> dict[str, Any]:
    """All that can change."""
    return {
        "state": life.state.value,
        "motive": life.motive,
        "renewed_on": life.renewed_on,
        "expires_on": life.expires_on,
        "ended_on": life.ended_on,
    }


def reference_token(tx: Transaction, desk: str, reference: str) -> str:
    """What stands for a desk's own reference, of which the register keeps no more."""
    return tx.vault.token("reference", f"{desk}\0{reference}")
