"""Retention: the octets of mails that are done with go after a while; names and digests stay."""

from datetime import datetime

from mailflow.jobs.work import BATCH, EXAMPLES, Due, Job, JobTerms
from mailflow.register import Register, Transaction, retention


async def _due(tx: Transaction, terms: JobTerms, at: datetime) -> Due:
    before = at - terms.retention
    return Due(
        count=sum(await retention.count_due(tx, before)),
        examples=tuple(f"intake {id_}" for id_ in await retention.intakes_due(tx, before, EXAMPLES)),
    )


async def _step(register: Register, terms: JobTerms, at: datetime) -> int:
    before = at - terms.retention
    async with register.begin() as tx:
        erased = await retention.erase_intakes(tx, before, BATCH, at)
        return erased + await retention.erase_own_mails(tx, before, BATCH, at)


RETENTION = Job(
    name="retention",
    what="Erases mails and answers that are done with; digests, names and instants stay.",
    due=_due,
    step=_step,
)
