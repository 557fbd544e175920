"""One run for each point and each thing that can go wrong there; or a second fault in the run that mends the first."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from mailflow.selftest import lines
from mailflow.selftest.points import Fault, Point, Portion, chance
from tests.faults import audit, clocks, files, kills, mailbox, memory, statements
from tests.faults.played import Played
from tests.faults.progress import Progress
from tests.faults.report import Row

KINDS: dict[str, Callable[[Point], Sequence[str]]] = {
    "kill": kills.hows,
    "imap": lines.hows,
    "smtp": lines.hows,
    "sqlite": statements.hows,
    "postgresql": statements.hows,
    "file": files.hows,
    "clock": clocks.hows,
    "memory": memory.hows,
    "mailbox": mailbox.hows,
    "audit": audit.hows,
}
"""What can go wrong at a point, by its kind."""

WORST = tuple(
    Fault(point=Point(kind=kind, name=name, nth=nth), how=how)
    for kind, name, nth, how in (
        ("kill", "smtp.data.written", 1, kills.KILLED),
        ("kill", "intake.settle.after-commit", 1, kills.KILLED),
        ("smtp", "server 250 2.0.0", 2, "reset before it"),
        ("imap", "client UID MOVE", 1, "closed after it"),
        ("sqlite", "COMMIT", 12, statements.FAILED_AFTER),
        ("postgresql", "COMMIT", 12, statements.LOST_AFTER),
        ("clock", "delivery._commit", 2, "ahead 3 days, until it is set"),
        ("mailbox", "before UID MOVE", 1, mailbox.RENUMBERED),
    )
)
"""Each leaves the story at another of the states of DESIGN. The first: the server has the whole answer, and we do not
know it."""


class Player(Protocol):
    """Who plays stories."""

    @property
    def cannot(self) -> frozenset[str]:
        """What cannot go wrong on these servers."""
        ...

    async def record(self, *faults: Fault, kinds: Collection[str]) -> list[Point]:
        """The points of these kinds of a run from end to end, after runs that these faults broke."""
        ...

    async def play(self, *faults: Fault) -> Played:
        """Runs that these faults break; then the worker may finish."""
        ...


ALL = Portion()


def worst_of(points: Iterable[Point]) -> list[Fault]:
    """Those of the worst that are of the kinds of these points, each of which must be there."""
    passed = set(points)
    kinds = {point.kind for point in passed}
    worst = [fault for fault in WORST if fault.point.kind in kinds]
    if gone := [str(fault) for fault in worst if fault.point not in passed]:
        raise AssertionError(f"no longer passed, so that another must be named: {gone}")
    return worst


async def sweep(
    player: Player,
    *kinds: str,
    portion: Portion = ALL,
    first: tuple[Fault, ...] = (),
    one_way: bool = False,
    progress: Progress | None = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> Row:
    """Break each of the points of these kinds, after runs that the first faults broke; what it came to.

    In all ways in which it can be broken, or in one: then each point in the next of its ways. What is in the progress
    already is not played again.
    """
    progress = progress or Progress()
    points = await player.record(*first, kinds=kinds)
    cases = [Fault(point=point, how=how) for point in points for how in ways(point, one_way, player.cannot)]
    seed = f"{kinds} {first}"
    row = Row(kind=", ".join(kinds), points=len(points), cases=len(portion.own(cases, seed)))
    for case in portion.of(cases, seed):
        if (before := progress.of(*first, case)) is not None:
            row = row.having(before)
        elif goes_on():
            begun = time.monotonic()
            played = replace(await played_surely(player, *first, case), seconds=time.monotonic() - begun)
            progress.note((*first, case), played)
            row = row.having(played)
    return row


def ways(point: Point, one_way: bool, cannot: frozenset[str] = frozenset()) -> Sequence[str]:
    """In which this point is to be broken."""
    all_ways = [how for how in KINDS[point.kind](point) if how not in cannot]
    return [all_ways[chance(str(point)) % len(all_ways)]] if one_way and all_ways else all_ways


async def played_surely(player: Player, *faults: Fault) -> Played:
    """With the last fault at an earlier time when it is not reached: turns that do more are fewer."""
    played = await player.play(*faults)
    *before, last = faults
    for nth in dict.fromkeys((last.point.nth // 2, 1)):
        if played.reached or played.wrong or not 0 < nth < last.point.nth:
            break
        point = Point(kind=last.point.kind, name=last.point.name, nth=nth)
        played = replace(await player.play(*before, Fault(point=point, how=last.how)), instead=True)
    return played
