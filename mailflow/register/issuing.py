"""The switch: whether unique numbers, and numbers of dispatches, are given, by any worker on any host.

Whoever gives a number holds the switch until its transaction ends, together with others that give numbers. Whoever
stops writes first, so that what begins from then on gives none, and then waits until all that held it before are over.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.waiting import Stop
from mailflow.errors import Unavailable
from mailflow.register import gates, journal
from mailflow.register.gates import Gate
from mailflow.register.tables import intake, issuing
from mailflow.register.transaction import Register, Transaction
from mailflow.register.types import IntakeState

WAITS = "stopped"
"""Reason of a mail that waits until numbers are given again."""
SERVICE = "the service"
"""Who has stopped them because the register is behind its mailboxes: nobody did. No user of a machine is named so."""


class Behind(Unavailable):
    """The register lacks what was decided before: whatever it would decide now might contradict it."""


class NumbersStopped(Unavailable):
    """No number is given now. Nothing is wrong with who asked."""

    def __init__(self) -> None:
        super().__init__("no numbers are given now; `mailflow queue` says why")


async def read(tx: Transaction) -> Stop | None:
    """Since when, by whom and why no numbers are given; None while they are. For whoever looks only."""
    columns = (issuing.c.stopped_at, issuing.c.stopped_by, issuing.c.stopped_why)
    ((at, by, why),) = await tx.all(sa.select(*columns).where(issuing.c.id == 1))
    return None if at is None else Stop(at=at, by=by, why=why)


async def is_whole(tx: Transaction) -> bool:
    """Whether anything may be decided: not until somebody resumes, once the register was found behind its mailboxes.

    A mail that was taken in then would bear the number of one that was lost, and its answer that one's Message-ID; a
    change would be decided before the creation that it is about has come back.
    """
    stop = await read(tx)
    return stop is None or stop.by != SERVICE


async def require_whole(tx: Transaction) -> None:
    """Likewise. Raises Behind."""
    if not await is_whole(tx):
        raise Behind("the register is behind its mailboxes; see mailflow restore")


async def hold(tx: Transaction) -> Stop | None:
    """Likewise; and while they are given nobody has stopped them until this transaction ends.

    Comes before all that others may wait for, but the enrolments: who waits here holds no rows.
    """
    await gates.hold(tx, Gate.NUMBERS)
    columns = (issuing.c.stopped_at, issuing.c.stopped_by, issuing.c.stopped_why, issuing.c.reserved)
    ((at, by, why, tx.reserved),) = await tx.all(sa.select(*columns).where(issuing.c.id == 1))
    tx.may_number = at is None
    return None if at is None else Stop(at=at, by=by, why=why)


async def require_open(tx: Transaction) -> None:
    """Raises NumbersStopped. Whatever gives a number passes here."""
    if not tx.may_number and await hold(tx) is not None:
        raise NumbersStopped


async def stop(register: Register, act: journal.Act, at: datetime) -> Stop | None:
    """Have no number given from now on: none is any more when this returns. Who had stopped them before, if somebody.

    The service's own stop takes the place of somebody else's, which said less. Raises Unavailable: when it did only in
    waiting for a transaction from before, `read` tells that it is stopped.
    """
    async with register.begin() as tx:
        await tx.all(sa.select(issuing.c.id).with_for_update())  # of several workers that look back at once one stops
        before = await read(tx)
        if before is None or before.by != SERVICE == act.by:
            await tx.run(sa.update(issuing).values(stopped_at=at, stopped_by=act.by, stopped_why=act.why))
            await journal.append(tx, [_entry("numbers-stopped", act)], at)
    async with register.begin() as tx:
        await gates.have_alone(tx, Gate.NUMBERS)
    return before


async def resume(tx: Transaction, act: journal.Act, at: datetime, *, seen: Stop | None = None) -> bool:
    """Have numbers given again; mails that wait for it are due at once. False when they are given already.

    `seen`: the stop that is to be undone, and no other, of which whoever decided to go on did not know. Raises
    Unavailable.
    """
    await gates.have_alone(tx, Gate.NUMBERS)  # so that nobody puts off a mail for a stop that is over
    stopped = await read(tx)
    if stopped is None:
        return False
    if seen is not None and stopped != seen:
        raise Unavailable(f"numbers were stopped once more meanwhile, by {stopped.by}: {stopped.why}; look again")
    await tx.run(sa.update(issuing).values(stopped_at=None, stopped_by=None, stopped_why=None))
    await journal.append(tx, [_entry("numbers-resumed", act)], at)
    due: dict[str, Any] = {"next_at": at, "reason": None}
    await tx.run(sa.update(intake).where(*_waiting, intake.c.lease_owner.is_(None)).values(**due))
    return True


async def waiting(tx: Transaction) -> int:
    """How many mails wait until numbers are given again."""
    (row,) = await tx.all(sa.select(sa.func.count().label("mails")).select_from(intake).where(*_waiting))
    return int(row.mails)


_waiting = (intake.c.next_at.is_not(None), intake.c.state == IntakeState.RECEIVED.value, intake.c.reason == WAITS)


def _entry(kind: str, act: journal.Act) -> journal.Entry:
    return journal.Entry(kind=kind, detail={"by": act.by, "why": act.why})
