"""Master keys as the key store knows them: by their names alone. One is current and wraps new content keys.

Which one is said here and not in a file, so that all workers on all machines change over with one commit. That none
goes while it wraps anything is a foreign key; so it is also refused to who still wraps by one that is gone.
"""

import contextlib
from dataclasses import dataclass

import sqlalchemy as sa

from mailflow.errors import Misconfigured
from mailflow.register.database import Statements
from mailflow.register.key_tables import content_key, master_key
from mailflow.register.vault import SealBroken, Vault, WrappedKey

SAMPLE = 100
"""Content keys that are looked at to tell whether a master key is the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A master key that the register knows."""

    name: str
    current: bool
    wraps: int
    """How many content keys are wrapped by it."""


async def current(store: Statements, vault: Vault) -> str:
    """The master key that wraps new content keys; in a new register the vault's first."""
    which = sa.select(master_key.c.name).where(master_key.c.current)
    found = await store.all(which)
    if not found:
        begins = store.insert(master_key).values(name=vault.first, current=True)
        await store.run(begins.on_conflict_do_nothing())
        found = await store.all(which)
    return str(found[0].name)


async def known(store: Statements) -> list[Master]:
    """All of them, by name."""
    counted = sa.select(content_key.c.master, sa.func.count().label("wraps")).group_by(content_key.c.master).subquery()
    statement = (
        sa.select(master_key, sa.func.coalesce(counted.c.wraps, 0).label("wraps"))
        .outerjoin(counted, counted.c.master == master_key.c.name)
        .order_by(master_key.c.name)
    )
    return [Master(**row._mapping) for row in await store.all(statement)]


async def require_right(store: Statements, vault: Vault, name: str) -> None:
    """Raises Misconfigured when a master key opens less than half of what it is said to wrap: it is another one then.

    Asked when a content key does not open. That the master key opens the others shows that this one is damaged.
    """
    statement = sa.select(content_key.c.id, content_key.c.master, content_key.c.wrapped)
    rows = await store.all(statement.where(content_key.c.master == name).limit(SAMPLE))
    opened = 0
    for row in rows:
        with contextlib.suppress(SealBroken):
            vault.unwrap(WrappedKey(**row._mapping))
            opened += 1
    if 2 * opened < len(rows):
        raise Misconfigured(
            f"the master key named {name!r} is another one: it opens {opened} of {len(rows)} content keys"
        )


async def make_current(store: Statements, vault: Vault, name: str) -> None:
    """From this commit on new content keys are wrapped by that master key. Raises Misconfigured without its octets."""
    if not vault.has(name):
        raise Misconfigured(f"the master key named {name!r} was not given")
    await current(store, vault)  # a new register has one that could be followed
    await store.run(sa.update(master_key).where(master_key.c.current).values(current=False))
    new = store.insert(master_key).values(name=name, current=True)
    await store.run(new.on_conflict_do_update(index_elements=[master_key.c.name], set_={"current": True}))


async def remove(store: Statements, name: str) -> None:
    """Let the register forget a former master key. Raises ConstraintViolated while anything is wrapped by it."""
    await store.run(sa.delete(master_key).where(master_key.c.name == name, ~master_key.c.current))


async def rewrap(store: Statements, vault: Vault, limit: int) -> int:
    """Wrap up to so many content keys anew, by the current master key; how many. 0: none is left.

    What another transaction holds is left for the next time, what was deleted meanwhile stays deleted; what is sealed
    is not touched. Raises SealBroken when nothing but keys that do not open is left.
    """
    now = await current(store, vault)
    former = [row.name for row in await store.all(sa.select(master_key.c.name).where(~master_key.c.current))]
    statement = sa.select(content_key.c.id, content_key.c.master, content_key.c.wrapped)
    statement = statement.where(content_key.c.master.in_(former)).limit(limit).with_for_update(skip_locked=True)
    rows = await store.all(statement) if former else []
    done = []
    for row in rows:
        kept = WrappedKey(id=row.id, master=row.master, wrapped=row.wrapped)
        try:
            done.append({"b_id": row.id, "wrapped": vault.wrap(vault.unwrap(kept), now).wrapped})
        except SealBroken:
            continue
    if rows and not done:
        first = rows[0]
        raise SealBroken(f"content keys do not open: {len(rows)} or more, {first.id} by {first.master} is one")
    anew = sa.update(content_key).where(content_key.c.id == sa.bindparam("b_id"))
    await store.run(anew.values(master=now, wrapped=sa.bindparam("wrapped")), done)
    return len(done)
