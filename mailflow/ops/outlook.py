"""How the queue stands against its deadlines: what waits, how long it takes, what has used how much of its time. Pure.

Of a mail that is not judged nothing is known but when it came: whom it says it is from is not proven. So the sender and
the desk of what waits are told of mails that are decided and whose answer has not left.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.core.calendar import PARIS
from mailflow.core.waiting import Finished, Stop, Waiting
from mailflow.ops.forecast import Forecast, Group, forecast, present_rate

STEPS = 50
"""Into so many equal spans the time up to the deadline is cut; what waits in one is taken for as old as its oldest."""
AGES = (1 / 48, 1 / 12, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""Bounds of the columns of the histogram, as parts of the deadline: 15 minutes, 1, 3, 6, 9 hours of twelve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many mails have used this much of their time."""

    percent: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Mails that nothing is done about now."""

    state: str
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A line of the histogram: of one state, sender and desk, how many mails of each age wait, the youngest first."""

    state: str
    sender: str | None
    desk: str | None
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Of all ages."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How the queue stands at an instant."""

    at: datetime
    deadline: timedelta
    moving: int
    """Mails that are being worked off."""
    oldest: datetime | None
    """The first reception of all that waits, stuck or not."""
    rate: float | None
    """Mails a second that are finished now; None when nothing waits or it is too early to tell."""
    forecast: Forecast | None
    """Of the moving ones; None while there is no rate."""
    stuck: tuple[Stuck, ...]
    shares: tuple[Share, ...]
    """Ascending; who has used the greater share has used the smaller one too."""
    bars: tuple[Bar, ...]
    stopped: Stop | None
    """None while numbers are given."""

    @property
    def waiting(self) -> int:
        """All that waits for its answer."""
        return self.moving + sum(one.count for one in self.stuck)

    @property
    def left(self) -> timedelta | None:
        """Time left to the first deadline; below zero when it has passed."""
        return None if self.oldest is None else self.oldest + self.deadline - self.at

    @property
    def late(self) -> int:
        """Mails whose deadline has passed."""
        return sum(bar.counts[-1] for bar in self.bars)


def bounds(at: datetime, deadline: timedelta, percents: Sequence[int]) -> list[datetime]:
    """The instants of reception at which mails are told apart by age, the latest first."""
    parts = {step / STEPS for step in range(1, STEPS + 1)} | {*AGES} | {percent / 100 for percent in percents}
    return [at - deadline * part for part in sorted(parts)]


def outlook(
    waiting: Sequence[Waiting],
    done: Finished,
    busy_since: datetime | None,
    at: datetime,
    deadline: timedelta,
    percents: Sequence[int],
    stopped: Stop | None = None,
) -> Outlook:
    """`waiting` is counted between the `bounds` of the same values; `busy_since`: see `present_rate`."""
    limits = bounds(at, deadline, percents)
    moving = [one for one in waiting if not one.stuck]
    rate = None
    if moving:
        since = min([one.oldest for one in moving]) if busy_since is None else busy_since
        rate = present_rate(finished=done.count, first_at=done.first_at, busy_since=since, at=at)
    groups = [Group(oldest=one.oldest, count=one.count) for one in moving]
    return Outlook(
        at=at,
        deadline=deadline,
        moving=sum(one.count for one in moving),
        oldest=min((one.oldest for one in waiting), default=None),
        rate=rate,
        forecast=None if rate is None else forecast(groups, rate, at, deadline),
        stuck=_stuck(waiting),
        shares=tuple(
            Share(percent=percent, count=_older(waiting, limits.index(at - deadline * (percent / 100))))
            for percent in sorted(percents)
        ),
        bars=_bars(waiting, [limits.index(at - deadline * part) for part in AGES]),
        stopped=stopped,
    )


def _older(waiting: Iterable[Waiting], bound: int) -> int:
    return sum(one.count for one in waiting if one.span > bound)


def _stuck(waiting: Iterable[Waiting]) -> tuple[Stuck, ...]:
    found: dict[str, list[Waiting]] = defaultdict(list)
    for one in waiting:
        if one.stuck:
            found[one.state].append(one)
    return tuple(
        Stuck(state=state, count=sum(one.count for one in alike), oldest=min(one.oldest for one in alike))
        for state, alike in sorted(found.items())
    )


