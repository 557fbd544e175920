"""One round of the watch over the service: what is known, what is wrong, what is to be told. In the register, once."""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.core.alerting import DueNotice, KeptAlarm
from mailflow.log import event
from mailflow.ops.alarms import Alarm, is_known
from mailflow.ops.beats import beats
from mailflow.ops.course import Telling, develop
from mailflow.ops.findings import DESK_WINDOW, SEND_WINDOW, Facts, can_tell, find
from mailflow.ops.reading import read_queues
from mailflow.ops.snapshot import Expiry
from mailflow.register import Register, Transaction, alarms, watching

log = logging.getLogger(__name__)

KEPT = timedelta(days=400)
"""How long alarms that were cleared are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlooks:
    """What the forecast is made with."""

    kind: str
    """Of the outgoing mails that the deadline is for."""
    deadline: timedelta
    percents: Collection[int]


async def read_facts(
    tx: Transaction,
    outlooks: Outlooks,
    at: datetime,
    *,
    silence: timedelta,
    expiries: tuple[Expiry, ...],
    disks: Mapping[str, float],
) -> Facts:
    """All that the register knows of the service, with what whoever asks sees himself. Raises Unavailable."""
    kind = outlooks.kind
    percents = sorted(outlooks.percents)
    return Facts(
        at=at,
        queues=await read_queues(tx, kind, at, deadline=outlooks.deadline, percents=percents),
        workers=beats(await watching.signs(tx)),
        silence=silence,
        jobs=tuple(await watching.job_runs(tx)),
        put_off=await watching.put_off_sends(tx),
        sent=await watching.sends(tx, kind, at - SEND_WINDOW),
        desks=tuple(await watching.desk_counts(tx, kind, at - DESK_WINDOW)),
        expiries=expiries,
        disks=disks,
    )


async def settle(register: Register, facts: Facts, telling: Telling) -> list[DueNotice]:
    """Keep what was found; what is to be told now, each thing on each channel. Raises Unavailable."""
    at, found = facts.at, find(facts)

    def over(one: KeptAlarm) -> bool:
        return can_tell(facts, Alarm(one.code), json.loads(one.subject))

    async with register.read() as tx:
        if not found and not await alarms.lasting(tx) and not await alarms.due(tx, at):
            return []  # as nearly always: nothing is written
    async with register.begin() as tx:
        known = {(one.code, one.subject) for one in await alarms.lasting(tx)}
        new = [one for one in found if (one.alarm.value, one.subject) not in known]
        await alarms.begin(tx, [(one.alarm.value, one.subject, one.value) for one in new], at)
        everything = await alarms.lasting(tx)
        lasting = [one for one in everything if is_known(one.code)]
        await alarms.clear(tx, {one.id for one in everything} - {one.id for one in lasting}, at)  # of another version
        changes = develop(lasting, found, over, telling, at)
        for id_, value in changes.seen:
            await alarms.see(tx, id_, value, at)
        await alarms.raise_(tx, changes.raised, at)
        await alarms.escalate(tx, changes.escalated, at)
        await alarms.clear(tx, changes.cleared, at)
        await alarms.order(tx, changes.notices, at)
        if changes.cleared:
            await alarms.forget(tx, at - KEPT)
        due = await alarms.due(tx, at)
    codes = {one.id: one.code for one in lasting}
    for what, ids in (("raised", changes.raised), ("escalated", changes.escalated), ("cleared", changes.cleared)):
        for id_ in ids:
            level = logging.WARNING if what != "cleared" else logging.INFO
            event(log, f"alarm-{what}", level=level, alarm=id_, what=codes[id_].lower())
    return [one for one in due if one.notice.channel in telling.channels]
