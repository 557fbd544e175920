"""What is wrong, from what is known of the service. Pure; the rules for Prometheus ask the same of the metrics.

Of a worker that gives no sign of life nothing else is known any more, neither that something is wrong nor that it is
not: what was found of it before stays as it was.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.core.alerting import DeskCount, JobRun
from mailflow.core.anomalies import Code
from mailflow.core.canary import CanaryOutcome
from mailflow.core.expiry import announced
from mailflow.ops.alarms import Alarm, Found
from mailflow.ops.beats import Beat
from mailflow.ops.health import FAILURES_MAX, RECEIVE
from mailflow.ops.snapshot import Expiry, Queues

NEAR, AT_RISK = 0.5, 0.75
"""Parts of the deadline."""
JOB_LATE = timedelta(hours=36)
QUOTA_USED = 0.8
DISK_USED = 0.9
REFUSED = 20
"""Requests of a desk within `DESK_WINDOW`; fewer may be an agent's bad day."""
REFUSED_PART = 0.9
DESK_WINDOW = timedelta(hours=1)
SEND_WINDOW = timedelta(minutes=15)
LIST_AHEAD = timedelta(hours=6)

FROM_WORKERS = frozenset({Alarm.STAGE_HANGS, Alarm.STAGE_FAILS, Alarm.MAILBOX_UNREACHABLE, Alarm.NOBODY_RECEIVES})
"""What only workers that live can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at `at`."""

    at: datetime
    queues: Queues
    workers: tuple[Beat, ...]
    silence: timedelta
    """After so long without a sign of life a worker is taken for dead."""
    jobs: tuple[JobRun, ...]
    put_off: int
    """Mails that a server would not have."""
    sent: int
    """Answers that left within `SEND_WINDOW`."""
    desks: tuple[DeskCount, ...]
    """Within `DESK_WINDOW`."""
    expiries: tuple[Expiry, ...]
    disks: Mapping[str, float]
    """By host, as whoever looks sees it himself."""

    @property
    def live(self) -> tuple[Beat, ...]:
        """Workers that gave a sign of life lately."""
        return tuple(one for one in self.workers if self.at - one.beaten_at <= self.silence)

    @property
    def silent(self) -> frozenset[tuple[str, str]]:
        """Hosts and mailboxes of whose workers none gave a sign of life lately."""
        return frozenset(map(_station, self.workers)) - frozenset(map(_station, self.live))


def find(facts: Facts) -> list[Found]:
    """All that is wrong, each thing once."""
    found = {(one.alarm, one.subject): one for look in _LOOKS for one in look(facts)}
    return list(found.values())


def can_tell(facts: Facts, alarm: Alarm, about: Mapping[str, str]) -> bool:
    """Whether an alarm that is not found is over; else nobody knows."""
    if alarm in FROM_WORKERS:
        return any(about.get("mailbox") in {None, one.state.mailbox} for one in facts.live)
    if alarm is Alarm.QUOTA:
        return about.get("mailbox") in {quota.mailbox for one in facts.live for quota in one.state.quotas}
    if alarm is Alarm.DISK_FULL:
        known = {one.host for one in facts.live if one.state.disk_used is not None} | facts.disks.keys()
        return about.get("host") in known
    return alarm is not Alarm.DOWN or (about.get("host"), about.get("mailbox")) not in facts.silent


def _station(worker: Beat) -> tuple[str, str]:
    return worker.host, worker.state.mailbox


# Each thing that may be wrong


def _deadline(facts: Facts) -> Iterator[Found]:
    view = facts.queues.outlook
    answered_up_to = min((at for at in (*_emptied(facts), view.oldest) if at), default=facts.at)
    used = (facts.at - answered_up_to) / view.deadline
    if used > NEAR:
        yield Found(alarm=Alarm.DEADLINE_NEAR)
    if used > AT_RISK:
        yield Found(alarm=Alarm.DEADLINE_AT_RISK)
    if view.forecast is not None and view.forecast.missed:
        yield Found(alarm=Alarm.WILL_MISS, value=str(view.forecast.missed))
    if view.late:
        yield Found(alarm=Alarm.LATE, value=str(view.late))
    if view.stopped:
        yield Found(alarm=Alarm.NUMBERS_STOPPED)


def _emptied(facts: Facts) -> Iterator[datetime]:
    """When each mailbox was last seen empty, by whichever worker."""
    for workers in _by_mailbox(facts.workers).values():
        if seen := [one.emptied_at for one in workers if one.emptied_at]:
            yield max(seen)


def _by_mailbox(workers: Iterable[Beat]) -> dict[str, list[Beat]]:
    """Those that do not say which one they read count for none as soon as others say it."""
    found: defaultdict[str, list[Beat]] = defaultdict(list)
    for one in workers:
        found[one.state.mailbox].append(one)
    if len(found) > 1:
        found.pop("", None)
    return found


