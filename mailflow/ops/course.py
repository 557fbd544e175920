"""What becomes of alarms as time goes on: raised, told again, passed on, cleared. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.core.alerting import Channel, KeptAlarm, Notice, Occasion
from mailflow.ops.alarms import Alarm, Found, Severity, catalogue

SETTLED = timedelta(minutes=10)
"""So long the cause of a raised alarm must be gone until it is cleared: what comes and goes is told once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """To whom alarms are told, and how often."""

    channels: frozenset[Channel]
    """Those that there are."""
    remind: timedelta
    """Who has not acknowledged is told again after so long."""
    escalate: timedelta
    """When nobody has acknowledged a critical alarm for so long, the second ones are told too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be kept of it."""

    seen: tuple[tuple[int, str], ...]
    """Alarms whose cause is still there, with how much of it there is."""
    raised: tuple[int, ...]
    escalated: tuple[int, ...]
    cleared: tuple[int, ...]
    notices: tuple[Notice, ...]


def develop(
    kept: Sequence[KeptAlarm],
    found: Iterable[Found],
    over: Callable[[KeptAlarm], bool],
    telling: Telling,
    at: datetime,
) -> Changes:
    """What changes about the alarms that last, when this is found at `at`.

    `over` says of an alarm that is not found whether that means that its cause is gone.
    """
    values = {(one.alarm.value, one.subject): one.value for one in found}
    there = [one for one in kept if (one.code, one.subject) in values]
    gone = [one for one in kept if (one.code, one.subject) not in values and over(one)]
    raised = [one for one in there if one.raised_at is None and at - one.since >= _lasting(one)]
    escalated = [one for one in there if _is_to_be_passed_on(one, telling, at)]
    cleared = [one for one in gone if one.raised_at is None or at - one.seen_at >= SETTLED]
    notices = [
        *_notices(raised, Occasion.RAISED, {Channel.FIRST, Channel.WEBHOOK}),
        *_notices(escalated, Occasion.ESCALATED, {Channel.SECOND, Channel.WEBHOOK}),
        *(notice for one in there for notice in _reminders(one, telling, at)),
        *(notice for one in cleared for notice in _notices([one], Occasion.CLEARED, one.told)),
    ]
    return Changes(
        seen=tuple((one.id, values[one.code, one.subject]) for one in there),
        raised=tuple(one.id for one in raised),
        escalated=tuple(one.id for one in escalated),
        cleared=tuple(one.id for one in cleared),
        notices=tuple(notice for notice in notices if notice.channel in telling.channels),
    )


def _lasting(one: KeptAlarm) -> timedelta:
    return catalogue()[Alarm(one.code)].lasting


def _unheeded(one: KeptAlarm) -> bool:
    return one.raised_at is not None and one.acknowledged_at is None


def _is_to_be_passed_on(one: KeptAlarm, telling: Telling, at: datetime) -> bool:
    critical = catalogue()[Alarm(one.code)].severity is Severity.CRITICAL
    waited = one.raised_at is not None and at - one.raised_at >= telling.escalate
    return critical and waited and _unheeded(one) and one.escalated_at is None


def _reminders(one: KeptAlarm, telling: Telling, at: datetime) -> Iterator[Notice]:
    """The latest that is due; those that were missed while nobody looked are not made up for."""
    if one.raised_at is None or not _unheeded(one):
        return
    if turn := (at - one.raised_at) // telling.remind:
        second = {Channel.SECOND} if one.escalated_at else set()
        yield from _notices([one], Occasion.REMINDER, {Channel.FIRST, Channel.WEBHOOK} | second, turn)


def _notices(
    which: Iterable[KeptAlarm], occasion: Occasion, channels: Iterable[Channel], turn: int = 0
) -> Iterator[Notice]:
    for one in which:
        for channel in sorted(channels):
            yield Notice(alarm_id=one.id, occasion=occasion, turn=turn, channel=channel)
