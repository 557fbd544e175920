"""From the order in the outbox to a complete mail: text, `RET` files, receipt; signed, then encrypted. Pure.

Everything but the keys and randomness of the encryption follows from the order, so that a crash before the octets
are frozen costs nothing: they are composed again.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailflow.core.model import Door, Environment, SenderCode
from mailflow.mail import cms, entities, wording
from mailflow.mail.cms import SigningKey
from mailflow.mail.model import Answer, Reply
from mailflow.mail.trust import Trust
from mailflow.wire.acknowledgement import write_receipt
from mailflow.wire.names import return_name
from mailflow.wire.writer import write_return


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """One answer to be composed."""

    reply: Reply
    message_id: str
    dated_at: datetime
    returned: Mapping[str, bytes] = field(repr=False)
    """`RET` files that were frozen with an earlier answer, by the record of the file that they answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The answer, or why there can be none now."""

    answer: Answer | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Composes answers with the keys and enrolments of one generation."""

    trust: Trust
    signing_key: SigningKey
    archive: bytes | None
    """DER of the offline certificate that every answer is encrypted to as well."""
    service_name: str
    service_address: str
    contact: str
    """Whom a desk may call."""
    environment: Environment

    def compose(self, composition: Composition, at: datetime) -> Composed:
        """The complete mail. `at` only serves to find a certificate that is valid now, when none was at hand."""
        reply = composition.reply
        certificate = reply.context.encrypt_to or self._enrolled_certificate(reply.context.sender, at)
        if certificate is None:
            return Composed(answer=None, reason="no valid encryption certificate")
        returns: dict[str, bytes] = {}
        named: list[tuple[str, bytes]] = []
        for file in reply.files:
            octets = composition.returned.get(file.record or "")
            if octets is None:
                octets = write_return(file, environment=self.environment)
                if file.record is not None:
                    returns[file.record] = octets
            named.append((return_name(file.file.name), octets))
        parts = [entities.text_part(wording.answer_text(reply, self.environment, self.contact))]
        parts += [entities.file_part(name, octets, "application/xml") for name, octets in _distinct(named)]
        parts.append(entities.file_part(f"accuse-{reply.intake}.xml", self._receipt(reply), "application/xml"))
        content = entities.mixed(parts, _boundary(composition.message_id, "content"))
        signed = cms.multipart_signed(
            content,
            self.signing_key,
            at=composition.dated_at,
            boundary=_boundary(composition.message_id, "signature"),
        )
        recipients = [certificate, *([self.archive] if self.archive else [])]
        entity = cms.enveloped_entity(cms.encrypt(signed, recipients, legacy=reply.context.legacy_encryption))
        raw = entities.mail(self._headers(composition), entity)
        return Composed(answer=Answer(message_id=composition.message_id, raw=raw, returns=tuple(returns.items())))

    def _enrolled_certificate(self, code: SenderCode, at: datetime) -> bytes | None:
        senders = self.trust.material.directory.senders
        sender = next((sender for sender in senders if sender.code == code), None)
        return None if sender is None else self.trust.encryption_certificate(sender, at)

    def _receipt(self, reply: Reply) -> bytes:
        return write_receipt(
            intake=str(reply.intake),
            content_digest=reply.context.content_digest,
            received_at=reply.received_at,
            decided_at=reply.decided_at,
            signer=reply.context.signer,
            sender=reply.context.sender,
            door=Door.MAIL,
            environment=self.environment,
            anomalies=reply.anomalies,
            files=reply.files,
        )

    def _headers(self, composition: Composition) -> list[tuple[str, str]]:
        """Nothing but the intake and the environment: these can be read on the way (decision 5)."""
        reply = composition.reply
        headers = [
            ("From", f"{self.service_name} <{self.service_address}>"),
            ("To", reply.context.recipient),
            ("Subject", wording.subject(reply.intake, self.environment)),
            ("Date", entities.date(composition.dated_at)),
            ("Message-ID", composition.message_id),
            ("Auto-Submitted", "auto-replied"),
            ("X-Auto-Response-Suppress", "All"),
            ("X-Mailflow-Environment", self.environment.value),
        ]
        if original := reply.context.message_id:
            headers += [("In-Reply-To", original), ("References", original)]
        return headers


def _distinct(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Each file once; those of one name with other octets get `-2`, `-3`, so that none is saved over another."""
    contents: dict[str, list[bytes]] = {}
    for name, octets in files:
        known = contents.setdefault(name, [])
        if octets in known:
            continue
        known.append(octets)
        stem, _, extension = name.rpartition(".")
        yield (name if len(known) == 1 else f"{stem}-{len(known)}.{extension}"), octets


def _boundary(message_id: str, part: str) -> str:
    """A boundary that nothing in the mail can hold by chance, and the same each time."""
    return "=_" + hashlib.sha256(f"{part}:{message_id}".encode()).hexdigest()[:32]
