"""Keys of the service: made, with a certificate that is usable at once, and a request for a real one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailflow.mail.cms import PemKey, SigningPrivateKey

RSA_BITS = 3072
VALID = timedelta(days=730)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """What goes with a private key. All PEM."""

    certificate: bytes
    """Self-signed: desks are given it beforehand, as the interface guide says."""
    request: bytes
    """PKCS #10, for an authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair(Certified):
    """With the private key itself."""

    key: bytes


def service_key_pair(name: str, address: str, use: str, at: datetime) -> KeyPair:
    """A fresh key with a certificate and a request; see `certified`."""
    key = new_key()
    made = certified(PemKey(key).load(), name, address, use, at)
    return KeyPair(key=key, certificate=made.certificate, request=made.request)


def new_key() -> bytes:
    """A fresh RSA key, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certified(key: SigningPrivateKey, name: str, address: str, use: str, at: datetime) -> Certified:
    """A certificate for `use`, valid for two years from `at`, and a request for another.

    `use` is `signing`, `decryption`, or `signing and decryption`.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} ({use})"[:64])])
    agrees = isinstance(key, ec.EllipticCurvePrivateKey)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature="signing" in use,
                key_encipherment="decryption" in use and not agrees,
                content_commitment=False,
                data_encipherment=False,
                key_agreement="decryption" in use and agrees,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            True,
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectAlternativeName([x509.RFC822Name(address)]), False),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(minutes=5))
        .not_valid_after(at + VALID)
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension, critical in extensions:
        certificate = certificate.add_extension(extension, critical)
        request = request.add_extension(extension, critical)
    pem = serialization.Encoding.PEM
    return Certified(
        certificate=certificate.sign(key, hashes.SHA256()).public_bytes(pem),
        request=request.sign(key, hashes.SHA256()).public_bytes(pem),
    )
