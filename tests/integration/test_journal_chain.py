"""The journal's chain in real databases: what is sealed when, and that whatever is done behind our back is found."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from mailflow.jobs import examining, sealing
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.examining import Witness, examine
from mailflow.jobs.sealing import Sealer, seal
from mailflow.register import ConstraintViolated, Register, Transaction, chain, journal, watching
from tests.integration.test_jobs_killed import Killed, Mortal
from tests.support.databases import VAULT, Databases, PostgresDatabases
from tests.support.jobs import TERMS
from tests.support.keys import notary
from tests.support.records import NOW, another, execute, rows

DAY = timedelta(days=1)
TABLES = ("journal", "journal_link", "journal_head")


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
            names = await tx.all(
                sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'journal%'")
            )
            lifted = [f"DROP TRIGGER {row.name}" for row in names]
        else:
            lifted = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in TABLES]
        for statement in lifted:
            await tx.run(sa.text(statement))
    for statement in statements:
        await execute(register, statement, **{k: v for k, v in values.items() if f":{k}" in statement})


async def findings(register: Register, witness: Witness | None = None, *, later: timedelta = timedelta()) -> Any:
    return [
        (one.what.value, one.first, one.last) async for one in examine(register, TERMS.notary, NOW + later, witness)
    ]


def swap(table: str, one: int, other: int) -> list[str]:
    steps = ((one, -1), (other, one), (-1, other))
    return [f"UPDATE {table} SET id = {new} WHERE id = {old}" for old, new in steps]


FORGERIES: dict[str, tuple[Sequence[str], list[tuple[str, int, int]]]] = {
    "a changed entry": (["UPDATE journal SET kind = 'x' WHERE id = 3"], [("changed", 3, 3)]),
    "a deleted entry": (["DELETE FROM journal WHERE id = 3"], [("missing", 3, 3)]),
    "with its link": (
        ["DELETE FROM journal WHERE id IN (3, 4)", "DELETE FROM journal_link WHERE id IN (3, 4)"],
        [("missing", 3, 4)],
    ),
    "the last ones, with their links": (
        ["DELETE FROM journal WHERE id > 4", "DELETE FROM journal_link WHERE id > 4"],
        [("missing", 5, 6)],
    ),
    "all of it, but for the head": (["DELETE FROM journal", "DELETE FROM journal_link"], [("missing", 1, 6)]),
    "a swapped pair": (swap("journal", 2, 5), [("swapped", 2, 5)]),
    "a swapped pair of links": (
        swap("journal_link", 2, 5),
        [("link changed", 2, 2), ("swapped", 2, 5), ("link changed", 5, 5)],
    ),
    "a changed link": (["UPDATE journal_link SET link = digest WHERE id = 3"], [("link changed", 3, 3)]),
    "a changed digest": (
        ["UPDATE journal_link SET digest = link WHERE id = 3"],
        [("link changed", 3, 3), ("changed", 3, 3)],
    ),
    "links of another kind": (
        ["UPDATE journal_link SET digest = NULL, gap_from = 3 WHERE id = 3"],
        [("inserted", 3, 3), ("link changed", 3, 3)],
    ),
    "a deleted link": (["DELETE FROM journal_link WHERE id = 3"], [("not sealed", 3, 3)]),
    "an entry before all others": (
        ["INSERT INTO journal (id, at, kind, detail) VALUES (-7, :at, 'x', '{}')"],
        [("inserted", -7, -7)],
    ),
    "a head's octets": (["UPDATE journal_head SET signed = :octets"], [("head forged", 1, 1)]),
    "a head's day": (["UPDATE journal_head SET day = 'yesterday'"], [("head forged", 1, 1)]),
    "a head's number": (["UPDATE journal_head SET number = 2"], [("head missing", 1, 1), ("head forged", 2, 2)]),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_each_forgery_is_found_and_named(sealed: Register, name: str) -> None:
    assert await findings(sealed) == []
    statements, expected = FORGERIES[name]
    await forge(sealed, *statements, at=NOW, octets=b"forged")
    assert await findings(sealed) == expected


async def test_any_change_of_any_column_is_found(sealed: Register) -> None:
    changes = {
        "kind": ["'Something'", "''"],
        "intake_id": ["4", "NULL"],
        "number": ["'n4'", "NULL", "''"],
        "sender": ["NULL", "'acme '"],
        "desk": ["'59124'", "NULL"],
        "detail": ["""'{"n":  3}'""", "''"],
    }
    (row,) = await rows(sealed, "SELECT journal.*, kind AS sqlite FROM journal WHERE id = 3")
    on_sqlite = isinstance(row.at, str)
    if on_sqlite:
        changes["at"] = ["'2026-11-25 09:30:00.123457'", "'2026-11-25 09:30:00.12345'", "'never'", "''", "x'ff'", "17"]
        changes["kind"] += ["x'ff'", "CAST(x'ff' AS TEXT)", "17"]
        changes["intake_id"] += ["'three'", "3.5"]
    else:
        moved = ("at + interval '1 microsecond'", "at - interval '1 day'", "'infinity'", "'-infinity'")
        changes["at"] = [*moved, "'2026-11-25 09:30:00.123456+00 BC'", "'12026-11-25 09:30:00.123456+00'"]
    assert set(changes) == {column.name for column in chain.COLUMNS}
    await forge(sealed)
    missed = []
    for column, values in changes.items():
        for value in values:
            await execute(sealed, f"UPDATE journal SET {column} = {value} WHERE id = 3")
            if await findings(sealed) != [("changed", 3, 3)]:
                missed.append((column, value))
            back = f"'{row._mapping[column]}'" if column != "intake_id" else "3"
            await execute(sealed, f"UPDATE journal SET {column} = {back} WHERE id = 3")
    assert missed == []
    assert await findings(sealed) == []


async def test_who_makes_the_chain_anew_meets_the_head(sealed: Register) -> None:
    await forge(sealed, "UPDATE journal SET kind = 'x' WHERE id = 3", "DELETE FROM journal_link WHERE id >= 3")
    await seal(sealed, TERMS, NOW)
    assert await findings(sealed) == [("rewritten", 1, 6)]


# Heads


async def days(register: Register, count: int) -> None:
    """Some more, with an entry each and a head."""
    for day in range(1, count + 1):
        await happen(register, 6 + day)
        await seal(register, TERMS, NOW + day * DAY)


async def test_a_head_is_signed_once_a_day_over_what_is_new(sealed: Register) -> None:
    await happen(sealed, 7)
    await seal(sealed, TERMS, NOW)
    await seal(sealed, TERMS, NOW + DAY)
    await seal(sealed, TERMS, NOW + 2 * DAY)
    async with sealed.read() as tx:
        kept = await chain.heads(tx, 0, 10)
    opened = [TERMS.notary.open(one.signed, NOW) for one in kept]
    assert [one and (one.position, one.entries, str(one.day)) for one in opened] == [
        (6, 6, "2026-11-25"),
        (7, 7, "2026-11-26"),
    ]
    assert await findings(sealed, later=9 * DAY) == []


async def test_forged_and_missing_heads_are_named(sealed: Register) -> None:
    await days(sealed, 4)
    assert await findings(sealed, later=4 * DAY) == []
    async with sealed.read() as tx:
        last = (await chain.heads(tx, 2, 1))[0]
    opened = TERMS.notary.open(last.signed, NOW)
    assert opened is not None
    stranger = notary("stranger").sign(opened.written(), NOW)
    await forge(sealed, "UPDATE journal_head SET signed = :signed WHERE number = 3", signed=stranger)
    assert await findings(sealed, later=4 * DAY) == [("head forged", 3, 3)]
    await execute(sealed, "DELETE FROM journal_head WHERE number = 3")
    assert await findings(sealed, later=4 * DAY) == [("head missing", 3, 3)]
    await execute(sealed, "DELETE FROM journal_head WHERE number >= 2")
    assert await findings(sealed, later=4 * DAY) == [("head missing", 2, 2)]


async def test_a_head_taken_from_elsewhere_in_the_chain_is_forged(sealed: Register) -> None:
    await days(sealed, 2)
    await forge(sealed, "UPDATE journal_head SET signed = (SELECT signed FROM journal_head WHERE number = 1)")
    assert ("head forged", 3, 3) in await findings(sealed)


async def test_a_forged_last_head_is_not_vouched_for_by_the_next(sealed: Register) -> None:
    """Signed by a stranger, over a chain that was made anew."""
    (mine,) = await rows(sealed, "SELECT signed FROM journal_head")
    await forge(sealed, "UPDATE journal SET kind = 'x' WHERE id = 3", "DELETE FROM journal_link")
    while await Sealer(sealed).step() < 6:
        pass
    head = TERMS.notary.open(mine.signed, NOW)
    async with sealed.read() as tx:
        link = (await chain.last_link(tx)).link.hex()
    assert head is not None
    stranger = notary("stranger").sign(replace(head, link=link).written(), NOW)
    await execute(sealed, "UPDATE journal_head SET signed = :signed", signed=stranger)
    await seal(sealed, TERMS, NOW)
    await days(sealed, 2)
    assert await findings(sealed, later=2 * DAY) == [("head forged", 1, 1)]


async def test_heads_outlive_their_key_and_who_gets_it_makes_none(
    sealed: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    await days(sealed, 2)
    old, new = TERMS.notary, notary("successor")
    monkeypatch.setattr(f"{__name__}.TERMS", replace(TERMS, notary=new))
    await happen(sealed, 9)
    await seal(sealed, TERMS, NOW + 3 * DAY)
    forgotten = [("head forged", number, number) for number in (1, 2, 3)]
    assert await findings(sealed, later=3 * DAY) == forgotten, "nobody said which certificate was the former one"
    monkeypatch.setattr(f"{__name__}.TERMS", replace(TERMS, notary=notary("successor", former="service")))
    assert await findings(sealed, later=3 * DAY) == []
    async with sealed.read() as tx:
        second = (await chain.heads(tx, 1, 1))[0]
    head = old.open(second.signed, NOW)
    assert head is not None
    again = old.sign(head.written(), NOW + DAY)
    await forge(sealed, "UPDATE journal_head SET signed = :signed WHERE number = 2", signed=again)
    assert await findings(sealed, later=3 * DAY) == [("head forged", 2, 2)]


async def test_a_head_kept_elsewhere_finds_what_was_taken_back(sealed: Register) -> None:
    await days(sealed, 2)
    async with sealed.read() as tx:
        last = await chain.last_head(tx)
    assert last is not None
    opened = TERMS.notary.open(last.signed, NOW)
    assert opened is not None
    witness = Witness(signed=last.signed, head=opened)
    assert await findings(sealed, witness) == []
    gone = [f"DELETE FROM {table} WHERE id > 7" for table in ("journal", "journal_link")]
    await forge(sealed, *gone, "DELETE FROM journal_head WHERE number = 3")
    assert await findings(sealed) == []
    assert await findings(sealed, witness) == [("head missing", 3, 3), ("missing", 8, 8)]
    await happen(sealed, 8)
    await seal(sealed, TERMS, NOW + 2 * DAY)
    found = await findings(sealed, witness)
    assert found == [("head forged", 3, 3)] or ("rewritten", 8, 8) in found


async def test_what_waits_too_long_for_a_link_or_a_head_is_told(register: Register) -> None:
    await happen(register, 1, 2)
    assert await findings(register) == []
    assert await findings(register, later=timedelta(hours=2)) == [("not sealed", 1, 2)]
    assert await findings(register, later=3 * DAY) == [("not sealed", 1, 2), ("head missing", 1, 1)]
    await seal(register, TERMS, NOW + 3 * DAY)
    assert await findings(register, later=3 * DAY) == []


# Sealing


@asynccontextmanager
async def adding(register: Register, number: int) -> AsyncIterator[Transaction]:
    """A transaction that has an entry and is not over."""
    async with register.begin() as tx:
        await journal.append(tx, [an_entry(number)], NOW)
        yield tx


class Undone(Exception):
    """The transaction is to be rolled back."""


async def links(register: Register) -> list[Any]:
    return [tuple(row) for row in await rows(register, "SELECT id, gap_from FROM journal_link ORDER BY id")]


@pytest.fixture
def postgresql_url(postgres_server: PostgresDatabases) -> str:
    return postgres_server.fresh(migrated=True)


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[Register]:
    """Only there do transactions add side by side: in SQLite no entry can be committed late."""
    async with another(postgresql_url) as register:
        yield register


async def test_an_entry_that_is_committed_late_is_waited_for(postgresql: Register) -> None:
    await happen(postgresql, 1)
    async with adding(postgresql, 2):
        await happen(postgresql, 3, 4, 5)
        await seal(postgresql, TERMS, NOW)
        assert await links(postgresql) == [(1, None)]
    await seal(postgresql, TERMS, NOW)
    assert await links(postgresql) == [(id_, None) for id_ in range(1, 6)]
    assert await findings(postgresql) == []


async def test_an_id_that_nobody_can_bring_any_more_is_a_gap(postgresql: Register) -> None:
    await happen(postgresql, 1)
    with suppress(Undone):
        async with adding(postgresql, 2), adding(postgresql, 3):
            await happen(postgresql, 4)
            await seal(postgresql, TERMS, NOW)
            raise Undone
    assert await links(postgresql) == [(1, None)]
    await seal(postgresql, TERMS, NOW)
    assert await links(postgresql) == [(1, None), (3, 2), (4, None)]
    assert await findings(postgresql) == []
    await execute(postgresql, "INSERT INTO journal (id, at, kind, detail) VALUES (2, :at, 'x', '{}')", at=NOW)
    await seal(postgresql, TERMS, NOW)
    assert await findings(postgresql) == [("inserted", 2, 2)]


async def test_who_began_later_holds_nothing_up(postgresql: Register) -> None:
    """There is always somebody adding: it is enough that those are over who may have had the missing id."""
    sealer = Sealer(postgresql)
    async with adding(postgresql, 1):
        await happen(postgresql, 2)
        assert await sealer.step() == 0  # the chain has not begun
        assert sealer.waits
        later = postgresql.begin()
        tx = await later.__aenter__()
        await journal.append(tx, [an_entry(3)], NOW)
    assert await sealer.step() == 2
    await later.__aexit__(None, None, None)
    assert await sealer.step() == 3


async def test_whatever_happens_side_by_side_is_sealed_whole(postgresql: Register) -> None:
    """Four who add, each in its own time, some in vain, while the sealer never rests."""
    chance, working = Random(5), 4
    sealer = Sealer(postgresql)

    async def work() -> None:
        nonlocal working
        for number in range(15):
            with suppress(Undone):
                async with adding(postgresql, number) as tx:
                    await asyncio.sleep(chance.random() / 100)
                    await journal.append(tx, [an_entry(number)] * chance.randint(1, 3), NOW)
                    if chance.random() < 0.3:
                        raise Undone
        working -= 1

    async def seal_on() -> None:
        while working:
            await sealer.step()

    await asyncio.gather(*(work() for _ in range(working)), seal_on())
    await seal(postgresql, TERMS, NOW)
    kept = [row.id for row in await rows(postgresql, "SELECT id FROM journal ORDER BY id")]
    linked = await links(postgresql)
    assert [id_ for id_, gap in linked if gap is None] == kept
    assert [gap for _, gap in linked if gap is not None] != []
    assert await findings(postgresql) == []


async def test_two_sealers_at_once_make_one_chain(sealed: Register, register_url: str) -> None:
    await happen(sealed, 7, 8)
    async with another(register_url) as other:
        made = await asyncio.gather(Sealer(sealed).step(), Sealer(other).step(), return_exceptions=True)
        assert 8 in made
        assert all(one == 8 or isinstance(one, ConstraintViolated) for one in made)
        await happen(sealed, 9)
        async with sealed.alone("seal"):
            await seal(other, TERMS, NOW)
        assert len(await links(sealed)) == 8, "somebody else was at it"
    await seal(sealed, TERMS, NOW)
    assert [id_ for id_, _ in await links(sealed)] == list(range(1, 10))
    assert await findings(sealed) == []


def test_a_sealer_killed_at_any_commit_is_made_up_for(databases: Databases) -> None:
    async def lived(fatal: int | None) -> tuple[int, Any]:
        register = Register.open(url, VAULT)
        mortal: Any = Mortal(register, fatal)
        try:
            await happen(register, 1, 2, 3)
            for day in range(2):
                try:
                    await seal(mortal, TERMS, NOW)
                except Killed:
                    assert day == 0
            assert await findings(register) == []
            heads = await rows(register, "SELECT signed FROM journal_head")
            opened = [TERMS.notary.open(row.signed, NOW) for row in heads]
            return mortal.commits, opened
        finally:
            await register.close()

    url = databases.fresh(migrated=True)
    commits, unharmed = asyncio.run(lived(None))
    assert (commits, len(unharmed)) == (3, 1)
    for fatal in range(1, commits + 1):
        url = databases.fresh(migrated=True)
        assert asyncio.run(lived(fatal))[1] == unharmed


async def test_the_nightly_job_seals_looks_and_tells(register: Register) -> None:
    await happen(register, 1, 2, 3)
    await AUDIT.step(register, TERMS, NOW)
    async with register.read() as tx:
        assert (await chain.last_link(tx)).id == 3
        assert set((await watching.broken(tx)).values()) == {0}
    await forge(register, "DELETE FROM journal WHERE id = 2")
    await AUDIT.step(register, TERMS, NOW)
    async with register.read() as tx:
        assert (await watching.broken(tx))["journal-is-as-sealed"] == 1
