"""The forecast, held against a queue that is worked off mail by mail."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from mailflow.ops.forecast import LONGEST, PATIENCE, WINDOW, Group, forecast, present_rate

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
DEADLINE = timedelta(hours=12)

ages = st.integers(0, 15 * 3600).map(lambda seconds: timedelta(seconds=seconds))
groups = st.lists(st.builds(Group, oldest=ages.map(lambda age: AT - age), count=st.integers(0, 40)), max_size=12)
# Powers of two divide and multiply without loss, so that the comparison is exact.
rates = st.integers(-12, 6).map(lambda power: 2.0**power)


def worked_off(waiting: Sequence[Group], rate: float) -> tuple[datetime, timedelta | None, int]:
    """When the last is answered, the least time left, how many too late: one mail after the other."""
    queue = sorted(group.oldest for group in waiting for _ in range(group.count))
    ends = [AT + timedelta(seconds=number / rate) for number in range(1, len(queue) + 1)]
    left = [received + DEADLINE - end for received, end in zip(queue, ends, strict=True)]
    return (ends or [AT])[-1], min(left, default=None), sum(one < timedelta() for one in left)


@given(groups, rates)
def test_it_foresees_what_happens_mail_by_mail(waiting: list[Group], rate: float) -> None:
    ahead = forecast(waiting, rate, AT, DEADLINE)
    assert (ahead.cleared_at, ahead.least_left, ahead.missed) == worked_off(waiting, rate)


@given(groups, rates)
def test_to_be_faster_never_makes_anybody_later(waiting: list[Group], rate: float) -> None:
    slow, fast = forecast(waiting, rate, AT, DEADLINE), forecast(waiting, 2 * rate, AT, DEADLINE)
    assert fast.missed <= slow.missed
    assert fast.cleared_at is not None
    assert slow.cleared_at is not None
    assert fast.cleared_at <= slow.cleared_at


@given(groups, rates, ages.map(lambda age: age / 60))
def test_a_group_taken_as_a_whole_errs_on_the_safe_side(waiting: list[Group], rate: float, spread: timedelta) -> None:
    """Of each group the second half came later than was told."""
    assume(not _overlap(waiting, spread))
    exact = [Group(oldest=one.oldest, count=one.count - one.count // 2) for one in waiting]
    exact += [Group(oldest=one.oldest + spread, count=one.count // 2) for one in waiting]
    told = forecast(waiting, rate, AT, DEADLINE)
    true = forecast(exact, rate, AT, DEADLINE)
    assert told.cleared_at == true.cleared_at
    assert told.missed >= true.missed
    if told.least_left is not None and true.least_left is not None:
        assert told.least_left <= true.least_left


def _overlap(waiting: Sequence[Group], spread: timedelta) -> bool:
    instants = sorted(group.oldest for group in waiting if group.count)
    return any(before + spread > after for before, after in pairwise(instants))


@given(groups)
def test_while_nothing_moves_all_is_missed(waiting: list[Group]) -> None:
    ahead = forecast(waiting, 0.0, AT, DEADLINE)
    assert ahead.missed == sum(group.count for group in waiting)
    assert (ahead.cleared_at is None) == (ahead.missed > 0)


def test_a_rate_next_to_nothing_is_no_overflow() -> None:
    ahead = forecast([Group(oldest=AT, count=5)], 1e-300, AT, DEADLINE)
    assert (ahead.cleared_at, ahead.missed) == (AT + LONGEST, 5)


def test_the_rate_counts_the_time_in_which_there_was_work() -> None:
    first, begun = AT - timedelta(minutes=5), AT - timedelta(hours=3)
    assert present_rate(finished=300, first_at=first, busy_since=begun, at=AT) == 1.0
    assert present_rate(finished=300, first_at=AT - WINDOW, busy_since=AT - timedelta(minutes=5), at=AT) == 1.0
    assert present_rate(finished=600, first_at=AT - WINDOW, busy_since=begun, at=AT) == 1.0


def test_a_moment_tells_no_rate() -> None:
    moment = timedelta(seconds=10)
    assert present_rate(finished=0, first_at=None, busy_since=AT - moment, at=AT) is None
    assert present_rate(finished=0, first_at=None, busy_since=AT - PATIENCE, at=AT) == 0.0
    assert present_rate(finished=50, first_at=AT - moment, busy_since=AT - WINDOW, at=AT) == 50 / 60
