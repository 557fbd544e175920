"""How the queue stands, read from the register: one unchanging view, few statements, each from an index."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from mailflow.ops.alarms import is_known
from mailflow.ops.forecast import WINDOW
from mailflow.ops.outlook import Outlook, bounds, outlook
from mailflow.ops.snapshot import Queues
from mailflow.register import Transaction, acts, alarms, backlog, canary, issuing, queues, rates, successors, watching

SUCCESSOR_SHOWN = timedelta(days=3)
"""How long operators see a certificate that was enrolled: by their own word, or without it."""


async def read_outlook(
    tx: Transaction, answer: str, at: datetime, *, deadline: timedelta, percents: Sequence[int]
) -> Outlook:
    """The outlook `at`. `answer` is the kind of outgoing mails that the deadline is for. Raises Unavailable."""
    limits = bounds(at, deadline, percents)
    waiting = [
        *await backlog.undecided(tx, at, limits),
        *await backlog.unsent(tx, answer, limits),
        *await backlog.kept_back(tx, limits, acts.OWED),
    ]
    return outlook(
        waiting,
        await backlog.finished(tx, answer, at - WINDOW),
        await backlog.taken_in_at(tx, at),
        at,
        deadline,
        percents,
        await issuing.read(tx),
    )


async def read_queues(
    tx: Transaction, answer: str, at: datetime, *, deadline: timedelta, percents: Sequence[int]
) -> Queues:
    """All that the register tells operators at once. Raises Unavailable."""
    return Queues(
        outlook=await read_outlook(tx, answer, at, deadline=deadline, percents=percents),
        states=await queues.counts(tx),
        set_aside=await backlog.set_aside_reasons(tx),
        held=await backlog.held_reasons(tx),
        beyond_rates=await rates.endangered(tx, at),
        successors=tuple(
            (one.sender, one.successor.fingerprint) for one in await successors.listed(tx, since=at - SUCCESSOR_SHOWN)
        ),
        broken=await watching.broken(tx),
        canary=tuple(await canary.standing(tx)),
        alarms=tuple(one for one in await alarms.lasting(tx) if one.raised_at and is_known(one.code)),
    )
