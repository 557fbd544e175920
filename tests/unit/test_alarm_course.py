"""What becomes of an alarm, whatever comes when: told once, never without cause, over only for who had heard of it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.alerting import Channel, Notice, Occasion
from mailflow.ops.alarms import Alarm, Found, Severity, catalogue
from mailflow.ops.course import SETTLED, Telling, develop
from tests.support.alarms import kept_alarm

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
TELLING = Telling(channels=frozenset(Channel), remind=timedelta(hours=24), escalate=timedelta(hours=1))

STEPS = st.lists(st.tuples(st.integers(0, 2000), st.booleans(), st.booleans(), st.booleans()), max_size=40)
"""Minutes that pass, whether its cause is there, whether that could be told, whether somebody acknowledges."""


@given(alarm=st.sampled_from(Alarm), steps=STEPS)
def test_whatever_comes_when(alarm: Alarm, steps: list[tuple[int, bool, bool, bool]]) -> None:
    at, kept, told = AT, kept_alarm(alarm.value, AT), Counter[Notice]()
    for minutes, there, can_tell, acknowledges in steps:
        at += timedelta(minutes=minutes)
        found = [Found(alarm=alarm)] if there else []
        changes = develop([kept], found, lambda _, known=can_tell: known, TELLING, at)  # type: ignore[misc]  # bound now
        told.update(set(changes.notices) - set(told))  # the register keeps each once
        if changes.cleared:
            assert not there
            assert can_tell
            assert kept.raised_at is None or at - kept.seen_at >= SETTLED
            over = {notice.channel for notice in changes.notices if notice.occasion is Occasion.CLEARED}
            assert over == kept.told
            break
        if changes.raised:
            assert at - kept.since >= catalogue()[alarm].lasting
            assert kept.raised_at is None
        if changes.escalated:
            assert catalogue()[alarm].severity is Severity.CRITICAL
            assert kept.acknowledged_at is None
        assert not changes.notices or there
        assert kept.acknowledged_at is None or not changes.notices
        kept = replace(
            kept,
            seen_at=at if there else kept.seen_at,
            raised_at=at if changes.raised else kept.raised_at,
            escalated_at=at if changes.escalated else kept.escalated_at,
            told=kept.told | {notice.channel for notice in changes.notices},
        )
        if acknowledges and kept.raised_at is not None:
            kept = replace(kept, acknowledged_at=at)
    once = Counter((notice.occasion, notice.channel) for notice in told if notice.occasion is not Occasion.REMINDER)
    assert all(count == 1 for count in once.values())
