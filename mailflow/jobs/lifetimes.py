"""The days of a request: the notice before its last one, its end after it, its erasure a year later."""

from collections import defaultdict
from datetime import datetime

from mailflow.core.calendar import a_year_before, legal_day
from mailflow.core.model import EnrolledSender
from mailflow.core.numbers import DeskCode
from mailflow.jobs.orders import NOTICE, NOTICES, Notice
from mailflow.jobs.recipients import desks_to_tell
from mailflow.jobs.work import BATCH, EXAMPLES, Due, Job, JobTerms
from mailflow.register import Register, Transaction, deadlines, directory, journal, outbox
from mailflow.register.deadlines import Ending
from mailflow.registrar import ending

READ_AHEAD = 20_000
"""Requests that are looked at together, so that a desk gets one mail a day."""


# Notice: `jobs.notice_days` before the last day, one mail for each desk and day


async def _notices_due(tx: Transaction, terms: JobTerms, at: datetime) -> Due:
    today = legal_day(at)
    which = deadlines.unnoticed(today, today + terms.notice)
    return Due(count=await deadlines.count(tx, which), examples=tuple(await deadlines.first(tx, which, EXAMPLES)))


async def _give_notice(register: Register, terms: JobTerms, at: datetime) -> int:
    """Desks that nobody acts for are left: they are told when somebody does."""
    today = legal_day(at)
    by_desk: dict[DeskCode, list[Ending]] = defaultdict(list)
    async with register.read() as tx:
        senders = desks_to_tell(await directory.read(tx), today)
        which = deadlines.unnoticed(today, today + terms.notice, senders)
        for one in await deadlines.endings(tx, which, READ_AHEAD):
            by_desk[one.desk].append(one)
    done = 0
    for desk, found in sorted(by_desk.items()):
        for start in range(0, len(found), BATCH):
            async with register.begin() as tx:
                done += await _tell(tx, senders[desk], found[start : start + BATCH], terms, at)
    return done


async def _tell(tx: Transaction, sender: EnrolledSender, found: list[Ending], terms: JobTerms, at: datetime) -> int:
    told = await deadlines.notice(tx, found)
    if not told:
        return 0
    first, desk = told[0], told[0].desk
    order = Notice(sender=sender.code, desk=desk, requests=tuple((one.number, one.expires_on) for one in told))
    draft = outbox.Draft(
        kind=NOTICE,
        # With the instant: a register that has gone back may tell of others beside it, and not as a copy.
        key=f"{first.number}:{first.expires_on}:{at.isoformat()}",
        intake_id=None,
        recipient=sender.answer_address,
        domain=terms.domain,
        dated_at=at,
        payload=NOTICES.dump_json(order),
    )
    await outbox.queue(tx, [draft], at)
    entries = [
        journal.Entry(
            kind="notice-ordered",
            number=one.number,
            sender=sender.code,
            desk=desk,
            detail={"expires_on": one.expires_on.isoformat(), "order": draft.key},
        )
        for one in told
    ]
    await journal.append(tx, entries, at)
    return len(told)


# Expiry: the day after the last day


async def _expiries_due(tx: Transaction, _: JobTerms, at: datetime) -> Due:
    which = deadlines.lapsed(legal_day(at))
    return Due(count=await deadlines.count(tx, which), examples=tuple(await deadlines.first(tx, which, EXAMPLES)))


async def _expire(register: Register, _: JobTerms, at: datetime) -> int:
    today = legal_day(at)
    async with register.begin() as tx:
        numbers = await deadlines.first(tx, deadlines.lapsed(today), BATCH)
        return len(await ending.end_lapsed(tx, numbers, today, at))


# Purge: a year after the end


async def _purges_due(tx: Transaction, _: JobTerms, at: datetime) -> Due:
    which = deadlines.erasable(a_year_before(legal_day(at)))
    return Due(count=await deadlines.count(tx, which), examples=tuple(await deadlines.first(tx, which, EXAMPLES)))


async def _purge(register: Register, _: JobTerms, at: datetime) -> int:
    async with register.begin() as tx:
        numbers = await deadlines.first(tx, deadlines.erasable(a_year_before(legal_day(at))), BATCH)
        erased = await deadlines.erase(tx, numbers)
        await journal.append(tx, [journal.Entry(kind="purged", number=number) for number in erased], at)
        return len(erased)


NOTICES_JOB = Job(
    name="notices",
    what="Tells desks, by mail, which of their requests end soon.",
    due=_notices_due,
    step=_give_notice,
)
EXPIRY = Job(
    name="expiry",
    what="Deregisters requests that were not renewed (RADREN), as of the day after their last.",
    due=_expiries_due,
    step=_expire,
)
PURGE = Job(
    name="purge",
    what="Erases personal data a year after deregistration; number, days and states stay.",
    due=_purges_due,
    step=_purge,
)
