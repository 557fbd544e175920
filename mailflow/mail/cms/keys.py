"""Our own keys with their certificates, from PEM."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mailflow.errors import Misconfigured
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS, PublicKey, public_key
from mailflow.mail.cms.errors import CmsError

DecryptionPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
SigningPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DecryptionKey:
    """A key that others encrypt to."""

    certificate: bytes
    """DER."""
    private_key: DecryptionPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that we sign with."""

    certificate: bytes
    """DER."""
    private_key: SigningPrivateKey
    chain: tuple[bytes, ...]
    """DER of the certificates to send along, beside the signer's own."""
    pss: bool
    """Sign with RSA-PSS, instead of PKCS #1 v1.5 as long as the table permits that."""


def load_decryption_key(key_pem: bytes, certificate_pem: bytes) -> DecryptionKey:
    """Raises Misconfigured when key or certificate cannot be used, or do not belong together."""
    certificates = _certificates(certificate_pem)
    private_key = _private_key(key_pem, certificates[0])
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        raise Misconfigured("an Ed25519 key cannot decrypt")
    return DecryptionKey(certificate=certificates[0], private_key=private_key)


def load_signing_key(key_pem: bytes, certificate_pem: bytes, *, pss: bool = False) -> SigningKey:
    """The signer's certificate stands first in `certificate_pem`; what follows it is sent along as its chain.

    Raises Misconfigured when key or certificate cannot be used, or do not belong together.
    """
    certificate, *chain = _certificates(certificate_pem)
    private_key = _private_key(key_pem, certificate)
    return SigningKey(certificate=certificate, private_key=private_key, chain=tuple(chain), pss=pss)


def _certificates(pem: bytes) -> list[bytes]:
    try:
        loaded = x509.load_pem_x509_certificates(pem)
    except CERTIFICATE_ERRORS:
        raise Misconfigured("the certificate file is not PEM") from None
    return [certificate.public_bytes(serialization.Encoding.DER) for certificate in loaded]


def _private_key(pem: bytes, certificate: bytes) -> SigningPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Misconfigured("the private key is not unencrypted PEM") from None
    try:
        expected: PublicKey = public_key(certificate)
    except CmsError as error:
        raise Misconfigured(f"the certificate cannot be used: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Misconfigured("the private key is of a type that is not allowed")
    if key.public_key() != expected:
        raise Misconfigured("private key and certificate do not belong together")
    return key
