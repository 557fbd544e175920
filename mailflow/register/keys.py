"""Content keys: one for each intake, request, and outgoing mail that belongs to no intake. They lie in the key store.

Destroying one erases all that was sealed under it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from mailflow.register import gates, masters
from mailflow.register.gates import Gate
from mailflow.register.key_tables import content_key
from mailflow.register.tables import intake, nir, outbox, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey, SealBroken, WrappedKey


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a content key is: what has to be there in the register, or nobody needs the key."""

    kind: str
    """`intake`, `request`, `nir`, or `outbox`."""
    name: str
    """Identifier of the row; of an outgoing mail its kind and key."""

    @classmethod
    def read(cls, text: str) -> Self:
        """As the key store keeps it."""
        kind, _, name = text.partition(" ")
        return cls(kind, name)

    @classmethod
    def of_mail(cls, kind: str, key: str) -> Self:
        """Of an outgoing mail that belongs to no intake."""
        return cls("outbox", f"{kind} {key}")

    def written(self) -> str:
        """As the key store keeps it."""
        return f"{self.kind} {self.name}"


async def keep(tx: Transaction, made: Sequence[tuple[ContentKey, Owner]], at: datetime) -> None:
    """Keep new content keys, wrapped by the current master key; that is committed when this returns."""
    if not made:
        return
    await gates.hold(tx, Gate.KEYS)
    async with tx.keys.begin() as store:
        master = await masters.current(store, tx.vault)
        rows = [
            {
                "id": key.id,
                "master": master,
                "wrapped": tx.vault.wrap(key, master).wrapped,
                "created_at": at,
                "owner": owner.written(),
            }
            for key, owner in made
        ]
        await store.run(sa.insert(content_key), rows)


async def find(tx: Transaction, ids: Iterable[str | None]) -> Mapping[str, ContentKey]:
    """Those content keys of `ids` that have not been deleted. Raises SealBroken when one is damaged.

    Raises Misconfigured when the master key is missing, or another one: that is the fault of no content key.
    """
    found, damaged = await _unwrapped(tx, ids)
    if damaged:
        raise SealBroken(f"a content key does not open: {damaged[0]}")
    return found


async def sound(tx: Transaction, ids: Iterable[str | None]) -> Mapping[str, ContentKey]:
    """As `find`, without those that are damaged: where one row that does not open keeps no other one waiting."""
    found, _ = await _unwrapped(tx, ids)
    return found


async def _unwrapped(tx: Transaction, ids: Iterable[str | None]) -> tuple[dict[str, ContentKey], list[str]]:
    """Those of `ids` that have not been deleted, and which of them do not open though their master key is right."""
    wanted = sorted({key_id for key_id in ids if key_id is not None})
    found: dict[str, ContentKey] = {}
    damaged: dict[str, str] = {}
    if not wanted:
        return found, []
    tx.vault.require_open()
    async with tx.keys.read() as store:
        for batch in batches(wanted):
            columns = sa.select(content_key.c.id, content_key.c.master, content_key.c.wrapped)
            for row in await store.all(columns.where(store.among(content_key.c.id, batch))):
                try:
                    found[row.id] = tx.vault.unwrap(WrappedKey(id=row.id, master=row.master, wrapped=row.wrapped))
                except SealBroken:
                    damaged[row.id] = row.master
        for master in sorted(set(damaged.values())):
            await masters.require_right(store, tx.vault, master)
    return found, sorted(damaged)


async def existing(tx: Transaction, ids: Iterable[str | None]) -> set[str]:
    """Those content keys of `ids` that have not been destroyed; no master key is needed to tell."""
    wanted, found = sorted({key_id for key_id in ids if key_id is not None}), set()
    async with tx.keys.read() as store:
        for batch in batches(wanted):
            known = sa.select(content_key.c.id).where(store.among(content_key.c.id, batch))
            found |= {row.id for row in await store.all(known)}
    return found


async def count_lost(tx: Transaction, mails: int) -> int:
    """Of the latest mails that are kept, so many at most: how many have no content key, as if they had been erased."""
    latest = sa.select(intake.c.key_id).where(intake.c.raw.is_not(None)).order_by(intake.c.id.desc()).limit(mails)
    wanted = {row.key_id for row in await tx.all(latest)}
    return len(wanted - await existing(tx, wanted))


async def of_intakes(tx: Transaction, ids: Collection[int]) -> Mapping[int, ContentKey]:
    """The content keys of these intakes that are there and open; kept for the rest of the transaction."""
    missing = sorted(set(ids) - tx.intake_keys.keys())
    key_ids: dict[int, str] = {}
    for batch in batches(missing):
        statement = sa.select(intake.c.id, intake.c.key_id).where(tx.among(intake.c.id, batch))
        key_ids |= {row.id: row.key_id for row in await tx.all(statement.where(intake.c.key_id.is_not(None)))}
    found = await sound(tx, key_ids.values())
    tx.intake_keys |= {id_: found[key_id] for id_, key_id in key_ids.items() if key_id in found}
    return tx.intake_keys


def erase(tx: Transaction, ids: Iterable[str]) -> None:
    """Destroy content keys when this transaction is committed: what was sealed under them can never be opened again."""
    tx.doomed += ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some content keys of the store, in the order of their ids."""

    last: str
    """Id of the last one; the next page begins after it."""
    owners: Mapping[str, Owner]
    """By key, of those that are old enough for their owner to be committed."""


async def page(tx: Transaction, after: str, before: datetime, limit: int) -> Page | None:
    """The next content keys after that id; `owners` are those of keys made before that instant."""
    statement = sa.select(content_key.c.id, content_key.c.owner, content_key.c.created_at)
    async with tx.keys.read() as store:
        rows = await store.all(statement.where(content_key.c.id > after).order_by(content_key.c.id).limit(limit))
    if not rows:
        return None
    owners = {row.id: Owner.read(row.owner) for row in rows if row.created_at < before}
    return Page(last=rows[-1].id, owners=owners)


async def unneeded(tx: Transaction, owners: Mapping[str, Owner]) -> list[str]:
    """Those of these content keys under which the register keeps nothing: a crash left them, or a restored copy."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for owner in owners.values():
        by_kind[owner.kind].append(owner.name)
    mails = [tuple(name.split(" ", 1)) for name in by_kind["outbox"]]
    sealed = sa.or_(outbox.c.payload.is_not(None), outbox.c.raw.is_not(None))
    kept: dict[str, tuple[sa.Table, list[sa.ColumnElement[bool]]]] = {
        "intake": (intake, [intake.c.id.in_(map(int, by_kind["intake"])), intake.c.raw.is_not(None)]),
        "request": (request, [request.c.id.in_(by_kind["request"]), request.c.payload.is_not(None)]),
        "nir": (nir, [nir.c.request_id.in_(by_kind["nir"])]),
        "outbox": (outbox, [sa.tuple_(outbox.c.kind, outbox.c.key).in_(mails), sealed]),
    }
    needed: set[str] = set()
    for kind, (table, conditions) in kept.items():
        if by_kind[kind]:
            needed |= {row.key_id for row in await tx.all(sa.select(table.c.key_id).where(*conditions))}
    return sorted(owners.keys() - needed)