def _bars(waiting: Iterable[Waiting], columns: Sequence[int]) -> tuple[Bar, ...]:
    counts: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * (len(columns) + 1))
    for one in waiting:
        column = sum(one.span > bound for bound in columns)
        counts[one.sender or "", one.desk or "", one.state][column] += one.count
    return tuple(
        Bar(state=state, sender=sender or None, desk=desk or None, counts=tuple(row))
        for (sender, desk, state), row in sorted(counts.items())
    )


# In words


def duration(length: timedelta) -> str:
    """`3 h 20`; below zero with a minus sign."""
    minutes = int(abs(length).total_seconds() // 60)
    return f"{'-' if length < timedelta() and minutes else ''}{minutes // 60} h {minutes % 60:02}"


def age_labels(deadline: timedelta) -> list[str]:
    """The heads of the histogram's columns: `< 15 min`, `< 1 h` … `late`."""
    return [*(f"< {_shortly(deadline * part)}" for part in AGES), "late"]


def _shortly(length: timedelta) -> str:
    hours, minutes = divmod(int(length.total_seconds() // 60), 60)
    return duration(length) if hours and minutes else f"{hours} h" if hours else f"{minutes} min"


def sentences(view: Outlook) -> list[str]:
    """What an operator is told first, the present state before the warnings."""
    said = [f"Warning: {stopped(view.stopped)}"] if view.stopped else []
    return [*said, *public_sentences(view)]


def public_sentences(view: Outlook) -> list[str]:
    """Likewise, without what people have written."""
    lines = ["Nothing is waiting."]
    if view.left is not None:
        lines = [f"Waiting for an answer: {view.waiting}; {_deadline(view.left)}."]
    if view.moving and view.rate is None:
        lines.append("It is too early to tell how fast they are answered.")
    elif view.rate is not None and view.forecast is not None:
        lines.append(_forecast(view.at, view.forecast, view.rate))
    return lines + [f"Warning: {one}" for one in warnings(view)]


def _forecast(at: datetime, ahead: Forecast, rate: float) -> str:
    if ahead.cleared_at is None or ahead.least_left is None:
        return "Nothing is being answered now."
    pace = f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute"
    local, today = ahead.cleared_at.astimezone(PARIS), at.astimezone(PARIS).date()
    when = f"{local:%H:%M}" if local.date() == today else f"{local:%d/%m/%Y %H:%M}"
    side = "before" if ahead.least_left >= timedelta() else "after"
    worst = f"worst case {duration(abs(ahead.least_left))} {side} its deadline"
    return f"Answered: {pace}. The backlog is cleared at {when}, {worst}."


def _deadline(left: timedelta) -> str:
    if left < timedelta():
        return f"the first deadline passed {duration(-left)} ago"
    return f"the next deadline is in {duration(left)}"


def warnings(view: Outlook) -> list[str]:
    """What needs somebody, the worst first; empty when all is well."""
    lines = [f"past the deadline: {view.late}"] if view.late else []
    if view.forecast is not None and view.forecast.missed:
        lines.append(f"will miss the deadline at the present rate: {view.forecast.missed}")
    used = [share for share in view.shares if share.count]
    if used:
        lines.append(f"have used {used[-1].percent} % of the time: {used[-1].count}")
    for one in view.stuck:
        left = one.oldest + view.deadline - view.at
        lines.append(f"{WAITS_FOR.get(one.state, one.state)}: {one.count}; {_deadline(left)}")
    return lines


def stopped(stop: Stop) -> str:
    """That no numbers are given."""
    return f"no numbers are given since {stop.at.astimezone(PARIS):%d/%m/%Y %H:%M}, by {stop.by}: {stop.why}"


WAITS_FOR = {
    "retry": "to be judged again later (a certificate could not be checked, or a server failed)",
    "stopped": "wait until numbers are given again (mailflow resume)",
    "turn": "beyond their senders' rates: they wait for their turn",
    "held": "held until somebody releases them",
    "set_aside": "set aside for a fault of ours, or by an operator",
    "sending": "perhaps sent: the audit mailbox decides",
}
"""What nothing is done about now, by state."""
