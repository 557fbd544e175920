"""Our own keys with their certificates."""

from dataclasses import dataclass, field
from typing import Protocol

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


class KeySource(Protocol):
    """Where a private key is. Crosses the border to the pool's processes, each of which loads it for itself."""

    def load(self) -> SigningPrivateKey:
        """The key, to be worked with. Raises Misconfigured, and Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class PemKey:
    """A private key in memory."""

    octets: bytes = field(repr=False)
    """PEM, without a passphrase."""

    def load(self) -> SigningPrivateKey:
        """Raises Misconfigured."""
        try:
            key = serialization.load_pem_private_key(self.octets, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Misconfigured("the private key is not unencrypted PEM") from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise Misconfigured("the private key is of a type that is not allowed")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key and its certificate, as they were read."""

    key: KeySource
    certificates: bytes
    """PEM: the certificate, and behind it what goes along with a signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKeys:
    """The keys that the service itself works with at a time."""

    signing: KeyPair | None = None
    """None where nothing is signed."""
    decryption: tuple[KeyPair, ...] = ()


def load_decryption_key(key_pem: bytes, certificate_pem: bytes) -> DecryptionKey:
    """Raises Misconfigured when key or certificate cannot be used, or do not belong together."""
    return open_decryption_key(KeyPair(key=PemKey(key_pem), certificates=certificate_pem))


def load_signing_key(key_pem: bytes, certificate_pem: bytes, *, pss: bool = False) -> SigningKey:
    """The signer's certificate stands first in `certificate_pem`; what follows it is sent along as its chain.

    Raises Misconfigured when key or certificate cannot be used, or do not belong together.
    """
    return open_signing_key(KeyPair(key=PemKey(key_pem), certificates=certificate_pem), pss=pss)


def open_decryption_key(pair: KeyPair) -> DecryptionKey:
    """The same, wherever the key is. Raises Unavailable as well."""
    certificates = _certificates(pair.certificates)
    private_key = _private_key(pair.key, certificates[0])
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        raise Misconfigured("an Ed25519 key cannot decrypt")
    return DecryptionKey(certificate=certificates[0], private_key=private_key)


def open_signing_key(pair: KeyPair, *, pss: bool = False) -> SigningKey:
    """The same, wherever the key is. Raises Unavailable as well."""
    certificate, *chain = _certificates(pair.certificates)
    private_key = _private_key(pair.key, certificate)
    return SigningKey(certificate=certificate, private_key=private_key, chain=tuple(chain), pss=pss)


def _certificates(pem: bytes) -> list[bytes]:
    try:
        loaded = x509.load_pem_x509_certificates(pem)
    except CERTIFICATE_ERRORS:
        raise Misconfigured("the certificate file is not PEM") from None
    return [certificate.public_bytes(serialization.Encoding.DER) for certificate in loaded]


def _private_key(source: KeySource, certificate: bytes) -> SigningPrivateKey:
    try:
        expected: PublicKey = public_key(certificate)
    except CmsError as error:
        raise Misconfigured(f"the certificate cannot be used: {error}") from None
    key = source.load()
    if key.public_key() != expected:
        raise Misconfigured("private key and certificate do not belong together")
    return key
