"""A sweep that was cut off goes on with what it has not played yet, and counts what it has."""

import asyncio
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mailflow.selftest.points import Fault, Point
from tests.faults.played import Played
from tests.faults.progress import Progress
from tests.faults.sweep import sweep

VERSION = "1111111"
POINTS = [Point(kind="smtp", name="server 250 ok", nth=nth) for nth in range(1, 5)]
WRONG = Fault(point=POINTS[1], how="reset before it")
words = st.text(max_size=20)
faults = st.builds(
    Fault, point=st.builds(Point, kind=words, name=words, nth=st.integers(min_value=1, max_value=99)), how=words
)
played = st.builds(
    Played,
    faults=st.lists(faults, min_size=1, max_size=2).map(tuple),
    reached=st.booleans(),
    instead=st.booleans(),
    seconds=st.floats(min_value=0, max_value=1e6),
    wrong=st.lists(words, max_size=2).map(tuple),
)


class Recorded:
    """A player that breaks nothing, and says what it was asked for."""

    cannot: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.asked: list[Fault] = []

    async def record(self, *faults: Fault, kinds: Collection[str]) -> list[Point]:
        return POINTS

    async def play(self, *faults: Fault) -> Played:
        self.asked.append(faults[-1])
        return Played(faults=faults, reached=True, wrong=("a mail is lost",) if faults[-1] == WRONG else ())


def kept(folder: Path, place: str = "smtp sqlite", version: str = VERSION) -> Progress:
    return Progress(file=folder / "progress.jsonl", place=place, version=version)


@given(st.lists(played, max_size=4, unique_by=lambda one: one.faults))
def test_what_was_noted_is_read_again(several: Sequence[Played]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for one in several:
            kept(Path(folder)).note(one.faults, one)
        again = kept(Path(folder))
    assert [again.of(*one.faults) for one in several] == several


def test_what_was_cut_off_is_gone_on_with_and_comes_to_the_same(tmp_path: Path) -> None:
    whole = asyncio.run(sweep(Recorded(), "smtp"))
    first, second = Recorded(), Recorded()
    cut = asyncio.run(sweep(first, "smtp", progress=kept(tmp_path), goes_on=lambda: len(first.asked) < 7))
    assert (cut.runs, cut.is_whole) == (7, False)
    row = asyncio.run(sweep(second, "smtp", progress=kept(tmp_path)))
    assert row.is_whole
    assert not {*first.asked} & {*second.asked}
    assert len(first.asked) + len(second.asked) == row.cases
    assert replace(row, seconds=0) == replace(whole, seconds=0)
    assert len(row.findings) == 1
    assert row.seconds > 0


def test_another_place_and_another_version_are_played_anew(tmp_path: Path) -> None:
    asyncio.run(sweep(Recorded(), "smtp", progress=kept(tmp_path)))
    for other in (kept(tmp_path, place="smtp postgresql"), kept(tmp_path, version="2222222")):
        player = Recorded()
        row = asyncio.run(sweep(player, "smtp", progress=other))
        assert len(player.asked) == row.cases


def test_half_a_line_costs_no_more_than_two_cases(tmp_path: Path) -> None:
    first, second = Recorded(), Recorded()
    asyncio.run(sweep(first, "smtp", progress=kept(tmp_path), goes_on=lambda: len(first.asked) < 4))
    file = tmp_path / "progress.jsonl"
    file.write_text(file.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    row = asyncio.run(sweep(second, "smtp", progress=kept(tmp_path)))
    assert row.is_whole
    assert len(second.asked) == row.cases - 3
    third = Recorded()
    asyncio.run(sweep(third, "smtp", progress=kept(tmp_path)))
    assert len(third.asked) <= 1
