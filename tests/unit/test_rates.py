"""How much a sender may ask of us: what fits goes at once, what is more has its turn, in order and in time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.rates import OF_DAY, OWED_MAX, PERIOD, Account, Budget, Load, Rates, Spent

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PATIENCE = timedelta(hours=6)
AMPLE = dict.fromkeys(Budget, 1_000_000)

LOADS = st.builds(Load, bytes=st.integers(0, 30), requests=st.integers(0, 30))
MAILS = st.lists(st.tuples(st.integers(0, 3_000), LOADS), max_size=60)
"""Seconds since the last, and what came."""


def turns(mails: list[tuple[int, Load]], rates: Rates) -> list[tuple[datetime, datetime, Budget | None]]:
    """When each mail came, its turn, and by which budget."""
    at = NOW
    spent: Spent = {}
    found: list[tuple[datetime, datetime, Budget | None]] = []
    for seconds, load in mails:
        at += timedelta(seconds=seconds)
        account = Account(rates, spent, at)
        turn = account.count(load, at + PATIENCE)
        spent = account.spent
        found.append((at, at, None) if turn is None else (at, turn.at, turn.budget))
    return found


def a_burst(number: int, rates: Rates, load: Load | None = None) -> list[timedelta]:
    """How long mails that come at once have to wait."""
    return [turn - at for at, turn, _ in turns([(0, load or Load(bytes=1, requests=1))] * number, rates)]


def test_what_fits_into_an_hour_may_come_at_once() -> None:
    assert a_burst(10, AMPLE | {Budget.MAILS_AN_HOUR: 10}) == [timedelta()] * 10


def test_what_is_more_waits_for_as_long_as_the_rate_says() -> None:
    assert a_burst(13, AMPLE | {Budget.MAILS_AN_HOUR: 10})[10:] == [HOUR / 10, HOUR / 5, 3 * HOUR / 10]


def test_each_budget_counts_what_it_is_of_and_the_strictest_decides() -> None:
    for budget, load in (
        (Budget.BYTES_AN_HOUR, Load(bytes=5, requests=0)),
        (Budget.REQUESTS_AN_HOUR, Load(bytes=0, requests=5)),
        (Budget.MAILS_A_DAY, Load(mails=5, bytes=0, requests=0)),
    ):
        told = turns([(0, load)] * 3, AMPLE | {budget: 10})
        assert [turn - at for at, turn, _ in told] == [timedelta(), timedelta(), PERIOD[budget] / 2]
        assert [by for _, _, by in told] == [None, None, budget]


def test_a_mail_larger_than_a_budget_goes_when_nothing_of_it_is_used_and_is_paid_for_afterwards() -> None:
    assert a_burst(3, AMPLE | {Budget.REQUESTS_AN_HOUR: 10}, Load(bytes=1, requests=25)) == [
        timedelta(),
        2.5 * HOUR,
        5 * HOUR,
    ]


def test_an_hour_lets_nobody_wait_beyond_what_the_deadline_bears_and_a_day_does() -> None:
    assert max(a_burst(200, AMPLE | {Budget.MAILS_AN_HOUR: 1})) == PATIENCE
    assert a_burst(3, AMPLE | {Budget.MAILS_A_DAY: 1}) == [timedelta(), DAY, 2 * DAY]


def test_what_would_never_be_paid_is_forgiven_in_the_end() -> None:
    waits = a_burst(3, AMPLE | {Budget.BYTES_A_DAY: 1}, Load(bytes=26_214_400, requests=1))
    assert waits == [timedelta(), OWED_MAX, OWED_MAX]


@given(MAILS, st.integers(1, 40), st.integers(1, 40))
def test_turns_come_in_order_and_none_before_its_mail(mails: list[tuple[int, Load]], hour: int, day: int) -> None:
    rates = AMPLE | dict.fromkeys((Budget.REQUESTS_AN_HOUR, Budget.BYTES_AN_HOUR), hour) | {Budget.REQUESTS_A_DAY: day}
    told = turns(mails, rates)
    assert [turn for _, turn, _ in told] == sorted(turn for _, turn, _ in told)
    assert all(turn >= at for at, turn, _ in told)


@given(MAILS, st.integers(1, 40), st.sampled_from(sorted(OF_DAY)))
def test_in_no_day_there_is_more_than_what_may_come_at_once_and_what_the_rate_adds(
    mails: list[tuple[int, Load]], limit: int, budget: Budget
) -> None:
    told = turns(mails, AMPLE | {budget: limit})
    amounts = [min(getattr(load, budget.partition("_")[0]), limit) for _, load in mails]
    for begins in (turn for _, turn, _ in told):
        within = [n for n, (_, turn, _) in enumerate(told) if begins <= turn < begins + PERIOD[budget]]
        assert sum(amounts[n] for n in within[:-1]) <= 2 * limit


@given(MAILS, st.integers(1, 40))
def test_who_has_sent_nothing_for_long_enough_has_everything_again(mails: list[tuple[int, Load]], limit: int) -> None:
    rates: Rates = dict.fromkeys(Budget, limit)
    account = Account(rates, {}, NOW)
    for _, load in mails:
        account.count(load, NOW)
    later = max(account.spent.values())
    everything = Load(mails=limit, bytes=limit, requests=limit)
    assert Account(rates, account.spent, later).count(everything, later) is None
    too_early = later - PERIOD[Budget.MAILS_A_DAY] / 40 / 2
    assert not mails or Account(rates, account.spent, too_early).count(everything, too_early)
