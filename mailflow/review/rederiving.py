"""Reading accepted mails again, each with its evidence, and holding them against what is on record.

The evidence is verified with the trust of then (`review.archive`); what the mail says is read by `review.recounting`,
which shares nothing with the code that decided. Mails that no key at hand opens are passed over.
"""

from collections.abc import Sequence

from mailflow.core.promises import Doubt, Promise
from mailflow.mail.kinds import ANSWER
from mailflow.register import Register, Transaction, issued
from mailflow.register.evidence import Period
from mailflow.register.vault import SealBroken
from mailflow.review import recounting
from mailflow.review.archive import Archive, Checked
from mailflow.review.recounting import Made, Record


async def rederive(register: Register, archive: Archive, intakes: Sequence[int]) -> list[Doubt]:
    """Every promise that was not kept with one of these mails. Raises Unavailable, Misconfigured."""
    doubts: list[Doubt] = []
    async for checked in archive.check(Period(), intakes):
        doubts += [
            Doubt(intake=checked.intake, promise=Promise.PROVEN, about=str(finding)) for finding in checked.findings
        ]
        if checked.signed is not None:
            doubts += await _held_against(register, checked, checked.signed)
    return doubts


async def _held_against(register: Register, checked: Checked, content: bytes) -> list[Doubt]:
    async with register.read() as tx:
        record = await _record(tx, checked.intake)
    return [
        Doubt(intake=checked.intake, promise=promise, about=about)
        for promise, about in recounting.broken(content, record)
    ]


async def _record(tx: Transaction, intake: int) -> Record:
    known = await issued.of_mail(tx, intake, ANSWER)
    order = None if known.order is None else recounting.read_order(known.order)
    files = order.files if order else ()
    named = {one.number for file in files for one in file.outcomes if one.number}
    records = sorted({file.record for file in files if file.record})
    try:
        returned = await issued.returned(tx, records)
    except SealBroken:
        returned = {}
    made = await issued.numbers(tx, intake, named)
    return Record(
        intake=intake,
        sender=known.sender,
        proven=known.proven,
        order=order,
        recipients=known.recipients,
        address=known.address,
        is_frozen=known.is_frozen,
        returned=returned,
        made={
            one.number: Made(record=one.record, position=one.position, intake=one.intake, desk=one.desk) for one in made
        },
    )
