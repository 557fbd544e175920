"""Certificates of senders that end soon: the sender is told, once for each certificate and day of announcement."""

from datetime import datetime

from mailflow.core.canary import CANARY_SENDER
from mailflow.core.expiry import Ending, announced, endings
from mailflow.jobs.orders import CERTIFICATE_ENDING, CERTIFICATE_ENDINGS, CertificateEnding
from mailflow.jobs.work import BATCH, EXAMPLES, Due, Job, JobTerms
from mailflow.register import Register, Transaction, directory, journal, outbox, queues


async def _unannounced(tx: Transaction, terms: JobTerms, at: datetime) -> dict[str, Ending]:
    """By the key of the order. Of announcements that a stop has missed only the nearest is made up for.

    The canary's own is the operator's, whom an alarm tells.
    """
    found = {
        f"{one.certificate.fingerprint}:{days}": one
        for one in endings(await directory.list_senders(tx), terms.validity, at)
        if one.sender.code != CANARY_SENDER and one.ends > at and (days := announced(one.ends, at)) is not None
    }
    known = await queues.ordered(tx, CERTIFICATE_ENDING, list(found))
    return {key: one for key, one in found.items() if key not in known}


async def _due(tx: Transaction, terms: JobTerms, at: datetime) -> Due:
    found = list((await _unannounced(tx, terms, at)).values())
    named = tuple(f"{one.sender.code} {one.certificate.fingerprint[:16]}" for one in found[:EXAMPLES])
    return Due(count=len(found), examples=named)


async def _announce(register: Register, terms: JobTerms, at: datetime) -> int:
    async with register.begin() as tx:
        found = dict(list((await _unannounced(tx, terms, at)).items())[:BATCH])
        await outbox.queue(tx, [_draft(key, one, terms, at) for key, one in found.items()], at)
        entries = [
            journal.Entry(kind="certificate-end-announced", sender=one.sender.code, detail={"order": key})
            for key, one in found.items()
        ]
        await journal.append(tx, entries, at)
    return len(found)


def _draft(key: str, ending: Ending, terms: JobTerms, at: datetime) -> outbox.Draft:
    order = CertificateEnding(sender=ending.sender.code, certificate=ending.certificate.der, uses=ending.uses)
    return outbox.Draft(
        kind=CERTIFICATE_ENDING,
        key=key,
        intake_id=None,
        recipient=ending.sender.answer_address,
        domain=terms.domain,
        dated_at=at,
        payload=CERTIFICATE_ENDINGS.dump_json(order),
    )


CERTIFICATES = Job(
    name="certificates",
    what="Tells senders, by mail, which certificate ends in 60, 30 or 7 days with none enrolled to follow it.",
    due=_due,
    step=_announce,
)
