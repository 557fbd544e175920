"""Legal days in Paris, and how long a request lives."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.calendar import a_year_before, active_through, anniversary, is_active_on, legal_day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 1, 15, 22, 59, 59, tzinfo=UTC), date(2026, 1, 15)),
        (datetime(2026, 1, 15, 23, 0, tzinfo=UTC), date(2026, 1, 16)),
        (datetime(2026, 7, 15, 21, 59, 59, tzinfo=UTC), date(2026, 7, 15)),
        (datetime(2026, 7, 15, 22, 0, tzinfo=UTC), date(2026, 7, 16)),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), date(2026, 3, 29)),
    ],
)
def test_the_legal_day_is_that_of_paris(instant: datetime, day: date) -> None:
    assert legal_day(instant) == day


@pytest.mark.parametrize(
    ("day", "years", "expected"),
    [
        (date(2024, 2, 29), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 4, date(2028, 2, 29)),
        (date(2024, 2, 29), -1, date(2023, 2, 28)),
        (date(2025, 2, 28), 1, date(2026, 2, 28)),
        (date(2026, 12, 31), 1, date(2027, 12, 31)),
    ],
)
def test_anniversaries(day: date, years: int, expected: date) -> None:
    assert anniversary(day, years) == expected


@given(st.dates(date(2000, 1, 1), date(2098, 12, 31)))
def test_a_request_is_active_through_its_anniversary_and_not_a_day_longer(deposited_on: date) -> None:
    last = active_through(deposited_on)
    assert is_active_on(last, deposited_on)
    assert not is_active_on(last + timedelta(days=1), deposited_on)
    assert timedelta(days=365) <= last - deposited_on <= timedelta(days=366)


@given(st.dates(date(2000, 1, 1), date(2098, 12, 31)))
def test_what_is_due_a_year_later_is_due_on_its_anniversary_and_not_a_day_earlier(day: date) -> None:
    due = anniversary(day)
    assert day <= a_year_before(due)
    assert day > a_year_before(due - timedelta(days=1))
