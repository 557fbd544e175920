"""The journal's chain in real databases: whatever is done to it behind our back is found, and named."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.jobs.examining import Witness
from mailflow.jobs.sealing import Sealer, seal
from mailflow.register import Register, chain
from tests.support.chains import DAY, days, findings, forge, happen, sealed, small_pages
from tests.support.jobs import TERMS
from tests.support.keys import notary
from tests.support.records import NOW, execute, rows

__all__ = ["sealed", "small_pages"]


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


async def test_heads_outlive_their_key_and_who_gets_it_makes_none(sealed: Register) -> None:
    await days(sealed, 2)
    old, new = TERMS.notary, notary("successor")
    await happen(sealed, 9)
    await seal(sealed, replace(TERMS, notary=new), NOW + 3 * DAY)
    forgotten = [("head forged", number, number) for number in (1, 2, 3)]
    assert await findings(sealed, later=3 * DAY, notary=new) == forgotten, "nobody said what the former one was"
    knowing = notary("successor", former="service")
    assert await findings(sealed, later=3 * DAY, notary=knowing) == []
    async with sealed.read() as tx:
        second = (await chain.heads(tx, 1, 1))[0]
    head = old.open(second.signed, NOW)
    assert head is not None
    again = old.sign(head.written(), NOW + DAY)
    await forge(sealed, "UPDATE journal_head SET signed = :signed WHERE number = 2", signed=again)
    assert await findings(sealed, later=3 * DAY, notary=knowing) == [("head forged", 2, 2)]


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
