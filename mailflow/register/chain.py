"""The chain over the journal, as it is kept: entries as their digests, links, heads."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.chain import NO_LINK, KeptHead, Link, digest_of
from mailflow.register.chain_tables import journal_head, journal_link
from mailflow.register.tables import journal
from mailflow.register.transaction import Transaction

COLUMNS = tuple(column for column in journal.columns if column is not journal.c.id)
_ADDING = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = to_regclass('journal') AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# Entries


async def entries(tx: Transaction, after: int | None, limit: int) -> list[tuple[int, bytes]]:
    """Ids and digests of the next entries behind an id, or from the first one on."""
    texts = [as_text(tx, column).label(column.name) for column in COLUMNS]
    statement = sa.select(journal.c.id, *texts).order_by(journal.c.id).limit(limit)
    if after is not None:
        statement = statement.where(journal.c.id > after)
    names = [column.name for column in COLUMNS]
    return [
        (int(id_), digest_of(dict(zip(names, map(text, values), strict=True))))
        for id_, *values in await tx.all(statement)
    ]


def as_text(tx: Transaction, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """As it stands in the database, whatever was put there; instants in UTC and alike on both databases.

    SQLite keeps them as text already; of any value it gives the octets, because text need not be UTF-8 there.
    """
    if tx.has_only_writer:
        return sa.cast(column, sa.LargeBinary)
    if column is journal.c.at:
        written = sa.func.to_char(sa.func.timezone("UTC", column), "BCYYYY-MM-DD HH24:MI:SS.US")
        return sa.func.replace(written, "AD", "")
    return sa.cast(column, sa.Text)


def text(value: bytes | str | None) -> str | None:
    """A column that was asked for by `as_text`."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


async def adding(tx: Transaction) -> frozenset[str]:
    """The transactions that may have added entries and are not over.

    Who inserts holds a lock on the table from before it gets its first id until after its commit can be seen. On
    SQLite nobody but us writes by the time that we read.
    """
    if tx.has_only_writer:
        return frozenset()
    return frozenset(row.virtualtransaction for row in await tx.all(sa.text(_ADDING)))


async def last_entry(tx: Transaction) -> int:
    """The highest id of an entry; 0 when there is none."""
    return int((await tx.all(sa.select(sa.func.max(journal.c.id))))[0][0] or 0)


async def unsealed(tx: Transaction, after: int, before: datetime) -> tuple[int, int, int]:
    """Of the entries behind an id that were added before an instant: how many, the first and the last id."""
    of = sa.select(sa.func.count(), sa.func.min(journal.c.id), sa.func.max(journal.c.id))
    ((count, first, last),) = await tx.all(of.where(journal.c.id > after, journal.c.at < before))
    return int(count), int(first or 0), int(last or 0)


# Links

_DIGESTS = (journal_link.c.digest, journal_link.c.link)
_LINK = (journal_link.c.id, *(sa.cast(column, sa.LargeBinary) for column in _DIGESTS), journal_link.c.gap_from)
_HEAD = (journal_head.c.number, journal_head.c.day, sa.cast(journal_head.c.signed, sa.LargeBinary).label("signed"))
"""Whatever was put there in SQLite: octets are what comes back."""


async def last_link(tx: Transaction) -> Link:
    """Where the chain ends."""
    found = await tx.all(sa.select(*_LINK).order_by(journal_link.c.id.desc()).limit(1))
    return Link(*found[0]) if found else NO_LINK


async def links(tx: Transaction, after: int | None, limit: int) -> list[Link]:
    """The next links behind an id, or from the first one on."""
    statement = sa.select(*_LINK).order_by(journal_link.c.id).limit(limit)
    if after is not None:
        statement = statement.where(journal_link.c.id > after)
    return [Link(*row) for row in await tx.all(statement)]


async def append(tx: Transaction, new: Sequence[Link]) -> None:
    """Add links. ConstraintViolated: another sealer was faster."""
    await tx.run(
        sa.insert(journal_link),
        [{"id": one.id, "gap_from": one.gap_from, "digest": one.digest, "link": one.link} for one in new],
    )


async def count_sealed(tx: Transaction, after: int) -> int:
    """How many entries have a link behind that id."""
    count = sa.select(sa.func.count(journal_link.c.digest)).where(journal_link.c.id > after)
    return int((await tx.all(count))[0][0])


# Heads


async def last_head(tx: Transaction) -> KeptHead | None:
    """The head that was signed last."""
    found = await tx.all(sa.select(*_HEAD).order_by(journal_head.c.number.desc()).limit(1))
    return KeptHead(**found[0]._mapping) if found else None


async def heads(tx: Transaction, after: int, limit: int) -> list[KeptHead]:
    """The next heads behind a number."""
    statement = sa.select(*_HEAD).where(journal_head.c.number > after).order_by(journal_head.c.number).limit(limit)
    return [KeptHead(**row._mapping) for row in await tx.all(statement)]


async def keep_head(tx: Transaction, head: KeptHead) -> None:
    """Keep a new head. ConstraintViolated: another one was faster."""
    await tx.run(sa.insert(journal_head), [asdict(head)])
