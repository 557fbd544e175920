"""Requests under their numbers, and the keys by which a second one is recognised: references and identities.

Both kinds of key are claimed before the numbers are taken, because counters come last; so what they point to may
not be written yet, within the transaction that claimed them. At its end it must be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import keys
from mailflow.register.tables import active_identity, request, request_reference
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import RequestState


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownReference:
    """What a desk's own reference is bound to."""

    request_id: str
    digest: str
    """Of the request that bound it: another digest is another request."""
    number: UniqueNumber | None
    """None while that request is not written yet, in this same transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityClaim:
    """One person of a request that is to be active."""

    territory: Territory
    key: str
    """Normalised identity; only its token is kept."""
    ordinal: int
    """0; a higher one only for a homonym that was told apart."""
    request_id: str
    nir: str | None = None
    """Only its token is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The active request of a person."""

    request_id: str
    number: UniqueNumber | None
    """None, like `desk`, while the request is not written yet, in this same transaction."""
    desk: DeskCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request that has its number."""

    id: str
    number: UniqueNumber
    territory: Territory
    desk: DeskCode
    sender: str
    expires_on: date
    """Last day on which it is active, a legal day in Paris."""
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
    state: RequestState
    expires_on: date
    registered_at: datetime
    payload: bytes | None
    """None when its content key was deleted: the number and the fact stay."""
    file_record: str
    position: int


async def bind_references(
    tx: Transaction, references: Sequence[tuple[DeskCode, str, str, str]]
) -> set[tuple[DeskCode, str]]:
    """Bind (desk, reference, request_id, digest). Returns the (desk, reference) bound now."""
    named = {
        (desk, _reference_token(tx, desk, reference)): (reference, request_id, digest)
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
    tokens = {(desk, _reference_token(tx, desk, reference)): (desk, reference) for desk, reference in references}
    found: dict[tuple[DeskCode, str], KnownReference] = {}
    table = request_reference
    for batch in batches(sorted({token for _, token in tokens})):
        statement = (
            sa.select(table.c.desk, table.c.token, table.c.digest, table.c.request_id, request.c.number)
            .outerjoin(request, request.c.id == table.c.request_id)
            .where(table.c.token.in_(batch), table.c.desk.in_(sorted({desk for desk, _ in tokens})))
        )
        for row in await tx.all(statement):
            found[tokens[row.desk, row.token]] = KnownReference(
                request_id=row.request_id, digest=row.digest, number=row.number
            )
    return found


async def claim_identities(tx: Transaction, claims: Sequence[IdentityClaim]) -> set[int]:
    """Claim persons for active requests. Returns the indexes of the claims that hold now.

    One active request per person and territory. Waits for other transactions that claim the same persons; in sorted
    order, so that two seldom wait for each other.
    """
    indexes: dict[tuple[str, str, int, str], int] = {}
    rows = []
    for index, claim in enumerate(claims):
        token = _identity_token(tx, claim.key)
        indexes.setdefault((claim.territory, token, claim.ordinal, claim.request_id), index)
        rows.append(
            {
                "territory": claim.territory,
                "token": token,
                "ordinal": claim.ordinal,
                "nir_token": None if claim.nir is None else tx.vault.token("nir", claim.nir),
                "request_id": claim.request_id,
            }
        )
    rows.sort(key=lambda row: (row["territory"], row["token"], row["ordinal"]))
    table = active_identity
    new = tx.insert(table).on_conflict_do_nothing()
    held = await tx.all(new.returning(table.c.territory, table.c.token, table.c.ordinal, table.c.request_id), rows)
    return {indexes[row.territory, row.token, row.ordinal, row.request_id] for row in held}


async def holders(tx: Transaction, persons: Collection[tuple[Territory, str]]) -> dict[tuple[Territory, str], Holder]:
    """Whose active request each (territory, key) is, as far as there is one; of homonyms the first."""
    tokens = {(territory, _identity_token(tx, key)): (territory, key) for territory, key in persons}
    found: dict[tuple[Territory, str], Holder] = {}
    table = active_identity
    for batch in batches(sorted({token for _, token in tokens})):
        statement = (
            sa.select(table.c.territory, table.c.token, table.c.request_id, request.c.number, request.c.desk)
            .outerjoin(request, request.c.id == table.c.request_id)
            .where(table.c.token.in_(batch), table.c.territory.in_(sorted({t for t, _ in tokens})))
            .order_by(table.c.ordinal)
        )
        for row in await tx.all(statement):
            if person := tokens.get((row.territory, row.token)):
                found.setdefault(person, Holder(request_id=row.request_id, number=row.number, desk=row.desk))
    return found


async def release(tx: Transaction, request_ids: Sequence[str]) -> None:
    """Let go of the references and identities of requests that were claimed for and then not registered."""
    for batch in batches(request_ids):
        await tx.run(sa.delete(active_identity).where(active_identity.c.request_id.in_(batch)))
        await tx.run(sa.delete(request_reference).where(request_reference.c.request_id.in_(batch)))


async def insert(tx: Transaction, requests: Sequence[NewRequest], at: datetime) -> None:
    """Write active requests. A number that exists already is ConstraintViolated."""
    made = [tx.vault.new_key() for _ in requests]
    await keys.keep(tx, [wrapped for _, wrapped in made], at)
    rows = [
        {
            "id": new.id,
            "number": new.number,
            "territory": new.territory,
            "desk": new.desk,
            "sender": new.sender,
            "state": RequestState.ACTIVE.value,
            "expires_on": new.expires_on,
            "registered_at": at,
            "key_id": key.id,
            "payload": tx.vault.seal(key, new.payload, f"request.payload:{new.number}"),
            "file_record": new.file_record,
            "position": new.position,
        }
        for new, (key, _) in zip(requests, made, strict=True)
    ]
    await tx.run(sa.insert(request), rows)


async def find(tx: Transaction, number: str) -> StoredRequest | None:
    """The request under `number`, with its content."""
    rows = await tx.all(sa.select(request).where(request.c.number == number))
    if not rows:
        return None
    row = rows[0]
    key = (await keys.find(tx, [row.key_id])).get(row.key_id)
    sealed = row.payload
    return StoredRequest(
        id=row.id,
        number=row.number,
        territory=row.territory,
        desk=row.desk,
        sender=row.sender,
        state=RequestState(row.state),
        expires_on=row.expires_on,
        registered_at=row.registered_at,
        payload=tx.vault.open(key, sealed, f"request.payload:{number}") if key and sealed is not None else None,
        file_record=row.file_record,
        position=row.position,
    )


def _reference_token(tx: Transaction, desk: str, reference: str) -> str:
    return tx.vault.token("reference", f"{desk}\0{reference}")


def _identity_token(tx: Transaction, key: str) -> str:
    return tx.vault.token("identity", key)
