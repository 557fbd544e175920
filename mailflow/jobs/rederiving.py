"""The independent audit: accepted mails are read again, and what should have come of them is held against the record.

A run has its bound, so that the other jobs of the day have their turn, and the next run, which soon follows, goes on:
until all that was decided is read again, however much that is. A mail that a promise was not kept with is read again
in every run, until it agrees or is erased.
"""

import logging
from datetime import datetime, timedelta

from mailflow.jobs.work import BATCH, Due, Job, JobTerms
from mailflow.log import event
from mailflow.register import Register, Transaction, evidence, issued
from mailflow.register.evidence import Period
from mailflow.register.issued import Position

MAILS_A_RUN = 20_000
"""What an hour is enough for: no other job waits longer for this one."""
SETTLED = timedelta(hours=1)
"""Mails that were decided later wait for another run: their answers may not be composed yet."""

log = logging.getLogger(__name__)


async def _due(tx: Transaction, _terms: JobTerms, at: datetime) -> Due:
    doubted = await issued.doubted(tx)
    return Due(count=await issued.due(tx, at - SETTLED), examples=tuple(f"doubted: intake {id_}" for id_ in doubted))


async def _step(register: Register, terms: JobTerms, at: datetime) -> int:
    async with register.read() as tx:
        reached = await issued.position(tx)
        begins = reached.night != at
        mails = 0 if begins else reached.mails
        again = await issued.doubted(tx) if begins else []
        limit = min(BATCH, MAILS_A_RUN - mails)
        if limit > 0:
            page, end = await evidence.acceptances(tx, Period(until=at - SETTLED), (), reached.entry, limit)
        else:
            page, end = [], 0
    entry = max([reached.entry, end, *(one.entry for one in page)])
    examined = sorted({*again, *(one.intake for one in page)})
    if not (begins or examined or entry != reached.entry):
        return 0
    doubts = await terms.examine(register, examined) if examined else ()
    async with register.begin() as tx:
        to = Position(entry=entry, night=at, mails=mails + len(page))
        await issued.keep(tx, examined, doubts, to, at)
    for one in doubts:
        event(log, "doubted", level=logging.ERROR, intake=one.intake, promise=one.promise, about=one.about)
    return len(examined) or int(entry != reached.entry)


async def _goes_on(tx: Transaction) -> bool:
    return (await issued.position(tx)).mails >= MAILS_A_RUN


REDERIVE = Job(
    name="rederive",
    what="Read accepted mails again by other means, and hold what they should have brought about against the record.",
    due=_due,
    step=_step,
    goes_on=_goes_on,
)
