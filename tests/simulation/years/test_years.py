"""Two years of thousands of requests: every request, notice, dispatch and erasure as the law has it.

`YEARS_PEOPLE` says how many people file a request, `YEARS_SEED` which two years are lived through.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.simulation.years.faults import FAULTS
from tests.simulation.years.journey import Journey, travel
from tests.support.databases import PostgresDatabases, SqliteFiles

SEED = int(os.environ.get("YEARS_SEED", "1"))
PEOPLE = int(os.environ.get("YEARS_PEOPLE", "9300"))
FEW = 300
SOME = 500


def live(url: str, people: int, *, every: int) -> tuple[list[str], Journey]:
    return asyncio.run(travel(url, SEED, people, every=every))


@pytest.mark.long
def test_after_two_years_everything_is_as_the_law_has_it(tmp_path: Path) -> None:
    wrong, journey = live(SqliteFiles(folder=tmp_path).fresh(migrated=True), PEOPLE, every=7)
    assert not wrong, "\n".join(wrong)
    happened = counts(journey)
    assert happened["requests"] > PEOPLE, "some file several"
    assert all(happened.values()), happened


@pytest.mark.long
def test_the_same_on_postgresql(postgres_server: PostgresDatabases) -> None:
    wrong, _ = live(postgres_server.fresh(migrated=True), SOME, every=10)
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[name](monkeypatch)
    wrong, _ = live(SqliteFiles(folder=tmp_path).fresh(migrated=True), FEW, every=8)
    assert wrong, f"nobody noticed that {name}"


def counts(journey: Journey) -> dict[str, int]:
    """What happened in the two years."""
    cases = journey.law.cases.values()
    return {
        "requests": len(cases),
        "changes": sum(case.changes for case in cases),
        "notices": len(journey.notices),
        "renewed": sum(case.renewed_on is not None for case in cases),
        "not renewed": len(journey.law.lapses),
        "removed": sum(case.removed_on is not None for case in cases),
        "erased": sum(case.erased_on is not None for case in cases),
        "dispatches": sum(journey.copies.last.values()),
    }
