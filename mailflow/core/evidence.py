"""The evidence of an acceptance: what is needed to verify a mail again years later, without us.

What is of one mail alone is small: its signature, and when. What many mails share (certificates, revocation data, an
enrolment, a policy, the verdict's steps) is kept once each, as an `Exhibit`, and named by its digest. The evidence's
own digest stands for all of it; it is in the journal's entry, and so in the sealed chain.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class ExhibitKind(StrEnum):
    """What an exhibit is. In DER, or JSON with sorted keys."""

    CERTIFICATE = "certificate"
    REVOCATION_LIST = "revocation-list"
    OCSP_ANSWER = "ocsp-answer"
    ENROLMENT = "enrolment"
    """The sender, as enrolled."""
    POLICY = "policy"
    """What was demanded of paths and signatures, and the table of algorithms."""
    BASIS = "basis"
    """The digests of the above that a verdict rests on, and the software that found it."""
    CHECKLIST = "checklist"
    """The verdict, step by step."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A piece of evidence that mails share."""

    kind: ExhibitKind
    content: bytes = field(repr=False)
    digest: bytes = field(init=False, compare=False)
    """SHA-256 of the content."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.content).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one accepted mail."""

    intake: int
    received_at: datetime
    """The instant as of which path, dates and algorithms were judged."""
    judged_at: datetime
    """The instant as of which revocation and enrolment were."""
    basis: bytes
    """Digest of the exhibit."""
    checklist: bytes
    """Digest of the exhibit."""
    signature: bytes = field(repr=False)
    """CMS SignedData without content and certificates: who signed which digest, and said when."""

    def written(self) -> bytes:
        """What the digest is over: JSON, its keys sorted, instants in UTC."""
        facts = {
            "intake": self.intake,
            "received_at": self.received_at.astimezone(UTC).isoformat(),
            "judged_at": self.judged_at.astimezone(UTC).isoformat(),
            "basis": self.basis.hex(),
            "checklist": self.checklist.hex(),
            "signature": hashlib.sha256(self.signature).hexdigest(),
        }
        return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """SHA-256 (hex), by which the journal names it."""
        return hashlib.sha256(self.written()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the verdict on many mails of one sender rests on."""

    digest: bytes
    """Of the exhibit that names the others."""
    exhibits: tuple[Exhibit, ...]
    """All but the revocation lists and OCSP answers, that exhibit included."""
    revocations: tuple[bytes, ...]
    """Digests of these, of which lists are large; they are known to whoever has the trust material."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Evidence with what it names."""

    evidence: Evidence
    basis: Basis
    checklist: Exhibit
