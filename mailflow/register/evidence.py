"""Evidence as it is kept: added in the transaction that accepts, read by whoever verifies again."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.chain import digest_of
from mailflow.core.evidence import Evidence, Exhibit
from mailflow.register import chain
from mailflow.register.chain_tables import journal_link
from mailflow.register.evidence_tables import evidence, exhibit
from mailflow.register.tables import journal
from mailflow.register.transaction import Transaction, batches

ANSWERED = "mail-answered"
"""Kind of the journal's entries that name evidence, those of accepted mails."""
ERASED = "mail-erased"
DIGEST = "evidence"
"""Where in the detail of such an entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What the journal says of an accepted mail."""

    entry: int
    """Id in the journal."""
    intake: int
    decided_at: str
    """As the database has it."""
    digest: str
    """Of the evidence; in hexadecimal, while nobody has put something else there."""
    intact: bool | None
    """Whether the entry is what was sealed; None: it is not sealed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When mails were decided; open where there is None."""

    since: datetime | None = None
    until: datetime | None = None
    """Not included."""


# To accept


async def missing(tx: Transaction, digests: Collection[bytes]) -> set[bytes]:
    """Those exhibits that are not kept yet."""
    kept: set[bytes] = set()
    for batch in batches(sorted(digests)):
        known = sa.select(exhibit.c.digest).where(tx.among(exhibit.c.digest, batch))
        kept |= {row.digest for row in await tx.all(known)}
    return set(digests) - kept


async def keep(tx: Transaction, of: Sequence[Evidence], exhibits: Collection[Exhibit]) -> None:
    """Add the evidence of mails, and what they share as far as it is new: somebody else may add the same just now."""
    shared = [
        {"digest": one.digest, "kind": one.kind.value, "content": one.content}
        for one in sorted(exhibits, key=lambda one: one.digest)  # two that add the same must not wait for each other
    ]
    await tx.run(tx.insert(exhibit).on_conflict_do_nothing(), shared)
    await tx.run(
        sa.insert(evidence),
        [
            {
                "intake_id": one.intake,
                "received_at": one.received_at,
                "judged_at": one.judged_at,
                "basis": one.basis,
                "checklist": one.checklist,
                "signature": one.signature,
            }
            for one in of
        ],
    )


# To verify again. Whatever was put there comes back, or comes back as what it can only be: not what was kept.


async def acceptances(
    tx: Transaction, period: Period, intakes: Sequence[int], after: int, limit: int
) -> tuple[list[Acceptance], int]:
    """The next accepted mails behind an entry of the journal, and the last entry that was looked at; 0: all were.

    Of the period, and of these intakes where there are any.
    """
    which = [journal.c.kind == ANSWERED, journal.c.id > after, *_within(period, journal.c.at)]
    if intakes:
        which.append(journal.c.intake_id.in_(intakes))
    texts = [chain.as_text(tx, column).label(column.name) for column in chain.COLUMNS]
    sealed = sa.cast(journal_link.c.digest, sa.LargeBinary).label("sealed")
    statement = (
        sa.select(journal.c.id, *texts, sealed)
        .outerjoin(journal_link, journal_link.c.id == journal.c.id)
        .where(*which)
        .order_by(journal.c.id)
        .limit(limit)
    )
    rows = await tx.all(statement)
    found = [one for row in rows if (one := _acceptance(row)) is not None]
    return found, rows[-1].id if len(rows) == limit else 0


def _acceptance(row: sa.Row[Any]) -> Acceptance | None:
    """None: the mail was refused, so that the entry names no evidence."""
    columns = {column.name: chain.text(row._mapping[column.name]) for column in chain.COLUMNS}
    try:
        detail = json.loads(columns["detail"] or "")
        digest, intake = detail.get(DIGEST), int(columns["intake_id"] or "")
    except (ValueError, AttributeError, RecursionError):
        return None  # `mailflow audit` names what was made of the entry
    if digest is None:
        return None
    return Acceptance(
        entry=row.id,
        intake=intake,
        decided_at=columns["at"] or "",
        digest=str(digest),
        intact=None if row.sealed is None else row.sealed == digest_of(columns),
    )


