"""Times to answer of a month: how they are spread, the worst, and whoever waited longer than was promised. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mailflow.core.calendar import PARIS, months_later
from mailflow.core.waiting import Answered

BOUNDS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60, 120, 240, 480))
"""Upper bounds of the spans in which times are counted, below the deadline."""
PERCENTILES = (50, 90, 95, 99)
WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How many answers took longer than the span before and at most this long."""

    at_most: timedelta | None
    """None: longer than the deadline, however long."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What became of the promise in one month."""

    deadline: timedelta
    answers: int
    breaches: int
    percentiles: tuple[tuple[int, timedelta], ...]
    """Each with the shortest time within which that many percent were answered; empty without answers."""
    spans: tuple[Span, ...]
    worst: tuple[Answered, ...]
    """The longest first."""


def month_of(first: date) -> tuple[datetime, datetime]:
    """From when on and until when it is that month in Paris; `first` is its first day."""
    after = months_later(first, 1)
    return _midnight(first), _midnight(after)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PARIS)


def took(answer: Answered) -> timedelta:
    """From reception to the moment at which the answer had left; never below zero, whatever the clocks."""
    return max(answer.sent_at - answer.received_at, timedelta())


def times(left: Iterable[Answered], deadline: timedelta) -> Times:
    """`left`: the outgoing mails of the month; of an answer in several mails the last one counts."""
    whole: dict[int, Answered] = {}
    for mail in left:
        if mail.intake_id not in whole or whole[mail.intake_id].sent_at < mail.sent_at:
            whole[mail.intake_id] = mail
    answers = sorted(whole.values(), key=lambda answer: (took(answer), answer.sent_at))
    lengths = [took(answer) for answer in answers]
    bounds = [*(bound for bound in BOUNDS if bound < deadline), deadline]
    counts = [0] * (len(bounds) + 1)
    for length in lengths:
        counts[bisect_left(bounds, length)] += 1
    return Times(
        deadline=deadline,
        answers=len(answers),
        breaches=counts[-1],
        percentiles=tuple((percent, _percentile(lengths, percent)) for percent in PERCENTILES if lengths),
        spans=tuple(Span(at_most=b, count=c) for b, c in zip([*bounds, None], counts, strict=True)),
        worst=tuple(reversed(answers[-WORST:])),
    )


def _percentile(ascending: Sequence[timedelta], percent: int) -> timedelta:
    """By the nearest rank, so that it is a time that somebody did wait."""
    return ascending[-(-len(ascending) * percent // 100) - 1]
