"""Signing: SignedData in DER, with signing time, ESSCertIDv2 and algorithm protection (RFC 5652, 5035, 6211)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import ED25519, HASHES, MGF1, RSA, RSA_PSS, Use, is_allowed, oid_of
from mailflow.mail.cms.certificates import identity
from mailflow.mail.cms.keys import SigningKey
from mailflow.mail.cms.signature import (
    ALGORITHM_PROTECTION,
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
)
from mailflow.mail.cms.structures import DATA, ContentType


@dataclass(frozen=True, slots=True)
class _Method:
    """How a key signs: digest, and the signature's AlgorithmIdentifier."""

    digest: str
    signature_algorithm: bytes
    pss: bool = False


def digest_name(key: SigningKey) -> str:
    """The digest that this key signs with: as strong as the key, SHA-512 for Ed25519 (RFC 8419)."""
    if isinstance(key.private_key, rsa.RSAPrivateKey):
        return "sha256"
    if isinstance(key.private_key, ec.EllipticCurvePrivateKey):
        return {256: "sha256", 384: "sha384"}.get(key.private_key.key_size, "sha512")
    return "sha512"


def sign(entity: bytes, key: SigningKey, *, at: datetime, detached: bool) -> bytes:
    """A SignedData over `entity`, which is canonical already (CRLF); `at` is the signing time.

    Detached: the content is left out, as in multipart/signed. RSA keys sign with PSS when they say so, and from the
    day on which the table no longer permits PKCS #1 v1.5.
    """
    method = _method(key, at)
    digest_algorithm = ber.algorithm(oid_of(Use.DIGEST, method.digest))
    attributes = _signed_attributes(entity, key.certificate, method, digest_algorithm, at)
    named = identity(key.certificate)
    signer_info = ber.sequence(
        ber.integer(1),
        ber.sequence(named.issuer, ber.integer(named.serial)),
        digest_algorithm,
        ber.set_of(*attributes, tag=0xA0),
        method.signature_algorithm,
        ber.octet_string(_signature(key, method, ber.set_of(*attributes))),
    )
    content = b"" if detached else ber.der(0xA0, ber.octet_string(entity))
    return ber.sequence(
        ber.oid(ContentType.SIGNED),
        ber.der(
            0xA0,
            ber.sequence(
                ber.integer(1),
                ber.set_of(digest_algorithm),
                ber.sequence(ber.oid(DATA), content),
                ber.set_of(*{key.certificate, *key.chain}, tag=0xA0),
                ber.set_of(signer_info),
            ),
        ),
    )


def _method(key: SigningKey, at: datetime) -> _Method:
    digest = digest_name(key)
    if isinstance(key.private_key, ec.EllipticCurvePrivateKey):
        return _Method(digest, ber.algorithm(oid_of(Use.SIGNATURE, f"ecdsa-{digest}")))
    if not isinstance(key.private_key, rsa.RSAPrivateKey):
        return _Method(digest, ber.algorithm(ED25519))
    only_pss = identity(key.certificate).key_algorithm == RSA_PSS
    if not (key.pss or only_pss) and is_allowed(Use.SIGNATURE, RSA, at):
        return _Method(digest, ber.algorithm(RSA, ber.NULL))
    hashed = ber.algorithm(oid_of(Use.DIGEST, digest), ber.NULL)
    parameters = ber.sequence(
        ber.der(0xA0, hashed),
        ber.der(0xA1, ber.algorithm(MGF1, hashed)),
        ber.der(0xA2, ber.integer(HASHES[digest].digest_size)),
    )
    return _Method(digest, ber.algorithm(RSA_PSS, parameters), pss=True)


def _signed_attributes(
    entity: bytes, certificate: bytes, method: _Method, digest_algorithm: bytes, at: datetime
) -> list[bytes]:
    protected = ber.Reader(method.signature_algorithm)
    algorithm_body = protected.data[protected.root().body :]
    certificate_id = ber.sequence(ber.octet_string(hashlib.sha256(certificate).digest()))
    values = {
        CONTENT_TYPE: ber.oid(DATA),
        SIGNING_TIME: ber.time(at),
        MESSAGE_DIGEST: ber.octet_string(hashlib.new(method.digest, entity).digest()),
        SIGNING_CERTIFICATE_V2: ber.sequence(ber.sequence(certificate_id)),
        ALGORITHM_PROTECTION: ber.sequence(digest_algorithm, ber.der(0xA1, algorithm_body)),
    }
    return [ber.sequence(ber.oid(oid), ber.set_of(value)) for oid, value in values.items()]


def _signature(key: SigningKey, method: _Method, attributes: bytes) -> bytes:
    private_key, hashed = key.private_key, HASHES[method.digest]
    if isinstance(private_key, rsa.RSAPrivateKey):
        if method.pss:
            pss = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
            return private_key.sign(attributes, pss, hashed)
        return private_key.sign(attributes, padding.PKCS1v15(), hashed)
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return private_key.sign(attributes, ec.ECDSA(hashed))
    return private_key.sign(attributes)
