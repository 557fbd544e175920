"""Many rows by one call: both databases keep each value as it was given, and tell which rows were new."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailflow.register import Register, Transaction
from mailflow.register.columns import serial
from mailflow.register.database import ConstraintViolated
from mailflow.register.types import Instant

KINDS: dict[str, Any] = {
    "words": sa.Text,
    "octets": sa.LargeBinary,
    "at": Instant,
    "day": sa.Date,
    "told": sa.Boolean,
    "count": serial,
}
"""Every kind of column that the register has."""
thing = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", serial, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, kind) for name, kind in KINDS.items()),
    sa.Column("tries", sa.Integer, nullable=False, server_default="3"),
)

TRICKY = ["", " ", "NULL", "null", "{}", "{a,b}", '"', "\\", "a,b", "'", "\r\n", "é", "\U0001f600", "%s", ":x", "%(x)s"]
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the zone is given beside
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "words": st.none()
            | st.sampled_from(TRICKY)
            | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
            "octets": st.none() | st.sampled_from([text.encode() for text in TRICKY]) | st.binary(),
            "at": st.none() | INSTANTS,
            "day": st.none() | st.dates(date(1, 1, 1)),
            "told": st.none() | st.booleans(),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        }
    ),
    min_size=1,
    max_size=20,
)


def named(*names: str, **values: Any) -> list[dict[str, Any]]:
    return [{"name": name, **dict.fromkeys(KINDS), **values} for name in names]


async def laid_out(tx: Transaction) -> Transaction:
    await tx.connection.run_sync(thing.metadata.drop_all)
    await tx.connection.run_sync(thing.metadata.create_all)
    return tx


@given(values=ROWS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_given_is_kept_in_its_order(register: Register, values: list[dict[str, Any]]) -> None:
    rows = [{"name": f"{number}", **one} for number, one in enumerate(values)]
    async with register.begin() as tx:
        await laid_out(tx)
        assert await tx.run(sa.insert(thing), rows) == len(rows)
        kept = await tx.all(sa.select(thing).order_by(thing.c.id))
    assert [{name: row._mapping[name] for name in rows[0]} for row in kept] == rows
    assert {row.tries for row in kept} == {3}


@given(values=ROWS, of=st.sampled_from(sorted(KINDS)), chosen=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_rows_with_one_of_some_values_are_found(
    register: Register, values: list[dict[str, Any]], of: str, chosen: random.Random
) -> None:
    """None is no value: a column without one has none of them, and of no values nobody has one."""
    rows = [{"name": f"{number}", **one} for number, one in enumerate(values)]
    present = [row[of] for row in rows if row[of] is not None]
    wanted = chosen.sample(present, k=chosen.randint(0, len(present)))
    async with register.begin() as tx:
        await laid_out(tx)
        await tx.run(sa.insert(thing), rows)
        found = await tx.all(sa.select(thing.c.name).where(tx.among(thing.c[of], wanted)).order_by(thing.c.id))
    assert [row.name for row in found] == [row["name"] for row in rows if row[of] in wanted]


async def test_those_that_were_there_are_left_alone_and_not_told(register: Register) -> None:
    async with register.begin() as tx:
        await laid_out(tx)
        await tx.run(sa.insert(thing), named("b", words="first"))
        new = tx.insert(thing).on_conflict_do_nothing(index_elements=[thing.c.name]).returning(thing.c.name)
        assert {row.name for row in await tx.all(new, named("a", "b", "c", "a", words="second"))} == {"a", "c"}
        assert {row.name: row.words for row in await tx.all(sa.select(thing))} == {
            "a": "second",
            "b": "first",
            "c": "second",
        }


async def test_one_that_may_not_be_there_twice_undoes_them_all(register: Register) -> None:
    async with register.begin() as tx:
        await laid_out(tx)
    with pytest.raises(ConstraintViolated):
        async with register.begin() as tx:
            await tx.run(sa.insert(thing), named("a", "b", "a"))
    async with register.read() as tx:
        assert not await tx.all(sa.select(thing))


async def test_no_rows_ask_nothing(register: Register) -> None:
    async with register.begin() as tx:
        assert await tx.run(sa.insert(thing), []) == 0  # there is no such table
        assert await tx.all(sa.insert(thing).returning(thing.c.id), []) == []


async def test_an_instant_without_a_zone_is_refused_among_others(register: Register) -> None:
    elsewhere = datetime(2026, 11, 27, 12, tzinfo=timezone(timedelta(hours=2)))
    async with register.begin() as tx:
        await laid_out(tx)
        await tx.run(sa.insert(thing), named("a", at=elsewhere))
        assert [row.at for row in await tx.all(sa.select(thing))] == [datetime(2026, 11, 27, 10, tzinfo=UTC)]
    with pytest.raises(sa.exc.StatementError):
        async with register.begin() as tx:
            await tx.run(sa.insert(thing), [*named("b", at=elsewhere), *named("c", at=elsewhere.replace(tzinfo=None))])
