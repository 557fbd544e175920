"""Whether everybody is answered in time at the present rate. Pure.

Mails are worked on in the order of their reception, so what arrives later delays nobody who waits now: the mail that
has n others before it is answered when n + 1 are finished. Mails may be given in groups; a group is then taken for as
old as its oldest, so a forecast errs on the safe side only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=10)
"""How far back the present rate looks."""
PATIENCE = timedelta(minutes=1)
"""Shorter than this no rate is judged: a chunk may just be under way."""
LONGEST = timedelta(days=3650)
"""What a forecast can say at most; a rate may be next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Mails that wait, received at `oldest` or later, and before those of any younger group."""

    oldest: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What becomes of the mails that wait now."""

    cleared_at: datetime | None
    """When the last of them is answered; None when nothing moves."""
    least_left: timedelta | None
    """Of the mail that comes nearest to its deadline, or exceeds it most: the time left when it is answered.

    While nothing moves: what the oldest has left now. None when nothing waits.
    """
    missed: int
    """How many are answered after their deadline, at worst."""


def present_rate(*, finished: int, first_at: datetime | None, busy_since: datetime, at: datetime) -> float | None:
    """Mails a second, while there was work; None when it is too early to tell.

    `finished` were finished within `WINDOW`, the first at `first_at`. There has been work at least since `busy_since`,
    when the oldest mail that waits was taken in: an idle hour before says nothing of how fast we are. Nor does a stop
    before the first that was finished.
    """
    begins = max(at - WINDOW, busy_since, first_at or busy_since)
    if not finished and at - begins < PATIENCE:
        return None
    return finished / max(at - begins, PATIENCE).total_seconds()


def forecast(groups: Iterable[Group], rate: float, at: datetime, deadline: timedelta) -> Forecast:
    """What becomes of mails that wait `at`, when `rate` of them are finished in a second."""
    waiting = sorted((group for group in groups if group.count), key=lambda group: group.oldest)
    if not waiting:
        return Forecast(cleared_at=at, least_left=None, missed=0)
    if rate <= 0:
        total = sum(group.count for group in waiting)
        return Forecast(cleared_at=None, least_left=waiting[0].oldest + deadline - at, missed=total)
    before = missed = 0
    least = timedelta.max
    for group in waiting:
        left_now = group.oldest + deadline - at
        in_time = int(left_now.total_seconds() * rate) - before
        missed += group.count - min(max(in_time, 0), group.count)
        before += group.count
        least = min(least, left_now - _duration(before, rate))
    return Forecast(cleared_at=at + _duration(before, rate), least_left=least, missed=missed)


def _duration(mails: int, rate: float) -> timedelta:
    """How long so many take, `LONGEST` at most."""
    seconds = mails / rate
    return timedelta(seconds=seconds) if seconds < LONGEST.total_seconds() else LONGEST
