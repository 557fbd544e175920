"""Times to answer of a month."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.waiting import Answered
from mailflow.ops.times import WORST, month_of, times, took

RECEIVED = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
DEADLINE = timedelta(hours=12)


def answer(seconds: float, intake: int = 1) -> Answered:
    return Answered(intake_id=intake, received_at=RECEIVED, sent_at=RECEIVED + timedelta(seconds=seconds))


def test_a_month_without_answers() -> None:
    found = times([], DEADLINE)
    assert (found.answers, found.breaches, found.percentiles, found.worst) == (0, 0, (), ())


def test_distribution_percentiles_breaches_and_the_worst() -> None:
    found = times([answer(minutes * 60, intake) for intake, minutes in enumerate([*range(1, 100), 721])], DEADLINE)
    assert (found.answers, found.breaches) == (100, 1)
    assert dict(found.percentiles) == {percent: timedelta(minutes=percent) for percent in (50, 90, 95, 99)}
    assert [span.count for span in found.spans] == [1, 1, 3, 10, 15, 30, 39, 0, 0, 0, 1]
    assert found.spans[-2].at_most == DEADLINE
    assert [took(one) for one in found.worst[:2]] == [timedelta(minutes=721), timedelta(minutes=99)]


def test_of_an_answer_in_several_mails_the_last_counts() -> None:
    found = times([answer(10), answer(3600), answer(60)], DEADLINE)
    assert (found.answers, dict(found.percentiles)[50]) == (1, timedelta(hours=1))


def test_what_takes_exactly_as_long_as_promised_is_no_breach() -> None:
    assert times([answer(12 * 3600)], DEADLINE).breaches == 0
    assert times([answer(12 * 3600 + 1)], DEADLINE).breaches == 1


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert dict(times([answer(-5)], DEADLINE).percentiles)[50] == timedelta()


@given(st.lists(st.integers(0, 100_000), max_size=50))
def test_each_answer_is_counted_once(seconds: list[int]) -> None:
    found = times([answer(one, intake) for intake, one in enumerate(seconds)], DEADLINE)
    assert sum(span.count for span in found.spans) == found.answers == len(seconds)
    assert found.breaches == sum(one > 12 * 3600 for one in seconds)
    assert [took(one) for one in found.worst] == sorted((timedelta(seconds=s) for s in seconds), reverse=True)[:WORST]


def test_a_month_begins_at_midnight_in_paris() -> None:
    since, until = month_of(date(2026, 10, 1))
    assert (since, until) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )
