"""One signature of a SignerInfo, held against one certificate."""

import hashlib
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import HASHES, MGF1, RSA_PSS, Algorithm, Scheme, Use, allowed
from mailflow.mail.cms.ber import Malformed, Reader
from mailflow.mail.cms.certificates import PublicKey, check_key, identity, public_key
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.structures import AlgorithmIdentifier, SignerInfo, read_algorithm

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"


def single(info: SignerInfo, oid: str) -> bytes:
    """The value of a signed attribute that must be there once, with one value."""
    values = info.attributes.get(oid, ())
    if len(values) != 1:
        raise CmsError(Code.NO_SIGNED_ATTRIBUTES, f"{len(values)} values of {oid}")
    return values[0]


def check_signature(info: SignerInfo, attributes: bytes, certificate: bytes, digest: str, at: datetime) -> Algorithm:
    """The row of the signature algorithm, once `attributes` (DER of a SET OF) are proved signed by that key.

    Raises CmsError for anything that does not fit or does not hold; `Malformed` for unreadable parameters.
    """
    key = public_key(certificate)
    check_key(key, at)
    stated = info.signature_algorithm
    algorithm = allowed(Use.SIGNATURE, stated.oid, at)
    if algorithm.digest not in (None, digest):
        raise CmsError(Code.ALGORITHM_REFUSED, "digest and signature disagree")
    if algorithm.scheme is not Scheme.RSA_PSS:
        if not stated.plain:
            raise CmsError(Code.ALGORITHM_REFUSED, "parameters of the signature")
        if identity(certificate).key_algorithm == RSA_PSS:
            raise CmsError(Code.ALGORITHM_REFUSED, "key is for PSS only")
    try:
        _verify_with(key, algorithm, stated, info.signature, attributes, digest, at)
    except InvalidSignature:
        raise CmsError(Code.SIGNATURE_WRONG) from None
    return algorithm


def _verify_with(
    key: PublicKey,
    algorithm: Algorithm,
    stated: AlgorithmIdentifier,
    signature: bytes,
    attributes: bytes,
    digest: str,
    at: datetime,
) -> None:
    match key, algorithm.scheme:
        case rsa.RSAPublicKey(), Scheme.RSA_V15:
            key.verify(signature, attributes, padding.PKCS1v15(), HASHES[digest])
        case rsa.RSAPublicKey(), Scheme.RSA_PSS:
            salt = _pss_salt_octets(stated.parameters, digest, key.key_size, at)
            key.verify(signature, attributes, padding.PSS(padding.MGF1(HASHES[digest]), salt), HASHES[digest])
        case ec.EllipticCurvePublicKey(), Scheme.ECDSA:
            key.verify(signature, attributes, ec.ECDSA(HASHES[digest]))
        case ed25519.Ed25519PublicKey(), Scheme.EDDSA:
            key.verify(signature, attributes)
        case _:
            raise CmsError(Code.ALGORITHM_REFUSED, "key and signature disagree")


def _pss_salt_octets(parameters: bytes, digest: str, key_bits: int, at: datetime) -> int:
    """The salt length, once hash, MGF1 hash and trailer are what they must be (RFC 4055 section 3.1).

    Hash and mask are SHA-1 where they are left out, so they must be there.
    """
    hashed = masked = ""
    salt, trailer = 20, 1
    reader = Reader(parameters)
    for field in reader.children(reader.root(), ber.SEQUENCE):
        inner = reader.only_child(field, field.tag)
        match field.tag:
            case 0xA0:
                hashed = _digest_name(read_algorithm(reader, inner), at)
            case 0xA1:
                mask = read_algorithm(reader, inner)
                mask_reader = Reader(mask.parameters)
                if mask.oid == MGF1:
                    masked = _digest_name(read_algorithm(mask_reader, mask_reader.root()), at)
            case 0xA2:
                salt = reader.integer(inner)
            case 0xA3:
                trailer = reader.integer(inner)
            case _:
                raise Malformed("RSASSA-PSS-params")
    if (hashed, masked, trailer) != (digest, digest, 1):
        raise CmsError(Code.ALGORITHM_REFUSED, "PSS parameters and digest disagree")
    length = HASHES[digest].digest_size
    encoded_octets = (key_bits + 6) // 8
    if not length <= salt <= encoded_octets - length - 2:
        raise CmsError(Code.ALGORITHM_REFUSED, "PSS salt length")
    return salt


def _digest_name(stated: AlgorithmIdentifier, at: datetime) -> str:
    if not stated.plain:
        raise CmsError(Code.ALGORITHM_REFUSED, "parameters of the digest")
    return allowed(Use.DIGEST, stated.oid, at).name


def check_bindings(info: SignerInfo, certificate: bytes, at: datetime) -> None:
    """Attributes that bind certificate and algorithms, so that neither can be exchanged (RFC 5035, RFC 6211)."""
    if SIGNING_CERTIFICATE_V2 in info.attributes:
        _check_certificate_id(single(info, SIGNING_CERTIFICATE_V2), certificate, at)
    if ALGORITHM_PROTECTION in info.attributes:
        _check_algorithm_protection(single(info, ALGORITHM_PROTECTION), info)


def _check_certificate_id(attribute: bytes, certificate: bytes, at: datetime) -> None:
    """The first ESSCertIDv2 is the signer's; SHA-256 where no algorithm is stated."""
    reader = Reader(attribute)
    lists = reader.children(reader.root(), ber.SEQUENCE)
    ids = reader.children(lists[0], ber.SEQUENCE) if lists else []
    parts = reader.children(ids[0], ber.SEQUENCE) if ids else []
    digest = "sha256"
    if parts and parts[0].tag == ber.SEQUENCE:
        digest = _digest_name(read_algorithm(reader, parts.pop(0)), at)
    if not parts:
        raise Malformed("ESSCertIDv2")
    if reader.value(parts[0], ber.OCTET_STRING) != hashlib.new(digest, certificate).digest():
        raise CmsError(Code.SIGNATURE_WRONG, "ESSCertIDv2 names another certificate")


def _check_algorithm_protection(attribute: bytes, info: SignerInfo) -> None:
    reader = Reader(attribute)
    parts = reader.children(reader.root(), ber.SEQUENCE)
    if len(parts) != 2 or parts[1].tag != 0xA1:
        raise Malformed("cmsAlgorithmProtection")
    protected = Reader(b"\x30" + reader.raw(parts[1])[1:])  # [1] IMPLICIT
    same_digest = _same(read_algorithm(reader, parts[0]), info.digest)
    same_signature = _same(read_algorithm(protected, protected.root()), info.signature_algorithm)
    if not same_digest or not same_signature:
        raise CmsError(Code.ALGORITHM_REFUSED, "cmsAlgorithmProtection names others")


def _same(one: AlgorithmIdentifier, other: AlgorithmIdentifier) -> bool:
    same_parameters = one.parameters == other.parameters or (one.plain and other.plain)
    return one.oid == other.oid and same_parameters
