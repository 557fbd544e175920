"""The stages that a mail passes through before it is a Submission, and after."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict

from mailflow.core.anomalies import Anomaly
from mailflow.core.evidence import Proof
from mailflow.core.inquiry import Inquiry, QuestionReceipt
from mailflow.core.model import FileReceipt, SenderCode, Submission
from mailflow.core.succession import Successor, SuccessorReceipt
from mailflow.mail.bounces import Bounce


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A mail in a folder, as far as its header tells."""

    uid: int
    message_id: str
    """With its angle brackets, as the field alone has it; empty when it has none that can be used."""
    received_at: datetime
    """IMAP INTERNALDATE, in UTC: the 12 hours run from here."""
    size_bytes: int
    """As the server says, which may miscount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedMail:
    """A mail as the mailbox gave it. Made only by `mail.imap` (and by `mailflow ingest` for files)."""

    seen: Lying
    """As it was looked at before it was read: of one source, so that it can be looked at again and compared."""
    uidvalidity: int
    raw: bytes | None
    """The exact octets; None when the mail is larger than the limit and was therefore not read."""
    size_bytes: int
    """Of what was read, which the server may have miscounted; of what was not read at least so many."""

    @property
    def uid(self) -> int:
        return self.seen.uid

    @property
    def received_at(self) -> datetime:
        return self.seen.received_at


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSigner:
    """One SignerInfo whose signature holds. Says nothing yet about trust."""

    certificate: bytes
    """DER of the certificate that the SignerInfo selects, and no other."""
    signed_at: datetime | None
    """The signing time that the signer claims."""
    digest_algorithm: str
    signature_algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedMail:
    """Made only by `mail.cms.verify`. `content` is exactly what the signatures cover."""

    content: bytes
    signers: tuple[VerifiedSigner, ...]
    certificates: tuple[bytes, ...]
    """DER of every certificate in the bag: material for building a path, never an identity."""
    signature: bytes
    """The signatures alone, as they are kept (`mail.cms.kept`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the verification checklist, for `mailflow verify`."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyContext:
    """What an answer needs of the mail that it answers. Known only once the sender is proven."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sender: SenderCode
    recipient: str
    """The sender's enrolled answer address."""
    message_id: str
    """Message-ID of the request mail, for In-Reply-To and References; empty when it had none that is usable."""
    content_digest: str
    """SHA-256 (hex) of the signed content."""
    signer: str
    """SHA-256 fingerprint (hex) of the signer's certificate."""
    encrypt_to: bytes | None
    """DER of the certificate to encrypt to: the sent `CER*`, else the enrolled one. None: the answer is held."""
    legacy_encryption: bool
    """By AES-CBC and RSA v1.5, as enrolled for a client that knows no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedFile:
    """A file that came, unread."""

    name: str
    digest: str
    """SHA-256 (hex) of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A mail whose sender is proven, before anything it asks is decided."""

    intake: int
    reply: ReplyContext
    size_bytes: int
    files: tuple[RecognisedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The sender is proven and what it sent could be read, wholly or in part."""

    submission: Submission
    """What it asks to be done; it may be nothing."""
    inquiry: Inquiry
    """What it asks to be told; it may be nothing."""
    reply: ReplyContext
    proof: Proof
    """Why, for whoever asks in years."""
    anomalies: tuple[Anomaly, ...] = ()
    """Of the mail as a whole, beside what each file says; none of them blocks the files that could be read."""
    successor: Successor | None = None
    """A certificate that is to follow the one that signed the mail."""

    @property
    def requests(self) -> int:
        """How many requests and questions it holds."""
        asked = sum(len(file.questions) for file in self.inquiry.files)
        return asked + sum(len(file.requests) for file in self.submission.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The mail as a whole is refused. Without `reply` nobody proved who they are, and nobody is answered."""

    anomalies: tuple[Anomaly, ...]
    """At least one; the first is the reason that is recorded."""
    reply: ReplyContext | None
    detail: str = ""
    """For the operator; identifiers only, never content."""
    bounce: Bounce | None = None
    """What came back, when the mail is a delivery status notification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undetermined:
    """It cannot be told yet (revocation data missing or stale): kept, judged again later, never accepted."""

    anomaly: Anomaly
    detail: str = ""


Verdict = Accepted | Rejected | Undetermined

Recognition = Recognised | Undetermined | None
"""Who sent a mail: proven, not to be told now, or not proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is to be told to a sender, as it was decided: the immutable content of an outbox row."""

    context: ReplyContext
    intake: int
    received_at: datetime
    decided_at: datetime
    files: tuple[FileReceipt, ...]
    anomalies: tuple[Anomaly, ...]
    """Of the mail as a whole."""
    questions: tuple[QuestionReceipt, ...] = ()
    """What is told of the `GES` files."""
    successor: SuccessorReceipt | None = None
    """What is told of a certificate that the mail offers."""
    note: str = ""
    """What an operator tells the sender, who refuses the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalReceipt:
    """That a mail is here and its answer will come: the immutable content of an outbox row."""

    recognised: Recognised
    received_at: datetime
    deadline_at: datetime
    """When the answer is due at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessionNotice:
    """What all contacts of a sender are told of a certificate that was offered in its name: the content of an order."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    sender: SenderCode
    receipt: SuccessorReceipt
    encrypt_to: bytes | None
    """The former certificate, when answers were encrypted to it: whoever offered the new one may be a thief."""
