"""Reads a certificate that anybody may have made, and checks what it is good for by itself."""

import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailflow.core.anomalies import Code
from mailflow.core.expiry import Validity
from mailflow.core.model import CertificateUse
from mailflow.mail.cms.algorithms import Scheme, Use, allowed, is_allowed
from mailflow.mail.cms.ber import SEQUENCE, Malformed, Reader
from mailflow.mail.cms.certificates import (
    CERTIFICATE_ERRORS,
    CERTIFICATE_OCTETS_MAX,
    PublicKey,
    check_key,
    public_key,
)
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.policy import HOUSE_POLICY, PathPolicy

STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
MAIL_USAGES = frozenset({ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})

T = TypeVar("T", bound=x509.ExtensionType)


def read(der: bytes) -> x509.Certificate:
    """The certificate, with every field that is looked at later already decoded.

    `cryptography` decodes lazily: a hostile field would otherwise raise wherever it is first looked at.
    Raises TrustError `CERTIFICATE_UNREADABLE`.
    """
    if len(der) > CERTIFICATE_OCTETS_MAX:
        raise TrustError(Code.CERTIFICATE_UNREADABLE, f"{len(der)} octets")
    try:
        certificate = _load(der)
        _ = (
            certificate.subject,
            certificate.issuer,
            certificate.serial_number,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            certificate.signature_hash_algorithm,
            certificate.signature_algorithm_parameters,
            certificate.extensions,
            certificate.public_key(),
        )
    except (*CERTIFICATE_ERRORS, CryptographyDeprecationWarning) as error:
        raise TrustError(Code.CERTIFICATE_UNREADABLE, type(error).__name__) from None
    return certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a person tells a certificate by, in printable characters."""

    subject: str
    """RFC 4514, as the issuer."""
    issuer: str
    serial: str
    """Hex."""
    fingerprint: str
    """SHA-256 (hex)."""
    validity: Validity


def describe(der: bytes) -> Described:
    """Raises TrustError `CERTIFICATE_UNREADABLE`."""
    certificate = read(der)
    return Described(
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        serial=f"{certificate.serial_number:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        validity=validity_of(certificate),
    )


def validity_of(certificate: x509.Certificate) -> Validity:
    """From when to when it holds."""
    return Validity(begins=certificate.not_valid_before_utc, ends=certificate.not_valid_after_utc)


def _name(name: x509.Name) -> str:
    """Whoever asked for the certificate chose it."""
    return "".join(c if c.isprintable() else "?" for c in name.rfc4514_string())


def _load(der: bytes) -> x509.Certificate:
    """What the library only warns about today, as a serial number below one, it announces to refuse tomorrow."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    """The extension of that kind, if there."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether BasicConstraints says so (RFC 5280 section 4.2.1.9)."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def is_for_mail(certificate: x509.Certificate) -> bool:
    """Whether ExtendedKeyUsage allows S/MIME, or is absent (RFC 8550 section 4.4.4)."""
    usage = extension(certificate, x509.ExtendedKeyUsage)
    return usage is None or not MAIL_USAGES.isdisjoint(usage)


def may_sign_lists(certificate: x509.Certificate) -> bool:
    """Whether KeyUsage allows to sign revocation lists, or is absent (RFC 5280 section 6.3.3 f)."""
    usage = extension(certificate, x509.KeyUsage)
    return usage is None or usage.crl_sign


