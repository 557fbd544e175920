"""What each sender has used of its budgets, and the turns of the mails that are beyond them.

A mail is counted once, in the transaction that would have decided it: whoever decides mails of the same sender at that
moment waits for this one. What is put off stays in the queue and comes again by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from mailflow.core.model import SenderCode
from mailflow.core.rates import Account, Budget, Load, Rates, Turn
from mailflow.register.blame import REFUNDED
from mailflow.register.tables import intake, sender, spending
from mailflow.register.transaction import LeaseLost, Transaction, batches


class Beyond(StrEnum):
    """Why a mail waits for its turn, as the intake has it."""

    RATE = "rate"
    """It is answered in time all the same."""
    RATE_LATE = "rate_late"
    """Its sender's budget of a day lets it wait so long that its deadline is in danger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A mail of a proven sender that was not counted yet."""

    intake: int
    sender: str
    load: Load
    received_at: datetime
    no_later: datetime
    """Beyond which no budget of an hour lets it wait."""


async def take_turns(tx: Transaction, asked: Sequence[Asked], rates: Rates, at: datetime) -> dict[int, Turn]:
    """Count these mails, in the order in which they were received; the turns of those that have to wait.

    `rates` are for whoever has none of their own. Those senders are locked until the transaction ends.
    """
    if not asked:
        return {}
    codes = sorted({one.sender for one in asked})
    columns = (*spending.c, *(sender.c[budget.value].label(f"rate_{budget}") for budget in Budget))
    of_these = sa.select(*columns).join(sender, sender.c.code == spending.c.sender).where(spending.c.sender.in_(codes))
    locked = of_these.order_by(spending.c.sender).with_for_update(of=spending)
    accounts: dict[str, Account] = {}
    for row in await tx.all(locked):
        values = row._mapping
        own = {budget: values[f"rate_{budget}"] or rates[budget] for budget in Budget}
        accounts[row.sender] = Account(own, {budget: values[budget.value] for budget in Budget}, at)
    turns: dict[int, Turn] = {}
    for one in sorted(asked, key=lambda one: (one.received_at, one.intake)):
        turn = accounts[one.sender].count(one.load, one.no_later)
        if turn is not None:
            turns[one.intake] = turn
    ours = sa.update(spending).where(spending.c.sender == sa.bindparam("b_sender"))
    used = ours.values(
        {budget.value: sa.bindparam(f"b_{budget}", type_=spending.c[budget.value].type) for budget in Budget}
    )
    await tx.run(
        used, [{"b_sender": code, **{f"b_{b}": at for b, at in accounts[code].spent.items()}} for code in codes]
    )
    return turns


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """A mail that is beyond its sender's rates."""

    intake: int
    sender: str
    turn: Turn
    why: Beyond


async def put_off(tx: Transaction, owner: str, mails: Sequence[PutOff]) -> None:
    """Let mails that are leased to `owner` wait for their turns. It is no attempt at them. Raises LeaseLost."""
    rows = [
        {
            "b_id": one.intake,
            "b_sender": one.sender,
            "b_at": one.turn.at,
            "b_reason": one.why.value,
            "b_detail": one.turn.budget.value,
        }
        for one in mails
    ]
    at: sa.BindParameter[datetime] = sa.bindparam("b_at", type_=intake.c.turn_at.type)
    ours = sa.update(intake).where(
        intake.c.id == sa.bindparam("b_id"), intake.c.lease_owner == owner, intake.c.next_at.is_not(None)
    )
    waits = ours.values(
        sender=sa.bindparam("b_sender"),
        turn_at=at,
        next_at=at,
        reason=sa.bindparam("b_reason"),
        detail=sa.bindparam("b_detail"),
        attempts=REFUNDED,
        lease_owner=None,
        lease_until=None,
    )
    if await tx.run(waits, rows) != len(rows):
        raise LeaseLost("a mail is no longer ours to put off")


async def begin_anew(tx: Transaction, code: SenderCode, at: datetime) -> None:
    """Other rates hold: nothing of them is used, and the mails that wait for their turn get another one."""
    of_sender = spending.c.sender == code
    await tx.all(sa.select(spending.c.sender).where(of_sender).with_for_update())
    await tx.run(sa.update(spending).where(of_sender).values(dict.fromkeys(map(str, Budget))))
    waits = sa.select(intake.c.id).where(
        intake.c.turn_at.is_not(None), intake.c.sender == code, intake.c.next_at > at, intake.c.lease_owner.is_(None)
    )
    now: dict[str, Any] = {"turn_at": None, "next_at": at, "reason": None, "detail": None}
    for batch in batches([row.id for row in await tx.all(waits.with_for_update(skip_locked=True))]):
        await tx.run(sa.update(intake).where(tx.among(intake.c.id, batch)).values(**now))


async def endangered(tx: Transaction, at: datetime) -> dict[str, int]:
    """How many mails of each sender wait for a turn that comes too late for their deadline."""
    statement = (
        sa.select(intake.c.sender, sa.func.count().label("mails"))
        .where(intake.c.turn_at.is_not(None), intake.c.next_at > at, intake.c.reason == Beyond.RATE_LATE.value)
        .group_by(intake.c.sender)
    )
    return {row.sender: row.mails for row in await tx.all(statement)}
