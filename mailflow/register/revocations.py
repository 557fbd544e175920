"""The revocation data that were fetched: every process of every host judges by what is kept here.

What changes them begins a new generation of what proofs rest on (`directory.generation`), in the same commit: so a
mail that was judged by the former data is judged again, and a kill leaves the former data or the new ones, whole.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.revocation import Fetched, KeptSource, Says, SourceKey, SourceKind
from mailflow.register import gates
from mailflow.register.gates import Gate
from mailflow.register.revocation_tables import revocation
from mailflow.register.tables import trust_generation
from mailflow.register.transaction import Transaction

_STATE = tuple(column for column in revocation.columns if column.name != "octets")


async def fetched(tx: Transaction) -> Fetched:
    """All that is kept, in an order that stays."""
    order = (revocation.c.kind, revocation.c.url, revocation.c.about)
    statement = sa.select(revocation.c.kind, revocation.c.octets).where(revocation.c.octets.is_not(None))
    rows = await tx.all(statement.order_by(*order))
    return Fetched(
        lists=tuple(row.octets for row in rows if row.kind == SourceKind.LIST),
        answers=tuple(row.octets for row in rows if row.kind == SourceKind.ANSWER),
    )


async def sources(tx: Transaction) -> list[KeptSource]:
    """How each source stands."""
    rows = await tx.all(sa.select(*_STATE).order_by(revocation.c.kind, revocation.c.url, revocation.c.about))
    return [_source(**row._mapping) for row in rows]


def _source(*, kind: str, url: str, about: str, says: str | None, **state: Any) -> KeptSource:
    return KeptSource(key=SourceKey(SourceKind(kind), url, about), says=Says(says) if says else None, **state)


async def octets(tx: Transaction, key: SourceKey) -> bytes | None:
    """What is kept of a source."""
    found = await tx.all(sa.select(revocation.c.octets).where(*_is(key)))
    return found[0].octets if found else None


async def keep(
    tx: Transaction,
    key: SourceKey,
    der: bytes,
    *,
    published: datetime,
    expires: datetime,
    says: Says | None = None,
    etag: str | None = None,
    modified: str | None = None,
    at: datetime,
    next_at: datetime,
) -> None:
    """Keep what a source said, which nobody doubts any more, instead of what it said before."""
    said = {"octets": der, "says": says and says.value, "published": published, "expires": expires}
    validators = {"etag": etag, "modified": modified}
    await _record(tx, key, fetched_at=at, asked_at=at, next_at=next_at, **_SOUND, **said, **validators)
    await _begin_generation(tx)


async def confirm(tx: Transaction, key: SourceKey, *, at: datetime, next_at: datetime) -> None:
    """The source says that there is nothing newer."""
    await tx.run(sa.update(revocation).where(*_is(key)).values(fetched_at=at, asked_at=at, next_at=next_at, **_SOUND))


async def fail(tx: Transaction, key: SourceKey, reason: str, *, at: datetime, next_at: datetime) -> None:
    """Nothing usable came. What was had before stays."""
    new = tx.insert(revocation).values(
        **key._asdict(), asked_at=at, next_at=next_at, failures=1, failing_since=at, failure=reason
    )
    more = {
        "asked_at": at,
        "next_at": next_at,
        "failures": revocation.c.failures + 1,
        "failing_since": sa.func.coalesce(revocation.c.failing_since, new.excluded.failing_since),
        "failure": reason,
    }
    await tx.run(new.on_conflict_do_update(index_elements=["kind", "url", "about"], set_=more))


async def forget(tx: Transaction, keys: Collection[SourceKey]) -> None:
    """Nobody asks these any more."""
    if keys:
        for key in keys:
            await tx.run(sa.delete(revocation).where(*_is(key)))
        await _begin_generation(tx)


_SOUND = {"failures": 0, "failing_since": None, "failure": None}


def _is(key: SourceKey) -> tuple[sa.ColumnElement[bool], ...]:
    return (revocation.c.kind == key.kind.value, revocation.c.url == key.url, revocation.c.about == key.about)


async def _record(tx: Transaction, key: SourceKey, **values: Any) -> None:
    new = tx.insert(revocation).values(**key._asdict(), **values)
    await tx.run(new.on_conflict_do_update(index_elements=["kind", "url", "about"], set_=values))


async def _begin_generation(tx: Transaction) -> None:
    await gates.have_alone(tx, Gate.TRUST)  # last: who decides never waits for the rows of sources
    now = trust_generation.c.revocations
    await tx.run(sa.update(trust_generation).values(revocations=now + 1))
