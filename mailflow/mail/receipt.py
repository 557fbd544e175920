"""What a technical receipt says: a mail is here, its sender is known, the answer follows. Pure."""

from collections.abc import Mapping

from mailflow.core.model import Door
from mailflow.mail import wording
from mailflow.mail.letter import Addressee, Attachment, Automatic, Letter, Letterhead
from mailflow.mail.model import TechnicalReceipt
from mailflow.wire.acknowledgement import write_reception


def write(order: TechnicalReceipt, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """The letter; it tells nothing of what becomes of the mail, because nothing is decided."""
    mail = order.recognised
    context = mail.reply
    reception = write_reception(
        intake=str(mail.intake),
        environment=letterhead.environment,
        door=Door.MAIL,
        sender=context.sender,
        signer=context.signer,
        content_digest=context.content_digest,
        received_at=order.received_at,
        deadline_at=order.deadline_at,
        files=[(file.name, file.digest) for file in mail.files],
    )
    return Letter(
        to=Addressee(
            sender=context.sender, certificate=context.encrypt_to, legacy_encryption=context.legacy_encryption
        ),
        subject=wording.receipt_subject(mail.intake),
        text=wording.receipt_text(order, letterhead.contact),
        automatic=Automatic.REPLIED,
        in_reply_to=context.message_id,
        attachments=(
            Attachment(name=f"accuse-technique-{mail.intake}.xml", content=reception, content_type="application/xml"),
        ),
    )
