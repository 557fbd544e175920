"""A thin selection of the sweep of `tests.faults`: the worst moments, and a few of each kind on each server."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mailflow.selftest.points import Fault, Point, Portion
from tests.faults.places import CRASH_SAFE
from tests.faults.played import Played
from tests.faults.report import Row
from tests.faults.stage import Stage
from tests.faults.sweep import KINDS, Player, played_surely, sweep, worst_of
from tests.servers.postgres import PostgresServer, postgres
from tests.support.available import require


@dataclass(frozen=True, slots=True)
class RecordedOnce:
    """A stage that records a run once, with the points of all kinds in it, instead of once for each kind."""

    stage: Stage
    recorded: dict[tuple[Fault, ...], list[Point]] = field(default_factory=dict)

    @property
    def cannot(self) -> frozenset[str]:
        return self.stage.cannot

    async def record(self, *faults: Fault, kinds: Collection[str]) -> list[Point]:
        if faults not in self.recorded:
            self.recorded[faults] = await self.stage.record(*faults, kinds=KINDS)
        return [point for point in self.recorded[faults] if point.kind in kinds]

    async def play(self, *faults: Fault) -> Played:
        return await self.stage.play(*faults)


def surely(row: Row) -> None:
    """Nothing was wrong, and hardly any run went another way than where it was to be broken."""
    assert not row.findings, "\n".join(row.findings)
    assert row.runs
    assert row.reached + row.instead >= row.runs * 0.8


async def the_worst(player: Player, half: int) -> list[Fault]:
    """Every other of them, alone."""
    worst = worst_of(await player.record(kinds=KINDS))[half::2]
    played = [await played_surely(player, fault) for fault in worst]
    assert all(one.reached for one in played)
    assert not [str(one) for one in played if one.wrong]
    return worst


async def what_mends_it(player: Player, first: Fault) -> None:
    """One more fault in the run that mends the first."""
    surely(await sweep(player, *KINDS, portion=Portion(most=1), first=(first,)))


@pytest.fixture(autouse=True)
def servers() -> None:
    require("dovecot")
    require("postfix")


@pytest.mark.slow
def test_whatever_fails_on_sqlite_and_dovecot_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stage(tmp_path) as stage:
            player = RecordedOnce(stage)
            first, *_ = await the_worst(player, 0)
            await what_mends_it(player, first)
            for kind in ("imap", "smtp", "sqlite", "file", "clock", "memory"):
                surely(await sweep(player, kind, portion=Portion(most=1)))

    asyncio.run(story())


@pytest.mark.slow
def test_whatever_fails_on_postgresql_and_cyrus_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    require("postgresql")
    require("cyrus")

    async def story(server: PostgresServer) -> None:
        async with Stage(tmp_path, postgres=server, cyrus=True) as stage:
            player = RecordedOnce(stage)
            await the_worst(player, 1)
            for kind in ("postgresql", "imap", "mailbox", "kill"):
                surely(await sweep(player, kind, portion=Portion(most=1)))

    with postgres(settings=CRASH_SAFE) as server:
        asyncio.run(story(server))


@pytest.mark.long
def test_what_mends_a_fault_is_broken_as_well_on_postgresql_and_cyrus(tmp_path: Path) -> None:
    require("postgresql")
    require("cyrus")

    async def story(server: PostgresServer) -> None:
        async with Stage(tmp_path, postgres=server, cyrus=True) as stage:
            player = RecordedOnce(stage)
            first, *_ = worst_of(await player.record(kinds=KINDS))[1::2]
            await what_mends_it(player, first)

    with postgres(settings=CRASH_SAFE) as server:
        asyncio.run(story(server))


@pytest.mark.long
def test_a_worker_killed_anywhere_on_sqlite_answers_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stage(tmp_path) as stage:
            surely(await sweep(stage, "kill", portion=Portion(most=8)))

    asyncio.run(story())
