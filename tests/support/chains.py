"""A journal that is sealed, somebody who does harm to it, and what is found of that."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.core.chain import Notary
from mailflow.jobs import examining, sealing
from mailflow.jobs.examining import Witness, examine
from mailflow.jobs.sealing import seal
from mailflow.register import Register, journal
from tests.support.jobs import TERMS
from tests.support.records import NOW, execute, rows

DAY = timedelta(days=1)
TABLES = ("journal", "journal_link", "journal_head", "evidence", "exhibit", "intake")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few entries are many pages."""
    monkeypatch.setattr(examining, "PAGE", 2)
    monkeypatch.setattr(sealing, "BATCH", 2)
    monkeypatch.setattr(sealing, "PATIENCE", 2)
    monkeypatch.setattr(sealing, "PAUSE_SECONDS", 0.01)


def an_entry(number: int) -> journal.Entry:
    return journal.Entry(
        kind="something", intake_id=number, number=f"n{number}", sender="acme", desk="59123", detail={"n": number}
    )


async def happen(register: Register, *numbers: int) -> None:
    async with register.begin() as tx:
        await journal.append(tx, [an_entry(number) for number in numbers], NOW)


@pytest.fixture
async def sealed(register: Register) -> Register:
    """Six entries, sealed, and a head."""
    await happen(register, *range(1, 7))
    await seal(register, TERMS, NOW)
    return register


async def forge(register: Register, *statements: str, **values: object) -> None:
    """What somebody does who has the database in his hands: the triggers are no obstacle."""
    async with register.begin() as tx:
        if tx.has_only_writer:
            names = await tx.all(sa.text("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"))
            lifted = [f"DROP TRIGGER {row.name}" for row in names if row.tbl_name in TABLES]
        else:
            lifted = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in TABLES]
        for statement in lifted:
            await tx.run(sa.text(statement))
    for statement in statements:
        await execute(register, statement, **{k: v for k, v in values.items() if f":{k}" in statement})


async def findings(
    register: Register,
    witness: Witness | None = None,
    *,
    later: timedelta = timedelta(),
    notary: Notary = TERMS.notary,
) -> list[tuple[str, int, int]]:
    """What is found wrong, so much later."""
    return [(one.what.value, one.first, one.last) async for one in examine(register, notary, NOW + later, witness)]


async def days(register: Register, count: int) -> None:
    """Some more, with an entry each and a head."""
    for day in range(1, count + 1):
        await happen(register, 6 + day)
        await seal(register, TERMS, NOW + day * DAY)


async def links(register: Register) -> list[Any]:
    return [tuple(row) for row in await rows(register, "SELECT id, gap_from FROM journal_link ORDER BY id")]
