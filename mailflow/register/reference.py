"""Reference data that attestations state: landlords by municipality, mediation commissions by département.

An operator loads each kind as a whole; every loading begins a new edition and is on record in the journal.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.numbers import Territory, departments_of
from mailflow.core.reference import Commission, Landlord, Reference, department_of, present_municipality
from mailflow.register import journal
from mailflow.register.tables import commission, landlord, reference_edition
from mailflow.register.transaction import Transaction, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """One file that is loaded, as the journal has it."""

    name: str
    digest: str
    """SHA-256 of the file, so that anybody can tell what an edition held."""
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What attestations can state in a département."""

    territory: Territory
    department: str
    commission: Commission | None
    municipalities: int
    """With landlords."""


async def edition(tx: Transaction) -> int:
    """The present one. In a transaction that writes, another loading waits until it has ended."""
    statement = sa.select(reference_edition.c.edition)
    return int((await tx.all(statement.with_for_update() if tx.writes else statement))[0].edition)


async def of_places(tx: Transaction, municipalities: Collection[str]) -> Reference:
    """What is known of these municipalities (INSEE codes; of former ones, of those that they belong to now)."""
    now = await edition(tx)
    present = {present_municipality(code) for code in municipalities}
    landlords: dict[str, list[str]] = defaultdict(list)
    for batch in batches(sorted(present)):
        which = sa.select(landlord).where(tx.among(landlord.c.municipality, batch))
        for row in await tx.all(which.order_by(landlord.c.name, landlord.c.siren)):
            landlords[row.municipality].append(row.name)
    departments = {department for code in present if (department := department_of(code))}
    return Reference(
        edition=now,
        landlords={code: tuple(dict.fromkeys(names)) for code, names in landlords.items()},
        commissions={code: one for code, one in (await commissions(tx)).items() if code in departments},
    )


async def commissions(tx: Transaction) -> dict[str, Commission]:
    """All of them, by département."""
    rows = await tx.all(sa.select(commission).order_by(commission.c.department))
    return {
        row.department: Commission(
            department=row.department, name=row.name, address=row.address, delay_months=row.delay_months
        )
        for row in rows
    }


async def landlords(tx: Transaction) -> set[Landlord]:
    """All of them."""
    rows = await tx.all(sa.select(landlord))
    return {Landlord(municipality=row.municipality, siren=row.siren, name=row.name) for row in rows}


async def coverage(tx: Transaction, territories: Collection[Territory]) -> list[Coverage]:
    """What is known of each département of these territories."""
    known = await commissions(tx)
    housed: dict[str, int] = defaultdict(int)
    for row in await tx.all(sa.select(landlord.c.municipality).distinct()):
        housed[department_of(row.municipality) or ""] += 1
    return [
        Coverage(
            territory=territory,
            department=department,
            commission=known.get(department),
            municipalities=housed[department],
        )
        for territory in sorted(territories)
        for department in departments_of(territory)
    ]


async def replace_landlords(tx: Transaction, all_of_them: Sequence[Landlord], loading: Loading) -> None:
    """These and no others from now on."""
    rows: list[dict[str, str | int]] = [
        {"municipality": one.municipality, "siren": one.siren, "name": one.name} for one in all_of_them
    ]
    await _replace(tx, landlord, rows, loading)


async def replace_commissions(tx: Transaction, all_of_them: Sequence[Commission], loading: Loading) -> None:
    """These and no others from now on."""
    rows: list[dict[str, str | int]] = [
        {"department": one.department, "name": one.name, "address": one.address, "delay_months": one.delay_months}
        for one in all_of_them
    ]
    await _replace(tx, commission, rows, loading)


async def _replace(tx: Transaction, table: sa.Table, rows: Sequence[Mapping[str, str | int]], loading: Loading) -> None:
    new = await edition(tx) + 1
    await tx.run(sa.delete(table))
    await tx.run(sa.insert(table), rows)
    await tx.run(sa.update(reference_edition).values(edition=new))
    detail: dict[str, str | int] = {
        "edition": new,
        "what": table.name,
        "entries": len(rows),
        "file": loading.name,
        "digest": loading.digest,
        "by": loading.by,
        "why": loading.why,
    }
    await journal.append(tx, [journal.Entry(kind="reference-loaded", detail=detail)], loading.at)