def _workers(facts: Facts) -> Iterator[Found]:
    for host, mailbox in facts.silent:
        yield Found(alarm=Alarm.DOWN, about={"host": host, "mailbox": mailbox})
    for mailbox, stage in ((one.state.mailbox, stage) for one in facts.live for stage in one.state.stages):
        if stage.hangs:
            yield Found(alarm=Alarm.STAGE_HANGS, about={"stage": stage.name})
        if stage.failures >= FAILURES_MAX and stage.name == RECEIVE:
            yield Found(alarm=Alarm.MAILBOX_UNREACHABLE, about={"mailbox": mailbox})
        elif stage.failures >= FAILURES_MAX:
            yield Found(alarm=Alarm.STAGE_FAILS, about={"stage": stage.name})
    for mailbox, workers in _by_mailbox(facts.live).items():
        wanted = [one.state.receives for one in workers if one.state.receives is not None]
        if wanted and not any(wanted):
            yield Found(alarm=Alarm.NOBODY_RECEIVES, about={"mailbox": mailbox})


def _jobs(facts: Facts) -> Iterator[Found]:
    for job in facts.jobs:
        if facts.at - (job.done_at or job.since) > JOB_LATE:
            yield Found(alarm=Alarm.JOB_MISSED, about={"task": job.job})


def _answers(facts: Facts) -> Iterator[Found]:
    if facts.put_off > facts.sent:
        yield Found(alarm=Alarm.SENDING_FAILS)
    if bounced := facts.queues.held.get("bounced"):
        yield Found(alarm=Alarm.ANSWERS_BOUNCE, value=str(bounced))


def _room(facts: Facts) -> Iterator[Found]:
    for quota in (quota for one in facts.live for quota in one.state.quotas):
        if quota.limit and quota.used / quota.limit > QUOTA_USED:
            about = {"mailbox": quota.mailbox, "resource": quota.resource}
            yield Found(alarm=Alarm.QUOTA, about=about, value=_percent(quota.used / quota.limit))
    told = {one.host: one.state.disk_used for one in facts.live} | dict(facts.disks)
    for host, used in told.items():
        if used is not None and used > DISK_USED:
            yield Found(alarm=Alarm.DISK_FULL, about={"host": host}, value=_percent(used))


def _waits_for_a_person(facts: Facts) -> Iterator[Found]:
    for queue, states in facts.queues.states.items():
        if held := states.get("held"):
            yield Found(alarm=Alarm.HELD, about={"queue": queue}, value=str(held))
    if faults := facts.queues.set_aside.get(Code.INTERNAL_FAULT):
        yield Found(alarm=Alarm.FAULT, value=str(faults))
    if undetermined := facts.queues.states.get("intake", {}).get("undetermined"):
        yield Found(alarm=Alarm.UNDETERMINED, value=str(undetermined))


def _rates(facts: Facts) -> Iterator[Found]:
    for sender, mails in facts.queues.beyond_rates.items():
        yield Found(alarm=Alarm.SENDER_BEYOND_RATES, about={"sender": sender}, value=str(mails))


def _successors(facts: Facts) -> Iterator[Found]:
    for sender, fingerprint in facts.queues.successors:
        yield Found(alarm=Alarm.SUCCESSOR_OFFERED, about={"sender": sender, "certificate": fingerprint[:16]})


def _desks(facts: Facts) -> Iterator[Found]:
    for one in facts.desks:
        if one.refused > REFUSED and one.refused > REFUSED_PART * one.decided:
            yield Found(alarm=Alarm.DESK_FAILS, about={"desk": one.desk}, value=str(one.refused))


def runs_out(expiries: Iterable[Expiry], at: datetime) -> Iterator[Found]:
    """What has to be renewed soon, or should have been."""
    for one in expiries:
        left = one.at - at
        if one.kind == "list" and left < LIST_AHEAD:
            yield Found(alarm=Alarm.LIST_ENDS, about={"name": one.name}, value=_length(left))
        elif one.kind != "list" and (days := announced(one.at, at)) is not None:
            about = {"kind": one.kind, "name": one.name, "ahead": f"{days} days"}  # each day of announcement anew
            yield Found(alarm=Alarm.CERTIFICATE_ENDS, about=about, value=_length(left))


def _canary(facts: Facts) -> Iterator[Found]:
    for run in facts.queues.canary:
        if run.is_late(facts.at):
            yield Found(alarm=Alarm.CANARY_LATE, value=str((facts.at - run.begun_at) // timedelta(minutes=1)))
        if run.outcome not in (None, CanaryOutcome.ANSWERED):
            yield Found(alarm=Alarm.CANARY_FAILS, about={"outcome": run.outcome.value})


def _promises(facts: Facts) -> Iterator[Found]:
    for invariant, times in facts.queues.broken.items():
        if times:
            yield Found(alarm=Alarm.INVARIANT_BROKEN, about={"invariant": invariant}, value=str(times))


_LOOKS: tuple[Callable[[Facts], Iterator[Found]], ...] = (
    _deadline,
    _workers,
    _jobs,
    _answers,
    _room,
    _waits_for_a_person,
    _rates,
    _successors,
    _desks,
    lambda facts: runs_out(facts.expiries, facts.at),
    _canary,
    _promises,
)


def _percent(part: float) -> str:
    return f"{math.floor(part * 100)} %"


def _length(left: timedelta) -> str:
    """`12 days`, `5 hours`; what has passed is 0."""
    hours = max(math.ceil(left / timedelta(hours=1)), 0)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
