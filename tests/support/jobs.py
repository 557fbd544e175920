"""Jobs at work on a register, and what they order, opened."""

import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from mailflow.core.model import Environment
from mailflow.core.promises import Doubt
from mailflow.jobs.orders import DISPATCH, DISPATCHES, NOTICE, NOTICES, Dispatch, Notice
from mailflow.jobs.work import Due, Job, JobTerms, run
from mailflow.mail.trust.expiry import validity
from mailflow.register import Register, outbox
from tests.support.keys import notary
from tests.support.records import ROOMY


async def nothing_to_doubt(_register: Register, _intakes: Sequence[int]) -> list[Doubt]:
    """For registers whose mails no door has accepted."""
    return []


TERMS = JobTerms(
    environment=Environment.PRODUCTION,
    domain="service.test",
    notice=timedelta(days=45),
    retention=timedelta(days=90),
    notary=notary("service"),
    validity=validity,
    examine=nothing_to_doubt,
)
LONG_AFTER = datetime(2099, 1, 1, tzinfo=UTC)
ADAPTERS: dict[str, TypeAdapter[Any]] = {NOTICE: NOTICES, DISPATCH: DISPATCHES}


def night(day: date | str) -> datetime:
    """When the jobs of a day run."""
    return datetime.combine(date.fromisoformat(str(day)), datetime.min.time(), UTC) + timedelta(hours=3)


async def do(register: Register, job: Job, day: date | str, terms: JobTerms = TERMS) -> int:
    """Do what is due on a day."""
    return await run(register, job, terms, night(day))


async def due(register: Register, job: Job, day: date | str, terms: JobTerms = TERMS) -> Due:
    """Preview."""
    async with register.read() as tx:
        return await job.due(tx, terms, night(day))


async def ordered(register: Register, at: datetime = LONG_AFTER) -> list[tuple[str, Notice | Dispatch]]:
    """The mails ordered since the last call, as (recipient, order), sent away."""
    lease = at + timedelta(minutes=1)
    async with register.begin() as tx:
        queued = await outbox.claim_queued(tx, "me", 10_000, at, lease)
        octets = outbox.Octets
        await outbox.freeze(
            tx, {mail.id: [octets(message_id=mail.message_id, raw=b"mail", body_digest="digest")] for mail in queued}
        )
    async with register.begin() as tx:
        composed = await outbox.claim_composed(tx, "me", 10_000, at, lease, size_bytes_max=ROOMY)
        ids = [mail.id for mail in composed]
        await outbox.mark_sending(tx, "me", ids, at)
        await outbox.mark_sent(tx, ids, at)
    return [(mail.recipient, ADAPTERS[mail.kind].validate_json(mail.payload)) for mail in queued]


def file_of(order: Dispatch) -> bytes:
    """The `DIS` file."""
    return zlib.decompress(order.content)
