"""Outgoing mails of every kind: what is said, before it is signed, and the mails that come of it. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailflow.core.attested import Attested
from mailflow.core.model import Environment, SenderCode
from mailflow.core.numbers import UniqueNumber

ENVIRONMENT = "X-Mailflow-Environment"
PART = "X-Mailflow-Part"
"""Which of how many mails of one letter, as `2/3`. Both stand in what is signed; the environment outside as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """Who writes, as every mail says it."""

    name: str
    address: str
    contact: str
    """Whom a desk may call."""
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along."""

    name: str
    content: bytes = field(repr=False)
    content_type: str
    """type/subtype, with further parameters if need be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Whom a letter is for, and how it is protected."""

    sender: SenderCode
    certificate: bytes | None = None
    """DER of the certificate to encrypt to. None: the one that is enrolled when the letter is composed."""
    legacy_encryption: bool | None = None
    """By AES-CBC and RSA v1.5. None: as enrolled then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An attestation that goes along with a letter, for the desk to hand on to the applicant."""

    name: str
    """Of its file."""
    number: UniqueNumber
    attested: Attested


class Automatic(StrEnum):
    """Auto-Submitted (RFC 3834 section 5): why nobody need answer."""

    REPLIED = "auto-replied"
    GENERATED = "auto-generated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What an outgoing mail says. One that is too large becomes several mails, its parts."""

    to: Addressee
    subject: str
    """Only what everybody on the way may read."""
    text: str
    """For a person; of the first part. Lines end with LF."""
    automatic: Automatic
    confidential: bool = True
    """Held for an operator when there is no valid certificate to encrypt it to; otherwise it then goes signed only."""
    in_reply_to: str = ""
    """Message-ID of the mail that it answers; empty when there is none."""
    attachments: tuple[Attachment, ...] = ()
    """Go in the first part, as far as they find room there."""
    returns: tuple[tuple[str, bytes], ...] = ()
    """Record and octets of each `RET` file that was written for the first time, to be frozen along with the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """An order of the outbox, to be composed; wholly, or those of its parts that begin with one of them."""

    kind: str
    order: bytes | Letter = field(repr=False)
    """What is to be told: as the outbox keeps it, or the letter that was written of it."""
    recipient: str
    message_id: str
    """Of the first part."""
    further: str
    """The secret from which the Message-IDs of the other parts are made."""
    dated_at: datetime
    returned: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """`RET` files that were frozen with an earlier answer, by the record of the file that they answer."""
    enclosures: tuple[Attachment, ...] = ()
    """Go along, in parts of their own when not all finds room in one: attestations, as they were issued."""
    part: int = 1
    """Of the first mail that is composed now."""
    parts_after: int = 0
    """Mails of the letter that are composed by themselves, after these."""
    mail_bytes_max: int | None = None
    """Of one mail. None: as the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A complete mail, ready to be frozen in the outbox. Made only by `mail.composer`."""

    message_id: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The parts of a letter in their order, at least one; or none, and why there can be none now."""

    mails: tuple[Mail, ...] = ()
    letter: Letter | None = None
    """Of which more parts are to be composed; without what the first ones hold."""
    returns: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    reason: str = ""
