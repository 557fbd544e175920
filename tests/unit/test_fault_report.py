"""The report of the fault sweep grows with what is played, and forgets nothing that was not played again."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mailflow.selftest.points import Fault, Point, Portion
from tests.faults import report
from tests.faults.__main__ import in_order
from tests.faults.places import PLACES
from tests.faults.sweep import ways

LAST_WEEK, TODAY = "1111111", "2222222"


def test_what_is_not_played_again_stays_and_what_is_takes_its_place(tmp_path: Path) -> None:
    before = [replace(place.row, version=LAST_WEEK, cases=9, runs=9, findings=("lost",)) for place in PLACES]
    report.write(tmp_path, before)
    kept = report.kept(tmp_path)
    assert kept == before
    shares = [replace(PLACES[1].row, version=TODAY, cases=runs, runs=runs) for runs in (2, 3)]
    rows = in_order(kept, shares)
    assert [row.place for row in rows] == [place.row.place for place in PLACES]
    assert (rows[1].version, rows[1].runs, rows[1].findings) == (TODAY, 5, ())
    assert rows[:1] + rows[2:] == before[:1] + before[2:]


def test_a_whole_row_stays_until_another_is_whole() -> None:
    whole = replace(PLACES[0].row, version=LAST_WEEK, cases=2, runs=2)
    cut = replace(PLACES[0].row, version=TODAY, cases=2, runs=1)
    assert in_order([whole], [cut, replace(cut, runs=2)])[0] == whole
    assert in_order([cut], [whole])[0] == whole
    assert in_order([], [cut])[0] == cut
    assert in_order([replace(cut, version=LAST_WEEK)], [cut])[0] == cut


def test_what_was_never_played_is_told(tmp_path: Path) -> None:
    report.write(tmp_path, in_order([], [replace(PLACES[0].row, cases=2, runs=2)]))
    told = (tmp_path / report.MARKDOWN).read_text(encoding="utf-8")
    assert told.count("not played") == len(PLACES) - 1


def test_every_place_has_a_row_of_its_own() -> None:
    assert len({place.row.place for place in PLACES}) == len(PLACES)


def test_a_finding_stands_under_the_table(tmp_path: Path) -> None:
    report.write(tmp_path, [replace(PLACES[0].row, runs=1, findings=("kill: x (1): killed\n  a mail is lost",))])
    told = (tmp_path / report.MARKDOWN).read_text(encoding="utf-8")
    assert "1 runs, 1 findings." in told
    assert "a mail is lost" in told


def test_one_way_at_each_point_comes_to_all_ways() -> None:
    points = [Point(kind="imap", name="server * {} FETCH {}", nth=nth) for nth in range(40)]
    chosen = [ways(point, one_way=True) for point in points]
    assert {len(some) for some in chosen} == {1}
    assert {how for some in chosen for how in some} == {*ways(points[0], one_way=False)}


@given(st.integers(min_value=1, max_value=5), st.sets(st.integers(min_value=0, max_value=99), max_size=4))
def test_shares_that_passed_a_point_more_or_less_play_all_the_others_once(shares: int, astray: set[int]) -> None:
    cases = [Fault(point=Point(kind="imap", name="a line", nth=nth), how="cut") for nth in range(100)]
    played: Counter[int] = Counter()
    for share in range(shares):
        its_own = [case for case in cases if share or case.point.nth not in astray]
        played.update(case.point.nth for case in Portion(share=share, shares=shares).of(its_own, "seed"))
    assert played == Counter(nth for nth in range(100) if nth in played)
    assert {*range(100)} - astray <= played.keys()
