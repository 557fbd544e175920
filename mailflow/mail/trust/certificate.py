"""Reads a certificate that anybody may have made, and checks what it is good for by itself."""

import warnings
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS, CERTIFICATE_OCTETS_MAX, public_key
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.trust.errors import TrustError

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


def check_leaf(der: bytes, certificate: x509.Certificate, use: CertificateUse) -> None:
    """Key, usage and signature algorithm of a holder's certificate.

    Raises TrustError `KEY_TOO_WEAK`, `KEY_USAGE_REFUSED` or `ALGORITHM_REFUSED`.
    """
    try:
        key = public_key(der)
    except CmsError as error:
        raise TrustError(error.code, error.detail) from None
    if is_authority(certificate):
        raise TrustError(Code.KEY_USAGE_REFUSED, "the certificate of an authority")
    if not is_for_mail(certificate):
        raise TrustError(Code.KEY_USAGE_REFUSED, "extendedKeyUsage without emailProtection")
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
