"""Builds keys and certificates, also such as no honest authority would issue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Hash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512
Kind = Literal["rsa", "rsa-3072", "p256", "p384", "p521", "ed25519", "rsa-1024", "p192"]
Usage = Literal["sign", "encrypt", "both", "non-repudiation"]
Extensions = Sequence[tuple[x509.ExtensionType, bool]]
"""Extensions with their criticality."""

MAIL_ONLY = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
TLS_ONLY = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

_MAKE_KEY: dict[Kind, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
    "p192": lambda: ec.generate_private_key(ec.SECP192R1()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A key with its certificate."""

    name: str
    key: PrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in unencrypted PKCS#8 PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `<name>.pem` and `<name>.key` (readable by the owner only); return the two paths."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / f"{self.name}.pem", folder / f"{self.name}.key"
        certificate.write_bytes(self.pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return certificate, key


def make_key(kind: Kind) -> PrivateKey:
    """A new key. Those of RSA take a few hundredths of a second."""
    return _MAKE_KEY[kind]()


def name_of(common_name: str) -> x509.Name:
    """The subject that the demonstration gives to its holders."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mailflow demonstration"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def hash_for(key: PrivateKey) -> Hash | None:
    """The hash to sign with, as long as the curve's order: GnuPG takes no shorter one. None for Ed25519."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return None
        case ec.EllipticCurvePrivateKey() if key.key_size > 256:
            return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
        case _:
            return hashes.SHA256()


def extended(usages: Sequence[x509.ObjectIdentifier] | None) -> Extensions:
    """ExtendedKeyUsage, or nothing."""
    return [] if usages is None else [(x509.ExtendedKeyUsage(usages), False)]


def authority_extensions(*, path_length: int | None, cert_sign: bool, crl_sign: bool) -> Extensions:
    """BasicConstraints and KeyUsage of an authority."""
    usage = _key_usage(digital_signature=True, key_cert_sign=cert_sign, crl_sign=crl_sign)
    return [(x509.BasicConstraints(ca=True, path_length=path_length), True), (usage, True)]


def leaf_extensions(key: PrivateKey, usage: Usage) -> Extensions:
    """BasicConstraints and KeyUsage of a holder. `both` means all that the kind of key can do."""
    encrypts = usage in {"encrypt", "both"}
    key_usage = _key_usage(
        digital_signature=usage in {"sign", "both"},
        content_commitment=usage == "non-repudiation",
        key_encipherment=encrypts and isinstance(key, rsa.RSAPrivateKey),
        key_agreement=encrypts and isinstance(key, ec.EllipticCurvePrivateKey),
    )
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (key_usage, True)]


def _key_usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def build(
    name: str,
    key: PrivateKey,
    *,
    issuer: Identity | None,
    validity: tuple[datetime, datetime],
    serial: int | None,
    extensions: Extensions,
    pss: bool,
    hash_algorithm: Hash | None,
) -> Identity:
    """A certificate signed by `issuer` (without one: by itself), with the identifiers of both keys.

    `pss` and `hash_algorithm` are about its signature; without the latter the signer's usual hash is taken.
    """
    signer = issuer.key if issuer else key
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(issuer.certificate.subject if issuer else name_of(name))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size) if pss else None
    certificate = builder.sign(signer, hash_algorithm or hash_for(signer), rsa_padding=salted)
    return Identity(name=name, key=key, certificate=certificate)
