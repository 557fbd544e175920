"""What was found wrong, who was told of it, who has acknowledged it: so that several workers tell once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.alerting import Channel, DueNotice, KeptAlarm, Notice, Occasion
from mailflow.register import journal
from mailflow.register.alarm_tables import alarm, alarm_notice, lasts
from mailflow.register.transaction import Transaction


async def lasting(tx: Transaction) -> list[KeptAlarm]:
    """Alarms that are not cleared, the oldest first; those too that have not lasted long enough to be raised."""
    return await _alarms(tx, sa.select(alarm).where(lasts).order_by(alarm.c.since, alarm.c.id))


async def latest(tx: Transaction, limit: int) -> list[KeptAlarm]:
    """Alarms that were raised, cleared ones included, the latest first."""
    raised = alarm.c.raised_at.is_not(None)
    return await _alarms(tx, sa.select(alarm).where(raised).order_by(alarm.c.id.desc()).limit(limit))


async def begin(tx: Transaction, found: Sequence[tuple[str, str, str]], at: datetime) -> None:
    """Note causes that are seen for the first time: code, subject, value."""
    rows = [
        {"code": code, "subject": subject, "value": value, "since": at, "seen_at": at} for code, subject, value in found
    ]
    await tx.run(tx.insert(alarm).on_conflict_do_nothing(), rows)


async def see(tx: Transaction, id_: int, value: str, at: datetime) -> None:
    """Its cause is still there."""
    await tx.run(sa.update(alarm).where(alarm.c.id == id_).values(value=value, seen_at=at))


async def raise_(tx: Transaction, ids: Collection[int], at: datetime) -> None:
    """It has lasted long enough to be told."""
    await tx.run(sa.update(alarm).where(alarm.c.id.in_(ids), alarm.c.raised_at.is_(None)).values(raised_at=at))


async def escalate(tx: Transaction, ids: Collection[int], at: datetime) -> None:
    """Nobody has acknowledged it in time."""
    await tx.run(sa.update(alarm).where(alarm.c.id.in_(ids)).values(escalated_at=at))


async def clear(tx: Transaction, ids: Collection[int], at: datetime) -> None:
    """Its cause is gone. What was never raised leaves no trace, and what is not told yet need not be told."""
    await tx.run(sa.delete(alarm_notice).where(alarm_notice.c.alarm_id.in_(ids), alarm_notice.c.told_at.is_(None)))
    await tx.run(sa.delete(alarm).where(alarm.c.id.in_(ids), alarm.c.raised_at.is_(None)))
    await tx.run(sa.update(alarm).where(alarm.c.id.in_(ids)).values(cleared_at=at))


async def acknowledge(tx: Transaction, id_: int, act: journal.Act, at: datetime) -> bool:
    """Somebody sees to it: no reminder and no escalation from now on. False when it does not last, or is known."""
    still = (alarm.c.id == id_, lasts, alarm.c.raised_at.is_not(None), alarm.c.acknowledged_at.is_(None))
    values = {"acknowledged_at": at, "acknowledged_by": act.by, "acknowledged_why": act.why}
    if not await tx.run(sa.update(alarm).where(*still).values(**values)):
        return False
    waiting = (alarm_notice.c.alarm_id == id_, alarm_notice.c.told_at.is_(None))
    await tx.run(sa.delete(alarm_notice).where(*waiting))
    entry = journal.Entry(kind="alarm-acknowledged", detail={"alarm": id_, "by": act.by, "why": act.why})
    await journal.append(tx, [entry], at)
    return True


async def order(tx: Transaction, notices: Sequence[Notice], at: datetime) -> None:
    """Each is told once, however often it is ordered."""
    rows = [
        {
            "alarm_id": notice.alarm_id,
            "occasion": notice.occasion.value,
            "turn": notice.turn,
            "channel": notice.channel.value,
            "due_at": at,
        }
        for notice in notices
    ]
    await tx.run(tx.insert(alarm_notice).on_conflict_do_nothing(), rows)


async def due(tx: Transaction, at: datetime) -> list[DueNotice]:
    """What is to be told now, in the order in which it came about."""
    waits = (alarm_notice.c.told_at.is_(None), alarm_notice.c.due_at <= at)
    rows = await tx.all(sa.select(alarm_notice).where(*waits).order_by(alarm_notice.c.due_at, alarm_notice.c.alarm_id))
    found = await _alarms(tx, sa.select(alarm).where(alarm.c.id.in_({row.alarm_id for row in rows})))
    known = {one.id: one for one in found}
    return [
        DueNotice(
            notice=Notice(
                alarm_id=row.alarm_id,
                occasion=Occasion(row.occasion),
                turn=row.turn,
                channel=Channel(row.channel),
            ),
            alarm=known[row.alarm_id],
            attempts=row.attempts,
        )
        for row in rows
    ]


async def told(tx: Transaction, notices: Sequence[Notice], at: datetime) -> None:
    """It was taken by whoever passes it on."""
    for notice in notices:
        await tx.run(sa.update(alarm_notice).where(*_which(notice)).values(told_at=at))


async def put_off(tx: Transaction, notices: Sequence[Notice], until: datetime) -> None:
    """It could not be told now."""
    for notice in notices:
        later = {"due_at": until, "attempts": alarm_notice.c.attempts + 1}
        await tx.run(sa.update(alarm_notice).where(*_which(notice)).values(**later))


async def forget(tx: Transaction, cleared_before: datetime) -> None:
    """Drop alarms that were cleared before that."""
    old = sa.select(alarm.c.id).where(alarm.c.cleared_at < cleared_before)
    await tx.run(sa.delete(alarm_notice).where(alarm_notice.c.alarm_id.in_(old)))
    await tx.run(sa.delete(alarm).where(alarm.c.cleared_at < cleared_before))


def _which(notice: Notice) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        alarm_notice.c.alarm_id == notice.alarm_id,
        alarm_notice.c.occasion == notice.occasion.value,
        alarm_notice.c.turn == notice.turn,
        alarm_notice.c.channel == notice.channel.value,
    )


async def _alarms(tx: Transaction, statement: sa.Select[Any]) -> list[KeptAlarm]:
    rows = await tx.all(statement)
    heard = sa.select(alarm_notice.c.alarm_id, alarm_notice.c.channel).distinct()
    ids = {row.id for row in rows}
    pairs = await tx.all(heard.where(alarm_notice.c.alarm_id.in_(ids), alarm_notice.c.told_at.is_not(None)))
    return [
        KeptAlarm(**row._mapping, told=frozenset(Channel(pair.channel) for pair in pairs if pair.alarm_id == row.id))
        for row in rows
    ]
