"""The life of a request: days and rows of the state table. Every cell is tested through the registrar."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.core.calendar import anniversary
from mailflow.core.life import TABLE, Action, Life, Role, Standing, overdue_for_removal, refusal
from mailflow.core.model import RequestState

DAYS = st.dates(date(2010, 1, 1), date(2090, 1, 1))
DEPOSITED = date(2025, 3, 10)
LAST_DAY = date(2026, 3, 10)
DAY = timedelta(days=1)
ACTIVE = Life.beginning(DEPOSITED)


def test_a_request_is_active_through_its_anniversary() -> None:
    assert ACTIVE.expires_on == LAST_DAY
    assert ACTIVE.standing(LAST_DAY) is Standing.ACTIVE
    assert ACTIVE.standing(LAST_DAY + DAY) is Standing.LAPSED
    assert Life.beginning(date(2024, 2, 29)).expires_on == date(2025, 2, 28)


def test_who_leaves_a_couple_keeps_the_first_deposit_and_has_a_year() -> None:
    left = Life.beginning(DEPOSITED, separated_on=date(2025, 12, 1))
    assert (left.deposited_on, left.renewed_on, left.expires_on) == (DEPOSITED, date(2025, 12, 1), date(2026, 12, 1))


@given(DAYS, st.integers(0, 366 * 3))
def test_a_renewal_is_taken_in_its_window_and_once(deposited: date, later: int) -> None:
    life, day = Life.beginning(deposited), deposited + timedelta(days=later)
    assert not life.is_renewed_for(day)
    opens = life.renewal_opens_on()
    assert opens == life.expires_on - timedelta(days=60)
    if opens <= day <= life.expires_on:
        again = life.renewed(day)
        assert again.expires_on == anniversary(day) >= life.expires_on
        assert again.is_renewed_for(day)
        assert again.is_renewed_for(life.expires_on), "until the anniversary that it was for"
        assert day < again.renewal_opens_on()
        assert not again.is_renewed_for(again.renewal_opens_on()), "the next anniversary is another one"


def test_an_end_is_for_a_motive_and_a_reactivation_gives_back_what_is_left() -> None:
    ended = ACTIVE.deregistered("RADCON", date(2025, 9, 1))
    assert (ended.state, ended.motive, ended.ended_on) == (RequestState.DEREGISTERED, "RADCON", date(2025, 9, 1))
    assert ended.standing(date(2030, 1, 1)) is Standing.DEREGISTERED
    assert ended.reactivated(date(2025, 10, 1)) == ACTIVE
    assert ended.reactivated(LAST_DAY) == ACTIVE
    late = ended.reactivated(LAST_DAY + DAY)
    assert (late.state, late.renewed_on, late.expires_on) == (RequestState.ACTIVE, LAST_DAY + DAY, date(2027, 3, 11))
    assert (late.motive, late.ended_on) == (None, None)


def test_what_was_not_renewed_ends_the_day_after_its_last_whenever_that_is_done() -> None:
    expired = ACTIVE.expired()
    assert (expired.motive, expired.ended_on) == ("RADREN", LAST_DAY + DAY)
    assert expired.standing(LAST_DAY + DAY) is Standing.NOT_RENEWED
    assert expired.standing(LAST_DAY) is Standing.ACTIVE, "for what was received on that day and is decided late"
    assert expired.renewed(LAST_DAY).state is RequestState.ACTIVE


def test_what_was_removed_stays_so() -> None:
    removed = ACTIVE.removed(DEPOSITED)
    assert removed.standing(DEPOSITED) is Standing.REMOVED
    assert {refusal(Standing.REMOVED, action, {Role.CREATOR, Role.MANAGER}) for action in Action} == {
        Code.NUMBER_REMOVED
    }


def test_the_table_has_a_cell_for_everything() -> None:
    assert set(TABLE) == {(standing, action, role) for standing in Standing for action in Action for role in Role}


def test_one_role_that_allows_is_enough_and_else_the_highest_says_why() -> None:
    assert refusal(Standing.LAPSED, Action.EXPIRY, {Role.DESK, Role.MANAGER}) is None
    assert refusal(Standing.ACTIVE, Action.REMOVAL, {Role.CREATOR, Role.MANAGER}) is None
    assert refusal(Standing.ACTIVE, Action.EXPIRY, {Role.DESK, Role.MANAGER}) is Code.STILL_VALID
    assert refusal(Standing.ACTIVE, Action.EXPIRY, {Role.DESK}) is Code.MANAGER_ONLY


@pytest.mark.parametrize(("hours", "overdue"), [(0, False), (72, False), (73, True)])
def test_a_removal_is_in_time_for_three_days(hours: int, *, overdue: bool) -> None:
    registered_at = datetime(2026, 1, 15, 9, tzinfo=UTC)
    assert overdue_for_removal(registered_at, registered_at + timedelta(hours=hours)) is overdue
