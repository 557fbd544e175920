"""The persons of active requests: one of each in a territory, unless homonyms were told apart.

They are claimed before the numbers are taken, because counters come last; so the request of a claim may not be written
yet, within the transaction that claimed it. At its end it must be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import likeness
from mailflow.register.tables import active_identity, request
from mailflow.register.transaction import Transaction, batches


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
class Rival:
    """An active request that stands in the way of a claim."""

    request_id: str
    number: UniqueNumber | None
    """None while the request is not written yet, in this same transaction."""
    ordinal: int
    same_identity: bool
    same_nir: bool | None
    """None when one of the two has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claim as it stands in the register."""

    territory: Territory
    token: str
    ordinal: int
    nir_token: str | None
    request_id: str


async def claim(tx: Transaction, claims: Sequence[IdentityClaim]) -> set[int]:
    """Claim persons for active requests. Returns the indexes of the claims that hold now.

    One active request per person and territory. Waits for other transactions that claim the same persons; in sorted
    order, so that two seldom wait for each other.
    """
    indexes: dict[tuple[str, str, int, str], int] = {}
    rows = []
    for index, one in enumerate(claims):
        token = token_of(tx, one.key)
        indexes.setdefault((one.territory, token, one.ordinal, one.request_id), index)
        rows.append(
            {
                "territory": one.territory,
                "token": token,
                "ordinal": one.ordinal,
                "nir_token": _nir_token(tx, one.nir),
                "request_id": one.request_id,
            }
        )
    rows.sort(key=lambda row: (row["territory"], row["token"], row["ordinal"]))
    table = active_identity
    new = tx.insert(table).on_conflict_do_nothing()
    held = await tx.all(new.returning(table.c.territory, table.c.token, table.c.ordinal, table.c.request_id), rows)
    return {indexes[row.territory, row.token, row.ordinal, row.request_id] for row in held}


async def holders(tx: Transaction, persons: Collection[tuple[Territory, str]]) -> dict[tuple[Territory, str], Holder]:
    """Whose active request each (territory, key) is, as far as there is one; of homonyms the first."""
    tokens = {(territory, token_of(tx, key)): (territory, key) for territory, key in persons}
    found: dict[tuple[Territory, str], Holder] = {}
    table = active_identity
    for batch in batches(sorted({token for _, token in tokens})):
        statement = (
            sa.select(table.c.territory, table.c.token, table.c.request_id, request.c.number, request.c.desk)
            .outerjoin(request, request.c.id == table.c.request_id)
            .where(tx.among(table.c.token, batch), table.c.territory.in_(sorted({t for t, _ in tokens})))
            .order_by(table.c.ordinal)
        )
        for row in await tx.all(statement):
            if person := tokens.get((row.territory, row.token)):
                found.setdefault(person, Holder(request_id=row.request_id, number=row.number, desk=row.desk))
    return found


async def rivals(tx: Transaction, persons: Sequence[IdentityClaim]) -> list[list[Rival]]:
    """Who else holds the identity or the NIR of each of these, in their order."""
    table = active_identity
    tokens = [token_of(tx, person.key) for person in persons]
    nirs = [_nir_token(tx, person.nir) for person in persons]
    columns = (*table.c, request.c.number)
    held: dict[tuple[str, str, int], Any] = {}
    for column, wanted in ((table.c.token, tokens), (table.c.nir_token, nirs)):
        for batch in batches(sorted({token for token in wanted if token is not None})):
            joined = sa.select(*columns).outerjoin(request, request.c.id == table.c.request_id)
            there = table.c.territory.in_({person.territory for person in persons})
            which = joined.where(tx.among(column, batch), there)
            held |= {(row.territory, row.token, row.ordinal): row for row in await tx.all(which)}
    return [
        [
            Rival(
                request_id=row.request_id,
                number=row.number,
                ordinal=row.ordinal,
                same_identity=row.token == token,
                same_nir=None if nir is None or row.nir_token is None else row.nir_token == nir,
            )
            for _, row in sorted(held.items())
            if row.territory == person.territory
            and row.request_id != person.request_id
            and (row.token == token or (nir is not None and row.nir_token == nir))
        ]
        for person, token, nir in zip(persons, tokens, nirs, strict=True)
    ]


async def withdraw(tx: Transaction, persons: Sequence[tuple[str, str]]) -> list[Held]:
    """Take persons (request id, key) off their requests. What they held is to be restored or settled."""
    table = active_identity
    held: list[Held] = []
    for batch in batches([(request_id, token_of(tx, key)) for request_id, key in persons]):
        which = sa.tuple_(table.c.request_id, table.c.token).in_(batch)
        held += [Held(**row._mapping) for row in await tx.all(sa.delete(table).where(which).returning(*table.c))]
    return held


async def restore(tx: Transaction, held: Sequence[Held]) -> None:
    """Give back what was withdrawn in this transaction: nobody else can have claimed it."""
    columns = [column.name for column in active_identity.c]
    await tx.run(sa.insert(active_identity), [{name: getattr(one, name) for name in columns} for one in held])


async def settle(tx: Transaction, held: Sequence[Held]) -> None:
    """Give up what was withdrawn.

    Of homonyms one always has the ordinal 0: where that is free, so is the person.
    """
    table = active_identity
    for batch in batches(sorted({(one.territory, one.token) for one in held if one.ordinal == 0})):
        # Not by GROUP BY: for the lowest of each SQLite would read through the whole territory.
        columns = (table.c.territory, table.c.token, table.c.ordinal)
        left = await tx.all(sa.select(*columns).where(sa.tuple_(table.c.territory, table.c.token).in_(batch)))
        lowest = {(row.territory, row.token): row.ordinal for row in sorted(left, reverse=True)}
        for (territory, token), ordinal in lowest.items():
            if ordinal:
                which = (table.c.territory == territory, table.c.token == token, table.c.ordinal == ordinal)
                await tx.run(sa.update(table).where(*which).values(ordinal=0))


async def release(tx: Transaction, request_ids: Sequence[str], *, forget: bool = True) -> None:
    """The persons of these requests may have others, and are found no more, unless that comes later."""
    if forget:
        await likeness.forget(tx, request_ids)
    table = active_identity
    for batch in batches(request_ids):
        gone = sa.delete(table).where(tx.among(table.c.request_id, batch)).returning(*table.c)
        await settle(tx, [Held(**row._mapping) for row in await tx.all(gone)])


def token_of(tx: Transaction, key: str) -> str:
    """How the identity of a person is kept."""
    return tx.vault.token("identity", key)


def _nir_token(tx: Transaction, nir: str | None) -> str | None:
    return None if nir is None else tx.vault.token("nir", nir)
