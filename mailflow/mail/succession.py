"""What becomes of a certificate that a proven mail offers, and who is told: in the transaction that decides it."""

from datetime import datetime

from mailflow.core.model import CertificateUse, EnrolledSender, SenderCode
from mailflow.core.succession import Succession, Successor, SuccessorReceipt
from mailflow.mail.kinds import KINDS, SUCCESSION
from mailflow.mail.model import SuccessionNotice
from mailflow.register import Transaction, directory, outbox, successors
from mailflow.register.directory import Change


async def receive(
    tx: Transaction,
    code: SenderCode,
    offered: Successor,
    *,
    intake_id: int,
    at_once: bool,
    domain: str,
    at: datetime,
) -> SuccessorReceipt:
    """Keep it, or enrol it when the settings say so; all contacts of its sender are told, once."""
    became, new = await successors.offer(tx, code, offered, intake_id, at)
    if new and at_once:
        await successors.enrol(tx, code, offered.fingerprint, Change(by="mail", why=f"intake {intake_id}", at=at))
        became = Succession.ENROLLED
    receipt = SuccessorReceipt(successor=offered, became=became)
    if new:
        await announce(tx, code, receipt, domain, at)
    return receipt


async def announce(tx: Transaction, code: SenderCode, receipt: SuccessorReceipt, domain: str, at: datetime) -> None:
    """Order a mail to each address of the sender: of those from which it writes, and the one for answers."""
    (sender,) = [one for one in await directory.list_senders(tx) if one.code == code]
    notice = SuccessionNotice(sender=code, receipt=receipt, encrypt_to=_former(sender, receipt.successor.follows))
    drafts = [
        outbox.Draft(
            kind=SUCCESSION,
            key=f"{code}:{receipt.successor.fingerprint}:{receipt.became}:{number}",
            intake_id=None,
            recipient=address,
            domain=domain,
            dated_at=at,
            payload=KINDS[SUCCESSION].order.dump_json(notice),
        )
        for number, address in enumerate(sorted({sender.answer_address, *sender.addresses}), start=1)
    ]
    await outbox.queue(tx, drafts, at)


def _former(sender: EnrolledSender, fingerprint: str) -> bytes | None:
    known = (c for c in sender.certificates if c.fingerprint == fingerprint and c.use is CertificateUse.ENCRYPT)
    return next((c.der for c in known), None)
