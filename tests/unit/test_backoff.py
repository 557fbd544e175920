"""How long to wait before trying again."""

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.backoff import delay

attempts = st.integers(1, 10_000)
parts = st.floats(0, 1)


def test_the_delay_doubles_up_to_the_most() -> None:
    delays = [delay(attempt, first=2, most=60, spread=0.5, jitter=0) for attempt in range(1, 8)]
    assert delays == [2, 4, 8, 16, 32, 60, 60]


@given(attempts, parts, parts)
def test_jitter_takes_off_at_most_the_spread(attempt: int, spread: float, jitter: float) -> None:
    whole = delay(attempt, first=1, most=300, spread=spread, jitter=0)
    assert whole * (1 - spread) <= delay(attempt, first=1, most=300, spread=spread, jitter=jitter) <= whole <= 300
