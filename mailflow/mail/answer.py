"""What the answer to a mail says: text, `RET` and `RGE` files, receipt; and which attestations go along. Pure."""

from collections.abc import Collection, Mapping

from mailflow.core import numbers
from mailflow.core.model import Door, Environment, Registered
from mailflow.mail import wording
from mailflow.mail.letter import Addressee, Attachment, Automatic, Due, Letter, Letterhead
from mailflow.mail.model import Reply
from mailflow.wire.acknowledgement import write_receipt
from mailflow.wire.names import attestation_name, return_name
from mailflow.wire.questions import write_answers
from mailflow.wire.writer import write_return

XML = "application/xml"


def write(reply: Reply, letterhead: Letterhead, returned: Mapping[str, bytes]) -> Letter:
    """The letter that tells `reply`. `returned`: `RET` files that were frozen with an earlier answer."""
    returns: dict[str, bytes] = {}
    attachments = []
    for file in reply.files:
        octets = returned.get(file.record or "")
        if octets is None:
            octets = write_return(file, environment=letterhead.environment)
            if file.record is not None:
                returns[file.record] = octets
        attachments.append(Attachment(name=return_name(file.file.name), content=octets, content_type=XML))
    for asked in reply.questions:
        octets = write_answers(asked, environment=letterhead.environment)
        attachments.append(Attachment(name=return_name(asked.file.name), content=octets, content_type=XML))
    receipt = Attachment(
        name=f"accuse-{reply.intake}.xml", content=_receipt(reply, letterhead.environment), content_type=XML
    )
    context = reply.context
    return Letter(
        to=Addressee(
            sender=context.sender, certificate=context.encrypt_to, legacy_encryption=context.legacy_encryption
        ),
        subject=wording.subject(reply.intake),
        text=wording.answer_text(reply, letterhead.contact),
        automatic=Automatic.REPLIED,
        in_reply_to=context.message_id,
        attachments=(*attachments, receipt),
        returns=tuple(returns.items()),
    )


def records(reply: Reply) -> Collection[str]:
    """The files that `reply` is about and that bound their names."""
    return [file.record for file in reply.files if file.record]


def attestations(reply: Reply) -> list[Due]:
    """One for each creation and renewal, in the order of the requests; a repeat has them again."""
    return [
        Due(
            name=attestation_name(file.file.name, numbers.parse(outcome.number).sequence),
            number=outcome.number,
            attested=outcome.attestation,
        )
        for file in reply.files
        for outcome in file.outcomes
        if isinstance(outcome, Registered) and outcome.attestation is not None
    ]


def _receipt(reply: Reply, environment: Environment) -> bytes:
    return write_receipt(
        intake=str(reply.intake),
        content_digest=reply.context.content_digest,
        received_at=reply.received_at,
        decided_at=reply.decided_at,
        signer=reply.context.signer,
        sender=reply.context.sender,
        door=Door.MAIL,
        environment=environment,
        anomalies=reply.anomalies,
        files=reply.files,
        questions=reply.questions,
    )
