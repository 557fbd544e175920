"""Content keys that a former master key wraps are wrapped by the current one: row by row, while everybody works."""

from datetime import datetime

from mailflow.jobs.work import BATCH, Due, Job, JobTerms
from mailflow.register import Register, Transaction, masters


async def _due(tx: Transaction, _terms: JobTerms, _at: datetime) -> Due:
    async with tx.keys.read() as store:
        former = [master for master in await masters.known(store) if master.wraps and not master.current]
    return Due(
        count=sum(master.wraps for master in former),
        examples=tuple(f"{master.wraps} wrapped by {master.name}" for master in former),
    )


async def _step(register: Register, _terms: JobTerms, _at: datetime) -> int:
    async with register.keys.begin() as store:
        return await masters.rewrap(store, register.vault, BATCH)


REWRAP = Job(
    name="rewrap",
    what="Wraps content keys anew by the current master key, so that former ones can be removed.",
    due=_due,
    step=_step,
)
