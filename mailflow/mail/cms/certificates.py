"""What CMS needs to know of a certificate: how it is named, and its key.

Partners repeat, so both are remembered per certificate. No path, no validity: that is `mail.trust`.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import (
    CURVES,
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    RSA_EXPONENT_BITS_MAX,
    RSA_EXPONENT_MIN,
    rsa_bits_min,
)
from mailflow.mail.cms.ber import Element, Malformed, Reader
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.structures import SignerIdentifier

CERTIFICATE_OCTETS_MAX = 64 * 1024
"""Also bounds what the caches below can hold."""
_SUBJECT_KEY_ID = "2.5.29.14"

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# What hostile certificates make `cryptography` raise, when loaded or when a field is looked at. The warning is an
# exception only where warnings are errors, as in the tests.
CERTIFICATE_ERRORS = (
    ValueError,
    TypeError,
    CryptographyDeprecationWarning,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentity:
    """How a SignerInfo or a RecipientInfo may name the certificate, in its own octets."""

    issuer: bytes
    serial: int
    subject_key_id: bytes | None
    key_algorithm: str
    """OID in the SubjectPublicKeyInfo."""

    def answers_to(self, name: SignerIdentifier) -> bool:
        """Whether `name` means this certificate."""
        if name.subject_key_id is not None:
            return name.subject_key_id == self.subject_key_id
        return (name.issuer, name.serial) == (self.issuer, self.serial)


@lru_cache(maxsize=512)
def identity(certificate: bytes) -> CertificateIdentity:
    """Read from the octets themselves: a library that decodes and encodes again can change a name.

    Raises CmsError `CERTIFICATE_UNREADABLE`.
    """
    if len(certificate) > CERTIFICATE_OCTETS_MAX:
        raise CmsError(Code.CERTIFICATE_UNREADABLE, f"{len(certificate)} octets")
    try:
        reader = Reader(certificate)
        signed = reader.children(reader.root(), ber.SEQUENCE)
        fields = reader.children(signed[0], ber.SEQUENCE) if signed else []
        if fields and fields[0].tag == 0xA0:
            del fields[0]  # version
        if len(fields) < 6:
            raise Malformed("TBSCertificate")
        key = reader.children(fields[5], ber.SEQUENCE)
        if not key:
            raise Malformed("SubjectPublicKeyInfo")
        serial = reader.integer(fields[0])
        if serial <= 0:
            raise Malformed("serial number")  # RFC 5280 section 4.1.2.2
        return CertificateIdentity(
            issuer=reader.raw(fields[2]),
            serial=serial,
            subject_key_id=_subject_key_id(reader, fields[6:]),
            key_algorithm=reader.oid(reader.children(key[0], ber.SEQUENCE)[0]),
        )
    except (Malformed, IndexError) as error:
        raise CmsError(Code.CERTIFICATE_UNREADABLE, str(error)) from None


def _subject_key_id(reader: Reader, optional_fields: list[Element]) -> bytes | None:
    for field in optional_fields:
        if field.tag != 0xA3:
            continue
        for extension in reader.children(reader.only_child(field, 0xA3), ber.SEQUENCE):
            parts = reader.children(extension, ber.SEQUENCE)
            if len(parts) >= 2 and reader.oid(parts[0]) == _SUBJECT_KEY_ID:
                inner = Reader(reader.octets(parts[-1]))
                return inner.value(inner.root(), ber.OCTET_STRING)
    return None


def check_key(key: PublicKey, at: datetime) -> None:
    """That the table permits a key of this size on the day of `at`; else CmsError `KEY_TOO_WEAK`."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < rsa_bits_min(at):
        raise CmsError(Code.KEY_TOO_WEAK, f"RSA {key.key_size} bits, at that date")


@lru_cache(maxsize=512)
def public_key(certificate: bytes) -> PublicKey:
    """The key, within the limits that the published table sets whatever the day; see `check_key`.

    Raises CmsError `CERTIFICATE_UNREADABLE` or `KEY_TOO_WEAK`.
    """
    identity(certificate)
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except CERTIFICATE_ERRORS as error:
        raise CmsError(Code.CERTIFICATE_UNREADABLE, type(error).__name__) from None
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise CmsError(Code.KEY_TOO_WEAK, f"RSA {key.key_size} bits")
        if exponent < RSA_EXPONENT_MIN or exponent.bit_length() > RSA_EXPONENT_BITS_MAX:
            raise CmsError(Code.KEY_TOO_WEAK, "RSA exponent")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise CmsError(Code.KEY_TOO_WEAK, key.curve.name)
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise CmsError(Code.KEY_TOO_WEAK, identity(certificate).key_algorithm)
    return key
