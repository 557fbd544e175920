"""Persons of active requests under the keys by which near matches meet, and who meets whom.

`near_person` holds who it is, sealed under the request's content key; `near_token` leads there by keyed tokens of
`core.identity.near_keys`, cut to 64 bits: two tokens that are equal by chance only cost a comparison. The tokens are
kept beside the person, so that they can be forgotten without an index of their own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from mailflow.core.identity import Identity
from mailflow.core.numbers import Territory, UniqueNumber
from mailflow.register import keys
from mailflow.register.tables import near_person, near_token, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey

PERSONS_A_TOKEN_MAX = 256
"""A token that so many share already leads to no more of them: it tells nearly nothing."""
CANDIDATES_MAX = 64
"""How many are opened and compared for one person: those that share most tokens, and of these the latest."""

_IDENTITY = TypeAdapter(Identity)
_TOKEN_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A person that is looked for."""

    territory: Territory
    keys: tuple[str, ...]
    """`near_keys`; only their tokens leave this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A person of an active request."""

    request_id: str
    number: UniqueNumber
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the tokens of one person lead to."""

    tokens: tuple[int, ...]
    """Under which the person is to be remembered: those that are not crowded."""
    known: tuple[Known, ...]
    left_out: int
    """How many more shared a token and were not opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A person of a request that is active from now on."""

    request_id: str
    element: str
    """Where the person stands in the form."""
    identity: Identity
    tokens: tuple[int, ...]
    key: ContentKey
    """The request's."""


async def find(tx: Transaction, sought: Sequence[Sought]) -> list[Found]:
    """Who shares a token with these persons, in their order. Two statements for up to a thousand tokens."""
    tokens = [tuple(dict.fromkeys(_token(tx, one.territory, key) for key in one.keys)) for one in sought]
    under: dict[int, list[int]] = defaultdict(list)
    for batch in batches(sorted({token for each in tokens for token in each})):
        statement = sa.select(near_token.c.token, near_token.c.person).where(tx.among(near_token.c.token, batch))
        for row in await tx.all(statement):
            under[row.token].append(row.person)
    shared = [Counter(person for token in each for person in under[token]) for each in tokens]
    best = [sorted(each, key=lambda person, each=each: (-each[person], -person)) for each in shared]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    opened = await _open(tx, {person for each in best for person in each[:CANDIDATES_MAX]})
    return [
        Found(
            tokens=tuple(token for token in mine if len(under[token]) < PERSONS_A_TOKEN_MAX),
            known=tuple(opened[person] for person in each[:CANDIDATES_MAX] if person in opened),
            left_out=max(0, len(each) - CANDIDATES_MAX),
        )
        for mine, each in zip(tokens, best, strict=True)
    ]


async def _open(tx: Transaction, persons: Iterable[int]) -> dict[int, Known]:
    """These persons, as far as their content keys have not been deleted."""
    rows: list[Any] = []
    for batch in batches(sorted(persons)):
        statement = (
            sa.select(near_person, request.c.number, request.c.key_id)
            .join(request, request.c.id == near_person.c.request_id)
            .where(tx.among(near_person.c.id, batch))
        )
        rows += await tx.all(statement)
    content_keys = await keys.find(tx, [row.key_id for row in rows])
    return {
        row.id: Known(
            request_id=row.request_id,
            number=row.number,
            identity=_IDENTITY.validate_json(tx.vault.open(key, row.sealed, _context(row.request_id, row.element))),
        )
        for row in rows
        if (key := content_keys.get(row.key_id)) is not None
    }


async def remember(tx: Transaction, persons: Sequence[Remembered]) -> None:
    """Let these persons be found from now on. Their requests must be written already."""
    rows = [
        {
            "request_id": one.request_id,
            "element": one.element,
            "tokens": b"".join(token.to_bytes(_TOKEN_BYTES, signed=True) for token in one.tokens),
            "sealed": tx.vault.seal(one.key, _IDENTITY.dump_json(one.identity), _context(one.request_id, one.element)),
        }
        for one in persons
    ]
    new = sa.insert(near_person).returning(near_person.c.id, near_person.c.request_id, near_person.c.element)
    ids = {(row.request_id, row.element): row.id for row in await tx.all(new, rows)}
    pairs = [(token, ids[one.request_id, one.element]) for one in persons for token in one.tokens]
    await tx.run(sa.insert(near_token), [{"token": token, "person": person} for token, person in sorted(pairs)])


async def forget(tx: Transaction, request_ids: Sequence[str]) -> None:
    """Let nobody of these requests be found any more."""
    for batch in batches(request_ids):
        gone = sa.delete(near_person).where(tx.among(near_person.c.request_id, batch))
        pairs = [
            {"b_token": int.from_bytes(row.tokens[at : at + _TOKEN_BYTES], signed=True), "b_person": row.id}
            for row in await tx.all(gone.returning(near_person.c.id, near_person.c.tokens))
            for at in range(0, len(row.tokens), _TOKEN_BYTES)
        ]
        one = sa.delete(near_token).where(
            near_token.c.token == sa.bindparam("b_token"), near_token.c.person == sa.bindparam("b_person")
        )
        await tx.run(one, pairs)


def _token(tx: Transaction, territory: str, key: str) -> int:
    return tx.vault.short_token("near", f"{territory}|{key}")


def _context(request_id: str, element: str) -> str:
    return f"near_person.sealed:{request_id}:{element}"
