"""Whatever is killed, delayed or sent twice: one number for each request, one answer for each mail.

A seed tells the same story each time on SQLite. `SIMULATION_SEEDS` says how many there are (0 to that number), of
which `make test` plays the first `SOME`; a range `a:b` is only those, so that one that failed can be looked at alone.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import oracle
from tests.simulation.__main__ import MUTANT_SEEDS, TABLE
from tests.simulation.crew import Crew, Job, pool
from tests.simulation.mutants import MUTANTS
from tests.simulation.registers import PostgresCopies, SqliteCopies
from tests.simulation.run import Run
from tests.simulation.simulation import WHOLE_EVERY, play
from tests.simulation.story import Story
from tests.support.databases import PostgresDatabases

FIRST, _, LAST = os.environ.get("SIMULATION_SEEDS", "200").rpartition(":")
SEEDS = range(int(FIRST or 0), int(LAST))
QUICK, SOME = 2, 5
"""Seeds of `make check`, and of `make test`."""
POSTGRESQL_EVERY = 10
"""Of so many seeds one is played on PostgreSQL as well, where workers really meet in the database."""
_ROW = re.compile(r"^\| (?P<fault>.+?) \| \w+ \| (?P<stories>\d+) \|$", re.MULTILINE)
FOUND_BY = {row["fault"]: MUTANT_SEEDS[int(row["stories"]) - 1] for row in _ROW.finditer(TABLE.read_text())}
"""The seeds that found them when the table was written: they are tried first."""
STORY = 3 * WHOLE_EVERY
"""A whole one, with weather of every kind."""
SWEPT = 4 * WHOLE_EVERY
"""One whose content keys are looked through in their order."""


def marks_of(seed: int) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] if seed >= SOME else [pytest.mark.slow] if seed >= QUICK else []


def likely_first(mutant: str) -> tuple[int, ...]:
    return tuple(sorted(MUTANT_SEEDS, key=lambda seed: seed != FOUND_BY.get(mutant)))


@pytest.fixture(scope="module")
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Has begun every job of the tests that were selected."""
    selected = (item for item in request.session.items if isinstance(item, pytest.Function))
    jobs = [item.callspec.params.get("job") for item in selected if hasattr(item, "callspec")]
    made = Crew(tmp_path_factory.mktemp("simulation"), [job for job in jobs if isinstance(job, Job)])
    yield made
    made.close()


@pytest.fixture(scope="module")
def postgresql(postgres_server: PostgresDatabases) -> PostgresCopies:
    return PostgresCopies(server=postgres_server.server)


@pytest.mark.parametrize("job", [pytest.param(Job((n,)), id=f"{n}", marks=marks_of(n)) for n in SEEDS])
def test_every_promise_survives_on_sqlite(job: Job, crew: Crew) -> None:
    assert not (tale := crew.found(job)), str(tale)


@pytest.mark.slow
@pytest.mark.one_in(100)
@pytest.mark.parametrize("job", [pytest.param(Job(likely_first(name), name), id=name) for name in MUTANTS])
def test_a_planted_fault_is_found(job: Job, crew: Crew) -> None:
    assert (tale := crew.found(job)), f"nobody noticed that {job.mutant}"
    assert not tale.findings[0].startswith(("TypeError", "AttributeError")), "it does not fit what it is planted into"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(n, marks=marks_of(n)) for n in SEEDS[::POSTGRESQL_EVERY]])
def test_every_promise_survives_on_postgresql(seed: int, postgresql: PostgresCopies) -> None:
    url = postgresql.fresh()
    findings = play(Story(seed), url, oracle.judge)
    postgresql.drop(url)
    assert not findings, "\n".join(findings)


@pytest.mark.slow
def test_a_seed_tells_the_same_story_each_time_to_the_octet(tmp_path: Path) -> None:
    copies = SqliteCopies(folder=tmp_path)
    assert octets_of(STORY, copies) == octets_of(STORY, copies)


@pytest.mark.long
@pytest.mark.parametrize("seed", [STORY, SWEPT])
def test_so_it_does_in_another_process(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was made before it, and sets of strings have another order."""
    told = []
    for hashes in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", hashes)
        (folder := tmp_path / hashes).mkdir()
        with pool(folder, 1) as process:
            told.append(process.submit(octets_of, seed, SqliteCopies(folder=folder)).result())
    assert told[0] == told[1]


def octets_of(seed: int, copies: SqliteCopies) -> list[str]:
    """What happened in it, and all that was sent, in short."""
    told: list[str] = []

    async def tell(run: Run) -> list[str]:
        world = run.world
        sent = [f"{transfer.at} {hashlib.sha256(transfer.raw).hexdigest()}" for transfer in world.transfers]
        told.extend([*world.told, *map(str, (world.now, world.cuts, world.stalls, world.questions)), *sent])
        return []

    assert not play(Story(seed), copies.fresh(), tell)
    return told
