"""Files that desks sent, by name and by content: what was decided once is told again, not decided again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import sqlalchemy as sa

from mailflow.register import keys
from mailflow.register.tables import file
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey

_CONTENT_LOCK = 0x66696C65
"""Of PostgreSQL's advisory locks those with two keys, this first; `Register.alone` takes those with one."""
_CONTENT_LOCKS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class FileClaim:
    """A file that wants to bind its name."""

    record: str
    """Random identifier, made by the caller."""
    desk: str
    name: str
    digest: str
    intake_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file whose name is bound."""

    record: str
    digest: str
    receipt: bytes
    """Empty when it is not settled yet (then it was claimed in this very transaction), or erased since."""
    returned: bytes | None
    """The frozen `RET` file; None before it is composed, or erased since."""


async def lock_contents(tx: Transaction, contents: Collection[tuple[str, str]]) -> None:
    """Wait for other transactions that decide files of the same (desk, digest), and have them wait for this one.

    Comes before whatever else others may wait for. Contents share locks, which are few: a chunk may have thousands.
    """
    if tx.has_only_writer or not contents:
        return
    buckets = sorted({crc32(f"{desk} {digest}".encode()) % _CONTENT_LOCKS for desk, digest in contents})
    bucket = sa.func.unnest(sa.literal(buckets, sa.ARRAY(sa.Integer))).column_valued("bucket")
    await tx.all(sa.select(sa.func.pg_advisory_xact_lock(_CONTENT_LOCK, bucket)))


async def claim(tx: Transaction, claims: Sequence[FileClaim]) -> set[str]:
    """Bind names. Returns the records that are bound now; the others' names were taken.

    Waits for other transactions that claim the same names; in sorted order, so that two never wait for each other.
    """
    key_ids = {id_: key.id for id_, key in (await keys.of_intakes(tx, {c.intake_id for c in claims})).items()}
    rows = [
        {
            "record": c.record,
            "desk": c.desk,
            "name": c.name,
            "digest": c.digest,
            "intake_id": c.intake_id,
            "key_id": key_ids[c.intake_id],
        }
        for c in sorted(claims, key=lambda c: (c.desk, c.name))
    ]
    new = tx.insert(file).on_conflict_do_nothing(index_elements=[file.c.desk, file.c.name])
    return {row.record for row in await tx.all(new.returning(file.c.record), rows)}


async def release(tx: Transaction, records: Sequence[str]) -> None:
    """Forget claims of this transaction: nothing was decided. A settled file is refused by the database."""
    for batch in batches(records):
        await tx.run(sa.delete(file).where(tx.among(file.c.record, batch)))


async def by_name(tx: Transaction, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], StoredFile]:
    """The files under these (desk, name)."""
    return await _stored(tx, names, file.c.name)


async def by_digest(tx: Transaction, digests: Collection[tuple[str, str]]) -> dict[tuple[str, str], StoredFile]:
    """The last settled file of each (desk, digest); one that is not settled only where there is no other."""
    return await _stored(tx, digests, file.c.digest)


async def _stored(
    tx: Transaction, pairs: Collection[tuple[str, str]], column: sa.Column[str]
) -> dict[tuple[str, str], StoredFile]:
    wanted = set(pairs)
    found: dict[tuple[str, str], StoredFile] = {}
    # One content may have come under thousands of names: a single row of each is read and opened.
    last = sa.func.row_number().over(
        partition_by=(file.c.desk, column), order_by=(file.c.settled.desc(), file.c.id.desc())
    )
    for batch in batches(sorted({value for _, value in wanted})):
        which = (tx.among(column, batch), file.c.desk.in_(sorted({desk for desk, _ in wanted})))
        ranked = sa.select(file.c.id, last.label("rank")).where(*which).subquery()
        statement = sa.select(file, column.label("value")).join(ranked, ranked.c.id == file.c.id)
        rows = [row for row in await tx.all(statement.where(ranked.c.rank == 1)) if (row.desk, row.value) in wanted]
        opened = await _open(tx, rows)
        found |= {(row.desk, row.value): opened[row.record] for row in rows}
    return found


async def _open(tx: Transaction, rows: Sequence[sa.Row[tuple[object, ...]]]) -> dict[str, StoredFile]:
    content_keys = await keys.find(tx, [row.key_id for row in rows])

    def opened(row: sa.Row[tuple[object, ...]], sealed: bytes | None, column: str) -> bytes | None:
        key = content_keys.get(row.key_id)
        return tx.vault.open(key, sealed, f"{column}:{row.record}") if key and sealed is not None else None

    return {
        row.record: StoredFile(
            record=row.record,
            digest=row.digest,
            receipt=opened(row, row.receipt, "file.receipt") or b"",
            returned=opened(row, row.returned, "file.returned"),
        )
        for row in rows
    }


async def settle(tx: Transaction, receipts: Sequence[tuple[str, bytes]]) -> None:
    """Keep what was decided about files that this transaction claimed; it never changes again."""
    content_keys = await _keys_of(tx, [record for record, _ in receipts], sa.true())
    rows = [
        {"b_record": record, "receipt": tx.vault.seal(content_keys[record], receipt, f"file.receipt:{record}")}
        for record, receipt in receipts
    ]
    statement = sa.update(file).where(file.c.record == sa.bindparam("b_record")).values(settled=True)
    await tx.run(statement.values(receipt=sa.bindparam("receipt")), rows)


async def freeze_return(tx: Transaction, returns: Sequence[tuple[str, bytes]]) -> set[str]:
    """Keep the octets of `RET` files where there are none yet; returns the records that took them."""
    # Locked, so that of two composers one sees what the other froze.
    content_keys = await _keys_of(tx, [record for record, _ in returns], file.c.returned.is_(None))
    rows = [
        {"b_record": record, "returned": tx.vault.seal(content_keys[record], octets, f"file.returned:{record}")}
        for record, octets in returns
        if record in content_keys
    ]
    statement = sa.update(file).where(file.c.record == sa.bindparam("b_record"), file.c.returned.is_(None))
    await tx.run(statement.values(returned=sa.bindparam("returned")), rows)
    return set(content_keys)


async def _keys_of(tx: Transaction, records: Sequence[str], which: sa.ColumnElement[bool]) -> Mapping[str, ContentKey]:
    """The content keys of those files for which `which` holds; their rows are locked, in order."""
    found: dict[str, str] = {}
    for batch in batches(sorted(records)):
        statement = (
            sa.select(file.c.record, file.c.key_id)
            .where(tx.among(file.c.record, batch), which)
            .order_by(file.c.record)
            .with_for_update()
        )
        found |= {row.record: row.key_id for row in await tx.all(statement)}
    by_id = {key.id: key for key in tx.intake_keys.values()}
    by_id |= await keys.sound(tx, set(found.values()) - by_id.keys())
    return {record: by_id[key_id] for record, key_id in found.items() if key_id in by_id}


async def returned(tx: Transaction, records: Sequence[str]) -> dict[str, bytes]:
    """The frozen `RET` files of those records that have one."""
    found: dict[str, bytes] = {}
    for batch in batches(records):
        rows = await tx.all(sa.select(file).where(tx.among(file.c.record, batch), file.c.returned.is_not(None)))
        opened = await _open(tx, rows)
        found |= {stored.record: stored.returned for stored in opened.values() if stored.returned is not None}
    return found


async def names_of_intake(tx: Transaction, intake_id: int) -> list[str]:
    """The names that one mail's files bound; for whoever may not look into what is sealed."""
    rows = await tx.all(sa.select(file.c.name).where(file.c.intake_id == intake_id).order_by(file.c.id))
    return [row.name for row in rows]


async def of_intake(tx: Transaction, intake_id: int) -> list[StoredFile]:
    """The files that one mail brought and that bound their names."""
    rows = await tx.all(sa.select(file).where(file.c.intake_id == intake_id).order_by(file.c.id))
    return list((await _open(tx, rows)).values())