async def entry_of(tx: Transaction, intake: int) -> dict[str, object]:
    """The columns of the entry that names the evidence of a mail, as it was sealed, with its digest and link."""
    texts = [chain.as_text(tx, column).label(column.name) for column in chain.COLUMNS]
    link = sa.cast(journal_link.c.link, sa.LargeBinary).label("link")
    statement = (
        sa.select(journal.c.id, *texts, link)
        .outerjoin(journal_link, journal_link.c.id == journal.c.id)
        .where(journal.c.intake_id == intake, journal.c.kind == ANSWERED)
    )
    for row in await tx.all(statement):
        columns = {column.name: chain.text(row._mapping[column.name]) for column in chain.COLUMNS}
        sealed = {"digest": digest_of(columns).hex(), "link": row.link.hex() if row.link else None}
        return {"id": row.id, "columns": columns, **sealed}
    return {}


def _within(period: Period, column: sa.Column[Any]) -> list[sa.ColumnElement[bool]]:
    since = [] if period.since is None else [column >= period.since]
    return since if period.until is None else [*since, column < period.until]


async def of_intakes(tx: Transaction, intakes: Sequence[int]) -> Mapping[int, Evidence]:
    """The evidence of these mails, as far as there is any that can be read."""
    octets = (evidence.c.basis, evidence.c.checklist, evidence.c.signature)
    instants = (evidence.c.received_at, evidence.c.judged_at)
    statement = sa.select(
        evidence.c.intake_id,
        *(sa.cast(column, sa.LargeBinary).label(column.name) for column in octets),
        *(sa.cast(column, sa.Text).label(column.name) for column in instants),
    )
    found: dict[int, Evidence] = {}
    for batch in batches(intakes):
        for row in await tx.all(statement.where(tx.among(evidence.c.intake_id, batch))):
            try:
                received_at, judged_at = _instant(row.received_at), _instant(row.judged_at)
            except ValueError:
                continue
            found[row.intake_id] = Evidence(
                intake=row.intake_id,
                received_at=received_at,
                judged_at=judged_at,
                basis=row.basis,
                checklist=row.checklist,
                signature=row.signature,
            )
    return found


def _instant(written: str) -> datetime:
    """SQLite has no time zones: there all is UTC."""
    read = datetime.fromisoformat(written)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


async def unannounced(tx: Transaction, period: Period, intakes: Sequence[int]) -> list[int]:
    """Mails with evidence, judged in that period, of which no entry of the journal names any.

    Of these intakes where there are any.
    """
    names = (journal.c.kind == ANSWERED, journal.c.detail.contains(f'"{DIGEST}"'))
    said = sa.exists().where(journal.c.intake_id == evidence.c.intake_id, *names)
    statement = sa.select(evidence.c.intake_id).where(~said, *_within(period, evidence.c.judged_at))
    if intakes:
        statement = statement.where(evidence.c.intake_id.in_(intakes))
    return [row.intake_id for row in await tx.all(statement.order_by(evidence.c.intake_id))]


async def erased(tx: Transaction, intakes: Sequence[int]) -> set[int]:
    """Those of these mails of which the journal says that they were erased."""
    found: set[int] = set()
    columns = sa.select(journal.c.intake_id).where(journal.c.kind == ERASED)
    for batch in batches(intakes):
        found |= {row.intake_id for row in await tx.all(columns.where(tx.among(journal.c.intake_id, batch)))}
    return found


async def exhibits(tx: Transaction, digests: Collection[bytes]) -> Mapping[bytes, bytes]:
    """The contents of those exhibits that are there; whether each is what its digest says is for who asks."""
    found: dict[bytes, bytes] = {}
    columns = sa.select(exhibit.c.digest, sa.cast(exhibit.c.content, sa.LargeBinary).label("content"))
    for batch in batches(sorted(digests)):
        found |= {row.digest: row.content for row in await tx.all(columns.where(tx.among(exhibit.c.digest, batch)))}
    return found
