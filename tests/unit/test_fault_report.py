"""The report of the fault sweep grows with what is played, and forgets nothing that was not played again."""

from dataclasses import replace
from pathlib import Path

from mailflow.selftest.points import Point
from tests.faults import report
from tests.faults.__main__ import in_order
from tests.faults.places import PLACES
from tests.faults.sweep import ways

LAST_WEEK, TODAY = "1111111", "2222222"


def test_what_is_not_played_again_stays_and_what_is_takes_its_place(tmp_path: Path) -> None:
    before = [replace(place.row, version=LAST_WEEK, runs=9, findings=("lost",)) for place in PLACES]
    report.write(tmp_path, before)
    kept = report.kept(tmp_path)
    assert kept == before
    shares = [replace(PLACES[1].row, version=TODAY, runs=2), replace(PLACES[1].row, version=TODAY, runs=3)]
    rows = in_order(kept, shares)
    assert [row.place for row in rows] == [place.row.place for place in PLACES]
    assert (rows[1].version, rows[1].runs, rows[1].findings) == (TODAY, 5, ())
    assert rows[:1] + rows[2:] == before[:1] + before[2:]


def test_a_whole_row_stays_until_another_is_whole() -> None:
    whole, cut = replace(PLACES[0].row, version=LAST_WEEK), replace(PLACES[0].row, version=TODAY, cut=True)
    assert in_order([whole], [cut, replace(cut, cut=False)]) == [whole]
    assert in_order([cut], [whole]) == [whole]
    assert in_order([], [cut]) == [cut]
    assert in_order([replace(cut, version=LAST_WEEK)], [cut]) == [cut]


def test_every_place_has_a_row_of_its_own() -> None:
    assert len({place.row.place for place in PLACES}) == len(PLACES)


def test_a_finding_stands_under_the_table(tmp_path: Path) -> None:
    report.write(tmp_path, [replace(PLACES[0].row, runs=1, findings=("kill: x (1): killed\n  a mail is lost",))])
    told = (tmp_path / report.MARKDOWN).read_text(encoding="utf-8")
    assert "1 runs, 1 findings." in told
    assert "a mail is lost" in told


def test_one_way_at_each_point_comes_to_all_ways() -> None:
    points = [Point(kind="imap", name="server * {} FETCH {}", nth=nth) for nth in range(40)]
    chosen = [ways(number, point, one_way=True) for number, point in enumerate(points)]
    assert {len(some) for some in chosen} == {1}
    assert {how for some in chosen for how in some} == {*ways(0, points[0], one_way=False)}
