"""What operators are told, in words and for programs: codes, counts and names of the operator's own. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.alerting import DueNotice, KeptAlarm, Occasion
from mailflow.core.calendar import PARIS
from mailflow.ops.alarms import Alarm, Found, Meant, Severity, catalogue

LISTED_MAX = 50
"""Of what is told at one time: more is told as a number."""
_HEADS = {
    Occasion.RAISED: "",
    Occasion.REMINDER: "still: ",
    Occasion.ESCALATED: "nobody has acknowledged: ",
    Occasion.CLEARED: "over: ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that is told."""

    occasion: Occasion
    found: Found
    since: datetime
    alarm_id: int | None = None
    """By which it is acknowledged; None when there is no register to keep it in."""
    until: datetime | None = None
    """When it was over."""

    @property
    def meant(self) -> Meant:
        """What the catalogue says."""
        return catalogue()[self.found.alarm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that one recipient is told at one time."""

    subject: str
    text: str
    document: Mapping[str, object]
    """The same for a program."""


def found_of(alarm: KeptAlarm) -> Found:
    """What a kept alarm says."""
    return Found(alarm=Alarm(alarm.code), about=json.loads(alarm.subject), value=alarm.value)


def in_short(alarms: Iterable[KeptAlarm]) -> list[str]:
    """A sentence for each alarm that lasts, for whoever looks."""
    return [
        f"Alarm {one.id}, {catalogue()[Alarm(one.code)].severity}: {found_of(one).happened}"
        f"{'' if one.acknowledged_at is None else ' (acknowledged)'}"
        for one in alarms
    ]


def told(due: Iterable[DueNotice]) -> list[Told]:
    """What is due, to be put into words."""
    return [
        Told(
            occasion=one.notice.occasion,
            found=found_of(one.alarm),
            since=one.alarm.since,
            alarm_id=one.alarm.id,
            until=one.alarm.cleared_at,
        )
        for one in due
    ]


def message(things: Sequence[Told], *, environment: str, host: str, at: datetime) -> Message:
    """What is critical first, what is over last."""
    things = sorted(things, key=lambda one: (one.occasion is Occasion.CLEARED, one.meant.severity is Severity.WARNING))
    first, *rest = things
    more = f" (and {len(rest)} more)" if rest else ""
    shown, left_out = things[:LISTED_MAX], len(things[LISTED_MAX:])
    lines = [line for one in shown for line in (*_lines(one), "")]
    lines += [f"And {left_out} more, which mailflow alarms list shows.", ""] if left_out else []
    return Message(
        subject=f"[mailflow {environment}] {_head(first)}{first.found.happened}{more}",
        text="\n".join([*lines, f"mailflow {environment}, told by {host}. All alarms: mailflow alarms list"]) + "\n",
        document={
            "version": 1,
            "environment": environment,
            "host": host,
            "at": at.isoformat(),
            "alerts": [_facts(one) for one in shown],
            "left_out": left_out,
        },
    )


def trial(*, environment: str, host: str, at: datetime) -> Message:
    """What is told to try whether anybody hears it."""
    text = f"This is a trial: nothing is wrong. Alarms of mailflow {environment} come this way. Told by {host}.\n"
    facts = {"version": 1, "environment": environment, "host": host, "at": at.isoformat(), "alerts": []}
    return Message(subject=f"[mailflow {environment}] trial of the alarms", text=text, document=facts | {"trial": True})


def _head(one: Told) -> str:
    severity = "" if one.occasion is Occasion.CLEARED else f"{one.meant.severity}: "
    return f"{severity}{_HEADS[one.occasion]}"


def _lines(one: Told) -> Iterator[str]:
    yield f"{_head(one).upper()}{one.found.happened}"
    yield f"  alarm  {one.found.alarm}{''.join(f', {name} {value}' for name, value in one.found.about.items())}"
    yield f"  since  {_when(one.since)}{f', until {_when(one.until)}' if one.until else ''}"
    if one.occasion is Occasion.CLEARED:
        return
    yield f"  means  {one.meant.meaning}"
    yield f"  do     {one.meant.action}"
    yield f"  type   {one.found.command}"
    if one.alarm_id is not None:
        yield f'  then   mailflow alarms acknowledge {one.alarm_id} --why "..." --apply'


def _facts(one: Told) -> Mapping[str, object]:
    return {
        "id": one.alarm_id,
        "occasion": one.occasion,
        "alarm": one.found.alarm,
        "severity": one.meant.severity,
        "about": dict(one.found.about),
        "value": one.found.value,
        "since": one.since.isoformat(),
        "until": one.until and one.until.isoformat(),
        "happened": one.found.happened,
        "meaning": one.meant.meaning,
        "action": one.meant.action,
        "command": one.found.command,
    }


def _when(at: datetime) -> str:
    return f"{at.astimezone(PARIS):%d/%m/%Y %H:%M}"
