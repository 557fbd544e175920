"""From an order of the outbox to complete mails, whatever the kind: written, split, signed, encrypted. Pure.

Everything but the keys and randomness of the encryption follows from the order, so that a crash before the octets
are frozen costs nothing: they are composed again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailflow.mail import cms, entities, wording
from mailflow.mail.cms import SigningKey
from mailflow.mail.kinds import KINDS
from mailflow.mail.letter import ENVIRONMENT, PART, Addressee, Composed, Composition, Letter, Letterhead, Mail
from mailflow.mail.splitting import distinct, split
from mailflow.mail.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Composes mails with the keys and enrolments of one generation."""

    trust: Trust
    signing_key: SigningKey
    archive: bytes | None
    """DER of the offline certificate that every mail is encrypted to as well."""
    letterhead: Letterhead
    mail_bytes_max: int
    """Of one mail, unless it is said with what is to be composed; a larger letter is split."""

    def compose(self, composition: Composition, at: datetime) -> Composed:
        """The complete mails. `at` only serves to find a certificate that is valid now, when none was at hand."""
        letter = composition.order
        if not isinstance(letter, Letter):
            kind = KINDS[composition.kind]
            letter = kind.write(kind.order.validate_json(letter), self.letterhead, composition.returned)
        encryption = self._encryption(letter.to, at)
        if encryption is None and letter.confidential:
            return Composed(reason="no valid encryption certificate")
        attached = split(
            entities.text_part(letter.text),
            distinct(letter.attachments),
            composition.enclosures,
            mail_bytes_max=composition.mail_bytes_max or self.mail_bytes_max,
        )
        of = composition.part - 1 + len(attached) + composition.parts_after
        mails = [
            self._mail(composition, letter, encryption, Part(number=number, of=of, attached=files))
            for number, files in enumerate(attached, composition.part)
        ]
        rest = replace(letter, text="", attachments=(), returns=()) if composition.parts_after else None
        return Composed(mails=tuple(mails), letter=rest, returns=letter.returns)

    def _encryption(self, to: Addressee, at: datetime) -> tuple[bytes, bool] | None:
        """The certificate and whether the old algorithms are wanted: as the order says, else as enrolled."""
        senders = self.trust.material.directory.senders
        enrolled = next((sender for sender in senders if sender.code == to.sender), None)
        certificate, legacy = to.certificate, to.legacy_encryption
        if certificate is None and enrolled is not None:
            certificate = self.trust.encryption_certificate(enrolled, at)
        if legacy is None:
            legacy = enrolled is not None and enrolled.legacy_encryption
        return None if certificate is None else (certificate, legacy)

    def _mail(
        self, composition: Composition, letter: Letter, encryption: tuple[bytes, bool] | None, part: "Part"
    ) -> Mail:
        message_id = _message_id(composition, part.number)
        text = wording.part_text(letter.text, part.number, part.of, self.letterhead.environment)
        parts = [entities.text_part(text), *part.attached]
        content = entities.mixed(parts, _boundary(message_id, "content"), headers=self._signed_headers(part))
        boundary = _boundary(message_id, "signature")
        signed = cms.multipart_signed(content, self.signing_key, at=composition.dated_at, boundary=boundary)
        entity = signed if encryption is None else self._encrypted(signed, *encryption)
        return Mail(
            message_id=message_id,
            raw=entities.mail(self._headers(composition, letter, message_id, part), entity),
        )

    def _encrypted(self, entity: bytes, certificate: bytes, legacy: bool) -> bytes:
        recipients = [certificate, *([self.archive] if self.archive else [])]
        return cms.enveloped_entity(cms.encrypt(entity, recipients, legacy=legacy))

    def _signed_headers(self, part: "Part") -> list[tuple[str, str]]:
        """What a program may rely on, because the signature covers it."""
        return [(ENVIRONMENT, self.letterhead.environment), (PART, f"{part.number}/{part.of}")]

    def _headers(
        self, composition: Composition, letter: Letter, message_id: str, part: "Part"
    ) -> list[tuple[str, str | entities.Address]]:
        """These can be read on the way: the letter's subject tells nothing, nor does anything else."""
        environment = self.letterhead.environment
        headers: list[tuple[str, str | entities.Address]] = [
            ("From", entities.Address(wording.marked(self.letterhead.name, environment), self.letterhead.address)),
            ("To", composition.recipient),
            ("Subject", wording.marked(wording.part_subject(letter.subject, part.number, part.of), environment)),
            ("Date", entities.date(composition.dated_at)),
            ("Message-ID", message_id),
            ("Auto-Submitted", letter.automatic),
            ("X-Auto-Response-Suppress", "All"),
            (ENVIRONMENT, environment),
        ]
        if letter.in_reply_to:
            headers.append(("In-Reply-To", letter.in_reply_to))
        references = [letter.in_reply_to, composition.message_id if part.number > 1 else ""]
        if any(references):
            headers.append(("References", " ".join(filter(None, references))))
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the mails of a letter."""

    number: int
    of: int
    attached: Sequence[bytes]


def _message_id(composition: Composition, number: int) -> str:
    """Of the first part that of the order; of another one by the secret, so that nobody can guess it from the first."""
    if number == 1:
        return composition.message_id
    return further_message_id(composition.further, number, composition.message_id)


def further_message_id(secret: str, number: int, first: str) -> str:
    """Of part `number`, where that of the first part is `first`."""
    token = hashlib.sha256(f"{secret}:{number}".encode()).hexdigest()[:40]
    return f"<{token}@{first.strip('<>').partition('@')[2]}>"


def _boundary(message_id: str, part: str) -> str:
    """A boundary that nothing in the mail can hold by chance, and the same each time."""
    return "=_" + hashlib.sha256(f"{part}:{message_id}".encode()).hexdigest()[:32]
