"""What it rests on that a sender is believed: enough to decide it again, years later and without us."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mailflow.core.model import CertificateUse, EnrolledCertificate, EnrolledSender, SenderCode, Standing
from mailflow.mail.trust.policy import PathPolicy, SigningWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A sender as it was enrolled, as far as that bears on who signed."""

    code: SenderCode
    name: str
    standing: Standing
    addresses: frozenset[str]
    certificates: tuple[EnrolledCertificate, ...]
    """The signers', and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Of the signatures of one mail. The same object for all mails that rest on the same, while it is remembered."""

    enrolment: Enrolment
    paths: tuple[tuple[bytes, ...], ...]
    """Of each signer, from its certificate to the anchor, both included; DER."""
    others: tuple[bytes, ...]
    """Further certificates by which revocation was known: of signers of lists, and their authorities; DER."""
    revocations: tuple[bytes, ...]
    """SHA-256 of each revocation list that was relied on. The lists themselves are in the trust material."""
    answers: tuple[bytes, ...]
    """SHA-256 of each OCSP answer, likewise."""
    policy: PathPolicy
    window: SigningWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Who a mail is from."""

    sender: EnrolledSender
    grounds: Grounds


def enrolment_of(sender: EnrolledSender, signer: bytes) -> Enrolment:
    """As far as it bears on the signatures of this certificate (DER)."""
    return Enrolment(
        code=sender.code,
        name=sender.name,
        standing=sender.standing,
        addresses=sender.addresses,
        certificates=tuple(c for c in sender.certificates if c.use is CertificateUse.SIGN and c.der == signer),
    )


def together(each: Sequence[Grounds]) -> Grounds:
    """Of several signers of one mail, who are one sender."""
    first = each[0]
    if len(each) == 1:
        return first
    certificates = dict.fromkeys(c for one in each for c in one.enrolment.certificates)
    return replace(
        first,
        enrolment=replace(first.enrolment, certificates=tuple(certificates)),
        paths=tuple(path for one in each for path in one.paths),
        others=tuple(sorted({der for one in each for der in one.others})),
        revocations=tuple(sorted({digest for one in each for digest in one.revocations})),
        answers=tuple(sorted({digest for one in each for digest in one.answers})),
    )


def ders(certificates: Iterable[x509.Certificate]) -> tuple[bytes, ...]:
    """Their octets; of an authority the same object for all that it has issued."""
    return tuple(_der(certificate) for certificate in certificates)


@lru_cache(maxsize=512)
def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
