"""Whether the register keeps those of its promises that no constraint can keep. Looks, and mends nothing."""

from datetime import datetime

from mailflow.jobs.examining import examine
from mailflow.jobs.sealing import seal
from mailflow.jobs.work import Due, Job, JobTerms
from mailflow.register import Register, Transaction, watching

JOURNAL = "journal-is-as-sealed"


async def _due(tx: Transaction, _terms: JobTerms, _at: datetime) -> Due:
    """What was found the last time: to look reads whole tables."""
    found = await watching.broken(tx)
    names = tuple(f"{name}: {times}" for name, times in found.items() if times)
    return Due(count=sum(found.values()), examples=names)


async def _step(register: Register, terms: JobTerms, at: datetime) -> int:
    await seal(register, terms, at)
    async with register.read() as tx:
        found = await watching.count_broken(tx)
    found[JOURNAL] = 0
    async for _ in examine(register, terms.notary, at):
        found[JOURNAL] += 1
    async with register.begin() as tx:
        await watching.keep_broken(tx, found, at)
    return 0


AUDIT = Job(
    name="audit",
    what="Seal the journal, and count where the register breaks its promises; due is what was found the last time.",
    due=_due,
    step=_step,
)
