"""The benchmark of uniqueness runs on few requests; whom it fills in is registered; nothing is read through."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.uniqueness.desk import CountingVault, Desk, statements
from bench.uniqueness.filling import Database, Postgresql, Sqlite, prepare
from bench.uniqueness.planting import KINDS, planted
from bench.uniqueness.population import BLOCK, Population
from bench.uniqueness.rows import Maker, number_of
from mailflow import registrar
from mailflow.core.anomalies import Code
from mailflow.core.model import Refused, Registered
from mailflow.register import Register, requests, tables
from tests.support.available import require
from tests.support.lives import registered, three_desks
from tests.support.reception import a_request, about, an_order, sent
from tests.support.requests import RECEIVED_AT

pytestmark = pytest.mark.long

AT = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
REQUESTS = 10 * BLOCK
SMALL = {
    "master_key",
    "trust_generation",
    "issuing",
    "sender",
    "sender_address",
    "certificate",
    "desk",
    "mandate",
    "counter",
    "history_counter",
}
"""Tables that do not grow with the requests."""
COARSE = {"territory", "state", "kind", "operation", "month"}
"""Columns by which an index alone leads to very many rows."""
EMPTY = {"homonym_release"}
"""Where the filled register has nothing: there even the database that has an index does not ask it."""


@pytest.fixture
def maker() -> Maker:
    return Maker(population=Population(1), payload=b"{}", master_key=b"m" * 32, lookup_key=b"l" * 32, at=AT)


@pytest.fixture
def database(register_url: str, maker: Maker) -> Database:
    """Migrated, empty."""
    if register_url.startswith("sqlite"):
        return Sqlite(url=register_url, file=Path(register_url.removeprefix("sqlite:///")))
    return Postgresql(url=register_url, pid=1)


@pytest.fixture
async def desk(database: Database, maker: Maker) -> AsyncIterator[Desk]:
    """Of a register of 5,000 requests."""
    vault = CountingVault(maker)
    register = Register.open(database.url, vault)
    await prepare(register)
    await Desk.enrol(register, AT)
    await register.close()
    database.fill(maker, range(REQUESTS // BLOCK), 2)
    register = Register.open(database.url, vault)
    yield await Desk.of(register, vault, database, AT, files=0)
    await register.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_benchmark_of_uniqueness_says_what_it_took(tmp_path: Path, kind: str) -> None:
    require("postgresql")
    report = tmp_path / "report.json"
    few = ["--requests", "500", "--requests", "1000", "--samples", "10", "--database", kind]
    command = [sys.executable, "-m", "bench.uniqueness", *few, "--folder", f"{tmp_path}/bench", "--json", str(report)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(report.read_text())["databases"][kind]
    assert (first["requests"], second["requests"]) == (500, 1000)
    assert second["new"]["creation"]["median"] > second["new"]["near"]["median"] > 0
    assert second["crowded tokens"]["opened"]["max"] == 64
    assert {kind: one["told"] for kind, one in second["planted"].items()} == dict.fromkeys(KINDS, 2)
    assert not (tmp_path / "bench").exists()


async def test_who_was_filled_in_is_registered(desk: Desk, maker: Maker) -> None:
    """Found under the number, refused as the same person, told as a near one."""
    ((place, household),) = maker.population.some(1, REQUESTS, "test")
    number = number_of(household, place, AT)
    async with desk.register.read() as tx:
        stored = await requests.find(tx, number)
    assert stored is not None
    assert (stored.payload, stored.territory, stored.revision) == (maker.payload, household.territory, 1)
    again = await desk.decide(await desk.sent(replace(household, nir=None)))
    assert isinstance(again.outcomes[0], Refused)
    assert [anomaly.code for anomaly in again.outcomes[0].anomalies] == [Code.REQUEST_EXISTS]
    for kind in KINDS:
        (near,) = planted(kind, maker.population, REQUESTS, 1, AT)
        (outcome,) = (await desk.decide(await desk.sent(near.household))).outcomes
        assert isinstance(outcome, Registered)
        assert near.owner in {anomaly.number for anomaly in outcome.anomalies}


async def test_no_statement_of_a_creation_reads_through_a_table_that_grows(desk: Desk, maker: Maker) -> None:
    """Neither of a new person's with near matches nor of one who is refused."""
    (near,) = planted("one typing error", maker.population, REQUESTS, 1, AT)
    ((_, known),) = maker.population.some(1, REQUESTS, "test")
    submissions = [await desk.sent(one) for one in (near.household, replace(known, nir=None))]
    with statements() as said:
        for submission in submissions:
            await desk.decide(submission)
    assert_nothing_is_read_through(desk.database, said, least=20)


async def test_nor_does_one_of_any_other_operation(desk: Desk) -> None:
    reception = await three_desks(desk.register)
    couple = await registered(reception, a_request("Durand", "Petit"))
    alone = await registered(reception, a_request("Moreau"), 2)
    orders = [
        ("MOD", about(couple, form=a_request("Durand", "Petite"))),
        ("MOD", about(couple, form=a_request("Durand", "Moreau"))),
        ("REN", about(couple)),
        ("CRS", about(couple, form=a_request("Petite"))),
        ("RAD", about(couple, motive="RADABA")),
        ("RAD", about(couple)),
        ("SUP", about(alone, "Moreau")),
    ]
    for sequence, (operation, element) in enumerate(orders, start=3):
        file = an_order(operation, element, sequence=sequence, dated_at=RECEIVED_AT + timedelta(seconds=sequence))
        terms, submissions = await reception.prepare(sent(file))
        with statements() as said:
            async with desk.register.begin() as tx:
                await registrar.submit(tx, submissions, terms, reception.at)
        assert_nothing_is_read_through(desk.database, said, least=8)


def assert_nothing_is_read_through(database: Database, said: Sequence[tuple[str, Any]], *, least: int) -> None:
    """Neither a table nor all that one territory or state has in it."""
    assert len(said) >= least
    for statement, parameters in said:
        if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            one = parameters[0] if isinstance(parameters, list) else parameters
            plan = database.plan(statement, one)
            through = set(re.findall(r"(?:Seq Scan on|SCAN) (\w+)", plan)) & tables.metadata.tables.keys()
            assert through <= SMALL | EMPTY, f"{statement}\n{plan}"
            for table, found in re.findall(r"SEARCH (\w+) .*\((.*)\)", plan):
                columns = set(re.findall(r"(\w+)[=<>]", found))
                assert table in SMALL | EMPTY or not columns <= COARSE, f"{statement}\n{plan}"
            for found in re.findall(r"Index Cond: (.*)", plan):
                columns = set(re.findall(r"\((?:\w+\.)?(\w+) [=<>]", found))
                assert not columns <= COARSE, f"{statement}\n{plan}"
