"""Content keys in the database: one for each intake, request, and outgoing mail that belongs to no intake.

Deleting a row here erases all that was sealed under it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from mailflow.register import masters
from mailflow.register.tables import content_key, intake
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey, WrappedKey


async def keep(tx: Transaction, made: Sequence[ContentKey], at: datetime) -> None:
    """Keep new content keys, once the rows that they belong to are ours; wrapped by the current master key."""
    if not made:
        return
    master = await masters.current(tx)
    wrapped = [tx.vault.wrap(key, master) for key in made]
    rows = [{"id": w.id, "master": w.master, "wrapped": w.wrapped, "created_at": at} for w in wrapped]
    await tx.run(sa.insert(content_key), rows)


async def find(tx: Transaction, ids: Iterable[str | None]) -> Mapping[str, ContentKey]:
    """Those content keys of `ids` that have not been deleted."""
    wanted = sorted({key_id for key_id in ids if key_id is not None})
    found: dict[str, ContentKey] = {}
    for batch in batches(wanted):
        columns = sa.select(content_key.c.id, content_key.c.master, content_key.c.wrapped)
        for row in await tx.all(columns.where(content_key.c.id.in_(batch))):
            found[row.id] = tx.vault.unwrap(WrappedKey(id=row.id, master=row.master, wrapped=row.wrapped))
    return found


async def of_intakes(tx: Transaction, ids: Collection[int]) -> Mapping[int, ContentKey]:
    """The content keys of these intakes, as far as there are any; kept for the rest of the transaction."""
    missing = sorted(set(ids) - tx.intake_keys.keys())
    for batch in batches(missing):
        statement = (
            sa.select(intake.c.id, content_key.c.id.label("key_id"), content_key.c.master, content_key.c.wrapped)
            .join(content_key, content_key.c.id == intake.c.key_id)
            .where(intake.c.id.in_(batch))
        )
        for row in await tx.all(statement):
            kept = WrappedKey(id=row.key_id, master=row.master, wrapped=row.wrapped)
            tx.intake_keys[row.id] = tx.vault.unwrap(kept)
    return tx.intake_keys


async def erase(tx: Transaction, ids: Sequence[str]) -> None:
    """Delete content keys: what was sealed under them can never be opened again."""
    for batch in batches(ids):
        await tx.run(sa.delete(content_key).where(content_key.c.id.in_(batch)))
