"""Who is to blame when mails fail, each alone: they, or their surroundings, that all of them need.

Attempts are counted before they begin, so that a mail that kills its worker runs out of them. What the surroundings
ended was none, and what befalls one mail after the other is hardly their fault: memory is short, say, or an upgrade is
broken. Both are told from the register, which outlives a worker and is the same for all of them.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile

import sqlalchemy as sa

from mailflow.core.anomalies import Code
from mailflow.register.clocks import APART_MAX
from mailflow.register.tables import intake
from mailflow.register.transaction import Transaction
from mailflow.register.types import IntakeState

FAULTS_IN_A_ROW_MAX = 10
"""So many mails are set aside by faults of ours with none decided between. The others wait, and are tried again."""
REFUNDED = sa.case((intake.c.attempts > 0, intake.c.attempts - 1), else_=0)
"""Of the attempts: the last one was none, since the mail was not to blame."""
UNDONE = sa.case((intake.c.solo.is_(True), REFUNDED), else_=intake.c.attempts)
"""Likewise, where some mails may be leased with others: those were not counted."""


async def allowance(tx: Transaction, at: datetime) -> int:
    """How many more mails may be set aside by faults of ours, of FAULTS_IN_A_ROW_MAX, until one is decided.

    Workers that ask at once do not see each other's: together they may set aside one more each. What was settled by a
    clock that was ahead tells nothing: it would be the latest until that time has come.
    """
    latest = (
        sa.select(intake.c.state, intake.c.reason)
        .where(intake.c.raw.is_not(None), intake.c.settled_at <= at + APART_MAX)  # as its index has it, newest first
        .order_by(intake.c.settled_at.desc(), intake.c.id.desc())
        .limit(FAULTS_IN_A_ROW_MAX)
    )
    fault = (IntakeState.SET_ASIDE.value, Code.INTERNAL_FAULT.value)
    in_a_row = takewhile(lambda row: (row.state, row.reason) == fault, await tx.all(latest))
    return FAULTS_IN_A_ROW_MAX - sum(1 for _ in in_a_row)


async def refund(tx: Transaction, attempts: Mapping[int, int]) -> None:
    """These attempts, the how manieth by mail, were none, whoever has the mail by now.

    Nothing is taken off a mail that is decided, nor when so many are not counted any more: another has given it back.
    """
    for id_, attempt in attempts.items():
        counted = sa.update(intake).where(intake.c.id == id_, intake.c.attempts >= attempt)
        await tx.run(counted.where(intake.c.settled_at.is_(None)).values(attempts=intake.c.attempts - 1))