def check_issued(certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
    """That the key of `issuer` signed it, both strong enough on that day. Names and rights are for `path`.

    Raises TrustError `PATH_REFUSED`.
    """
    if not is_allowed(Use.SIGNATURE, certificate.signature_algorithm_oid.dotted_string, at):
        oid = certificate.signature_algorithm_oid.dotted_string
        raise TrustError(Code.PATH_REFUSED, f"certificate signed with {oid}")
    try:
        key = public_key(issuer.public_bytes(Encoding.DER))
        check_key(key, at)
    except CmsError as error:
        raise TrustError(Code.PATH_REFUSED, f"the key of an authority: {error.detail}") from None
    try:
        _check_one_algorithm(certificate)
        verify_signed(
            key,
            certificate.signature_algorithm_oid,
            certificate.signature_hash_algorithm,
            signature=certificate.signature,
            signed=certificate.tbs_certificate_bytes,
            at=at,
        )
    except (InvalidSignature, CmsError, Malformed, IndexError, *CERTIFICATE_ERRORS):
        raise TrustError(Code.PATH_REFUSED, "the signature of a certificate does not hold") from None


def _check_one_algorithm(certificate: x509.Certificate) -> None:
    """The algorithm that was signed is the one beside the signature (RFC 5280 section 4.1.1.2)."""
    reader = Reader(certificate.public_bytes(Encoding.DER))
    body, algorithm = reader.children(reader.root(), SEQUENCE)[:2]
    fields = reader.children(body, SEQUENCE)
    signed = fields[2 if fields[0].tag == 0xA0 else 1]  # after version and serial number
    if reader.raw(signed) != reader.raw(algorithm):
        raise Malformed("two signature algorithms")


def verify_signed(
    key: PublicKey,
    oid: x509.ObjectIdentifier,
    algorithm: hashes.HashAlgorithm | None,
    *,
    signature: bytes,
    signed: bytes,
    at: datetime,
) -> None:
    """That the key signed it, by an algorithm of the table that is allowed on that day. Raises InvalidSignature.

    Raises CmsError when it is not allowed. With PSS as strict as for mails: whatever is stated, mask and salt go with
    the digest.
    """
    scheme = allowed(Use.SIGNATURE, oid.dotted_string, at).scheme
    if isinstance(key, Ed25519PublicKey) and scheme is Scheme.EDDSA:
        key.verify(signature, signed)
        return
    if not isinstance(algorithm, STRONG_HASHES):
        raise InvalidSignature
    match key, scheme:
        case rsa.RSAPublicKey(), Scheme.RSA_V15:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        case rsa.RSAPublicKey(), Scheme.RSA_PSS:
            key.verify(signature, signed, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
        case ec.EllipticCurvePublicKey(), Scheme.ECDSA:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        case _:
            raise InvalidSignature


def check_leaf(
    der: bytes, certificate: x509.Certificate, use: CertificateUse, at: datetime, policy: PathPolicy = HOUSE_POLICY
) -> None:
    """Key, usage and signature algorithm of a holder's certificate, by what is accepted on the day of `at`.

    Raises TrustError `KEY_TOO_WEAK`, `KEY_USAGE_REFUSED` or `ALGORITHM_REFUSED`.
    """
    try:
        key = public_key(der)
        check_key(key, at)
    except CmsError as error:
        raise TrustError(error.code, error.detail) from None
    if is_authority(certificate) and not policy.authorities_may_sign:
        raise TrustError(Code.KEY_USAGE_REFUSED, "the certificate of an authority")
    if not is_for_mail(certificate):
        raise TrustError(Code.KEY_USAGE_REFUSED, "extendedKeyUsage without emailProtection")
    if policy.mail_usage_required and extension(certificate, x509.ExtendedKeyUsage) is None:
        raise TrustError(Code.KEY_USAGE_REFUSED, "no extendedKeyUsage")
    usage = extension(certificate, x509.KeyUsage)
    if use is CertificateUse.SIGN:
        if usage is not None and not (usage.digital_signature or usage.content_commitment):
            raise TrustError(Code.KEY_USAGE_REFUSED, "keyUsage without digitalSignature and nonRepudiation")
    elif isinstance(key, rsa.RSAPublicKey):
        if usage is not None and not usage.key_encipherment:
            raise TrustError(Code.KEY_USAGE_REFUSED, "keyUsage without keyEncipherment")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if usage is not None and not usage.key_agreement:
            raise TrustError(Code.KEY_USAGE_REFUSED, "keyUsage without keyAgreement")
    else:
        raise TrustError(Code.KEY_USAGE_REFUSED, "a key that can only sign")
    if certificate.signature_hash_algorithm is not None:  # None: Ed25519, which brings its own
        check_hash(certificate.signature_hash_algorithm)


def check_hash(algorithm: hashes.HashAlgorithm) -> None:
    """Raises TrustError `ALGORITHM_REFUSED` for a hash under which a signature could be forged."""
    if not isinstance(algorithm, STRONG_HASHES):
        raise TrustError(Code.ALGORITHM_REFUSED, f"certificate signed with {algorithm.name}")
