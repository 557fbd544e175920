"""A key of the service follows another: on record and told to all senders, in one transaction."""

from datetime import datetime, timedelta

from mailflow.core.canary import CANARY_SENDER
from mailflow.core.model import EnrolledSender, Standing
from mailflow.core.service_keys import KeyUse, ServiceKey
from mailflow.jobs.orders import SERVICE_CERTIFICATE, SERVICE_CERTIFICATES, ServiceCertificate
from mailflow.register import Transaction, directory, journal, outbox, service_keys


async def stage(
    tx: Transaction, key: ServiceKey, der: bytes, act: journal.Act, *, domain: str, overlap: timedelta, at: datetime
) -> bool:
    """Have it serve from its time on, and order a mail with its certificate to each sender; whether that is new.

    Its file must be there: workers take it up by themselves. `overlap` is how long a former key still decrypts.
    """
    if not await service_keys.stage(tx, key, act, at):
        return False
    until = key.active_from + overlap if key.use is KeyUse.DECRYPTION else None
    drafts = [
        outbox.Draft(
            kind=SERVICE_CERTIFICATE,
            key=f"{key.fingerprint}:{key.use}:{sender.code}",
            intake_id=None,
            recipient=sender.answer_address,
            domain=domain,
            dated_at=at,
            payload=SERVICE_CERTIFICATES.dump_json(
                ServiceCertificate(
                    sender=sender.code,
                    certificate=der,
                    use=key.use,
                    active_from=key.active_from,
                    former_until=until,
                )
            ),
        )
        for sender in await directory.list_senders(tx)
        if is_told(sender)
    ]
    await outbox.queue(tx, drafts, at)
    return True


def is_told(sender: EnrolledSender) -> bool:
    """Whether it hears of our keys: who is suspended writes no mail to us, and the canary is ours."""
    return sender.standing is Standing.ACTIVE and sender.code != CANARY_SENDER
