"""Encrypting to certificates: AuthEnvelopedData with AES-GCM, or EnvelopedData for old clients (RFC 8551)."""

import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import (
    AES256_CBC,
    AES256_GCM,
    AES256_WRAP,
    EC_PUBLIC_KEY,
    ECDH_SHA256,
    GCM_NONCE_OCTETS,
    MGF1,
    RSA,
    RSA_OAEP,
    RSA_PSS,
    SHA256,
)
from mailflow.mail.cms.certificates import identity, public_key
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.recipients import shared_info
from mailflow.mail.cms.structures import DATA, ContentType

_KEY_OCTETS = 32
_BLOCK_OCTETS = 16
_SHA256_ALGORITHM = ber.algorithm(SHA256, ber.NULL)
_OAEP_SHA256 = ber.algorithm(
    RSA_OAEP,
    ber.sequence(ber.der(0xA0, _SHA256_ALGORITHM), ber.der(0xA1, ber.algorithm(MGF1, _SHA256_ALGORITHM))),
)


def encrypt(entity: bytes, recipients: Sequence[bytes], *, legacy: bool) -> bytes:
    """`entity` for the holder of any of these certificates (DER), which the caller has found valid.

    AES-256-GCM, the key by RSA-OAEP (SHA-256) or ECDH; `legacy`: AES-256-CBC, the key by RSA PKCS #1 v1.5 or ECDH.
    Raises CmsError `CERTIFICATE_UNREADABLE` or `KEY_TOO_WEAK` for a certificate that cannot be encrypted to.
    """
    if not recipients:
        raise ValueError("no recipient")
    content_key = secrets.token_bytes(_KEY_OCTETS)
    infos = ber.set_of(*(_recipient_info(c, content_key, legacy) for c in dict.fromkeys(recipients)))
    if legacy:
        fields = _enveloped(entity, content_key, infos)
        return ber.sequence(ber.oid(ContentType.ENVELOPED), ber.der(0xA0, fields))
    fields = _auth_enveloped(entity, content_key, infos)
    return ber.sequence(ber.oid(ContentType.AUTH_ENVELOPED), ber.der(0xA0, fields))


def _auth_enveloped(entity: bytes, content_key: bytes, infos: bytes) -> bytes:
    nonce = secrets.token_bytes(GCM_NONCE_OCTETS)
    encryptor = Cipher(algorithms.AES(content_key), modes.GCM(nonce)).encryptor()
    ciphertext = encryptor.update(entity)
    encryptor.finalize()
    parameters = ber.sequence(ber.octet_string(nonce), ber.integer(_BLOCK_OCTETS))
    encrypted = ber.sequence(ber.oid(DATA), ber.algorithm(AES256_GCM, parameters), ber.der(0x80, ciphertext))
    return ber.sequence(ber.integer(0), infos, encrypted, ber.octet_string(encryptor.tag))


def _enveloped(entity: bytes, content_key: bytes, infos: bytes) -> bytes:
    vector = secrets.token_bytes(_BLOCK_OCTETS)
    encryptor = Cipher(algorithms.AES(content_key), modes.CBC(vector)).encryptor()
    missing = _BLOCK_OCTETS - len(entity) % _BLOCK_OCTETS
    parts = encryptor.update(entity), encryptor.update(bytes([missing]) * missing), encryptor.finalize()
    encrypted = ber.sequence(ber.oid(DATA), ber.algorithm(AES256_CBC, ber.octet_string(vector)), ber.der(0x80, *parts))
    # Version 2 as soon as one recipient is not a KeyTransRecipientInfo of version 0 (RFC 5652 section 6.1).
    version = 2 if b"\xa1" in _tags(infos) else 0
    return ber.sequence(ber.integer(version), infos, encrypted)


def _tags(infos: bytes) -> bytes:
    reader = ber.Reader(infos)
    return bytes(info.tag for info in reader.children(reader.root(), ber.SET))


def _recipient_info(certificate: bytes, content_key: bytes, legacy: bool) -> bytes:
    key = public_key(certificate)
    named = identity(certificate)
    recipient = ber.sequence(named.issuer, ber.integer(named.serial))
    if isinstance(key, rsa.RSAPublicKey) and named.key_algorithm != RSA_PSS:
        return _key_transport(key, recipient, content_key, legacy)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _key_agreement(key, recipient, content_key)
    raise CmsError(Code.KEY_TOO_WEAK, f"{named.key_algorithm} cannot encrypt")


def _key_transport(key: rsa.RSAPublicKey, recipient: bytes, content_key: bytes, legacy: bool) -> bytes:
    if legacy:
        algorithm = ber.algorithm(RSA, ber.NULL)
        encrypted = key.encrypt(content_key, padding.PKCS1v15())
    else:
        algorithm = _OAEP_SHA256
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        encrypted = key.encrypt(content_key, oaep)
    return ber.sequence(ber.integer(0), recipient, algorithm, ber.octet_string(encrypted))


def _key_agreement(key: ec.EllipticCurvePublicKey, recipient: bytes, content_key: bytes) -> bytes:
    """A key of its own for every recipient (RFC 5753 section 3.1)."""
    ephemeral = ec.generate_private_key(key.curve)
    point = ephemeral.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    wrap_algorithm = ber.algorithm(AES256_WRAP)
    info = shared_info(wrap_algorithm, _KEY_OCTETS, None)
    wrapping_key = X963KDF(hashes.SHA256(), _KEY_OCTETS, info).derive(ephemeral.exchange(ec.ECDH(), key))
    originator = ber.der(0xA1, ber.algorithm(EC_PUBLIC_KEY), ber.der(ber.BIT_STRING, b"\0", point))
    wrapped = ber.octet_string(keywrap.aes_key_wrap(wrapping_key, content_key))
    return ber.der(
        0xA1,
        ber.integer(3),
        ber.der(0xA0, originator),
        ber.algorithm(ECDH_SHA256, wrap_algorithm),
        ber.sequence(ber.sequence(recipient, wrapped)),
    )
