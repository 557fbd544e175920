"""Whatever is killed, delayed or sent twice: one number for each request, one answer for each mail.

A seed tells the same story each time on SQLite. `SIMULATION_SEEDS` says how many are played (0 to that number); a
range `a:b` plays only those, so that one that failed can be looked at alone.
"""

import os

import pytest

from tests.simulation import oracle
from tests.simulation.mutants import MUTANTS
from tests.simulation.registers import Copies, PostgresCopies, SqliteCopies
from tests.simulation.simulation import play
from tests.support.databases import PostgresDatabases

FIRST, _, LAST = os.environ.get("SIMULATION_SEEDS", "200").rpartition(":")
SEEDS = range(int(FIRST or 0), int(LAST))
QUICK = 8
"""Seeds of `make check`."""
POSTGRESQL_EVERY = 10
"""Of so many seeds one is played on PostgreSQL as well, where workers really meet in the database."""
MUTANT_SEEDS = range(12)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteCopies:
    return SqliteCopies(folder=tmp_path_factory.mktemp("simulation"))


@pytest.fixture(scope="module")
def postgresql(postgres_server: PostgresDatabases) -> PostgresCopies:
    return PostgresCopies(server=postgres_server.server)


def _findings(seed: int, copies: Copies) -> list[str]:
    url = copies.fresh()
    try:
        return play(seed, url, oracle.judge)
    finally:
        copies.drop(url)


def _told(seed: int, kind: str, findings: list[str]) -> str:
    again = f"SIMULATION_SEEDS={seed}:{seed + 1} python -m pytest tests/simulation -k {kind}"
    return "\n".join([f"seed {seed}: {len(findings)} broken promises", *findings, "", "again:", again])


@pytest.mark.parametrize(
    "seed", [seed if seed < QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS]
)
def test_every_promise_survives_on_sqlite(seed: int, sqlite: SqliteCopies) -> None:
    findings = _findings(seed, sqlite)
    assert not findings, _told(seed, "on_sqlite", findings)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS[::POSTGRESQL_EVERY])
def test_every_promise_survives_on_postgresql(seed: int, postgresql: PostgresCopies) -> None:
    findings = _findings(seed, postgresql)
    assert not findings, _told(seed, "on_postgresql", findings)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str, sqlite: SqliteCopies, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    assert any(_findings(seed, sqlite) for seed in MUTANT_SEEDS), f"nobody noticed that {name}"
