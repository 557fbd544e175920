"""How the queue stands, and how that is said."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.core.waiting import Finished, Waiting
from mailflow.ops.outlook import Outlook, age_labels, bounds, duration, outlook, sentences

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
DEADLINE = timedelta(hours=12)
PERCENTS = (50, 75, 90)
NOTHING = Finished(count=0, first_at=None)


def waiting(
    hours: float,
    count: int = 1,
    *,
    state: str = "received",
    stuck: bool = False,
    sender: str | None = None,
    desk: str | None = None,
) -> Waiting:
    received = AT - timedelta(hours=hours)
    span = sum(received < bound for bound in bounds(AT, DEADLINE, PERCENTS))
    return Waiting(span=span, oldest=received, count=count, stuck=stuck, state=state, sender=sender, desk=desk)


def seen(mails: Sequence[Waiting], done: Finished = NOTHING) -> Outlook:
    return outlook(mails, done, None, AT, DEADLINE, PERCENTS)


def test_an_empty_queue() -> None:
    view = seen([])
    assert (view.waiting, view.late, view.left, view.bars) == (0, 0, None, ())
    assert sentences(view) == ["Nothing is waiting."]


def test_a_queue_that_is_worked_off_in_time() -> None:
    done = Finished(count=1200, first_at=AT - timedelta(minutes=10))
    assert sentences(seen([waiting(2, 2400), waiting(5, 12000)], done)) == [
        "Waiting for an answer: 14400; the next deadline is in 7 h 00.",
        "Answered: 2.0 a second. The backlog is cleared at 12:30, worst case 5 h 20 before its deadline.",
    ]


def test_who_will_miss_the_deadline_and_who_has_used_how_much_is_warned_of() -> None:
    done = Finished(count=10, first_at=AT - timedelta(minutes=10))
    view = seen([waiting(11.5, 40), waiting(7, 1)], done)
    assert [(share.percent, share.count) for share in view.shares] == [(50, 41), (75, 40), (90, 40)]
    assert sentences(view) == [
        "Waiting for an answer: 41; the next deadline is in 0 h 30.",
        "Answered: 1.0 a minute. The backlog is cleared at 11:11, worst case 0 h 10 after its deadline.",
        "Warning: will miss the deadline at the present rate: 10",
        "Warning: have used 90 % of the time: 40",
    ]


def test_a_stop_is_said_and_all_will_miss() -> None:
    assert sentences(seen([waiting(13), waiting(1)])) == [
        "Waiting for an answer: 2; the first deadline passed 1 h 00 ago.",
        "Nothing is being answered now.",
        "Warning: past the deadline: 1",
        "Warning: will miss the deadline at the present rate: 2",
        "Warning: have used 90 % of the time: 1",
    ]


def test_too_early_to_tell() -> None:
    assert "It is too early to tell how fast they are answered." in sentences(seen([waiting(0.001)]))


@pytest.mark.parametrize("state", ["retry", "held", "set_aside", "sending"])
def test_what_is_stuck_is_no_part_of_the_forecast_and_told_with_its_deadline(state: str) -> None:
    view = seen([waiting(4, 3, state=state, stuck=True)])
    assert (view.moving, view.waiting, view.rate, view.forecast) == (0, 3, None, None)
    (warning,) = [line for line in sentences(view) if line.startswith("Warning")]
    assert warning.endswith(": 3; the next deadline is in 8 h 00")
    assert f"Warning: {state}:" not in warning, "in words"


def test_the_histogram_has_a_line_for_each_sender_and_desk() -> None:
    known = {"state": "composed", "sender": "lille", "desk": "59123"}
    view = seen([waiting(0.1, 5), waiting(2, 7), waiting(2.5, 1, **known), waiting(12.5, 2, **known)])  # type: ignore[arg-type]  # words only
    assert [(bar.sender, bar.desk, bar.state, bar.counts, bar.total) for bar in view.bars] == [
        (None, None, "received", (5, 0, 7, 0, 0, 0, 0), 12),
        ("lille", "59123", "composed", (0, 0, 1, 0, 0, 0, 2), 3),
    ]
    assert age_labels(DEADLINE) == ["< 15 min", "< 1 h", "< 3 h", "< 6 h", "< 9 h", "< 12 h", "late"]
    assert age_labels(timedelta(hours=5))[-4:] == ["< 2 h 30", "< 3 h 45", "< 5 h", "late"]
    assert view.late == 2


def test_durations_in_words() -> None:
    assert [duration(timedelta(minutes=m)) for m in (0, 200, -1, -0.5)] == ["0 h 00", "3 h 20", "-0 h 01", "0 h 00"]
