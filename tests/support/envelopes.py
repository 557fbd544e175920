"""Envelopes in which every field can be chosen: what other programs, old or hostile, might send."""

from collections.abc import Sequence

from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from mailflow.demo.certificates import Kind
from mailflow.mail.cms import ber
from tests.support import crafted
from tests.support.crafted import ENTITY, HASHES
from tests.support.keys import holder

KEY16, KEY24, KEY32 = b"k" * 16, b"k" * 24, b"k" * 32
CBC = {16: "2.16.840.1.101.3.4.1.2", 24: "2.16.840.1.101.3.4.1.22", 32: "2.16.840.1.101.3.4.1.42"}
GCM = {16: "2.16.840.1.101.3.4.1.6", 32: "2.16.840.1.101.3.4.1.46"}
WRAP = {16: "2.16.840.1.101.3.4.1.5", 24: "2.16.840.1.101.3.4.1.25", 32: "2.16.840.1.101.3.4.1.45"}
KDF = {
    "sha1": "1.3.133.16.840.63.0.2",
    "sha256": "1.3.132.1.11.1",
    "sha384": "1.3.132.1.11.2",
    "sha512": "1.3.132.1.11.3",
}
RSA, OAEP, LABEL = crafted.RSA, "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.9"
ENVELOPED, AUTHENTICATED = "1.2.840.113549.1.7.3", "1.2.840.113549.1.9.16.1.23"


def transported(content_key: bytes, *, algorithm: bytes = b"", how: padding.AsymmetricPadding | None = None) -> bytes:
    """A KeyTransRecipientInfo to the RSA holder, by default with PKCS #1 v1.5."""
    public = holder("rsa").key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    encrypted = public.encrypt(content_key, how or padding.PKCS1v15())
    return transported_as(encrypted, algorithm)


def transported_as(encrypted: bytes, algorithm: bytes = b"", rid: bytes = b"") -> bytes:
    """The same around any encrypted key."""
    return ber.sequence(
        ber.integer(0),
        rid or crafted.by_issuer(holder("rsa")),
        algorithm or ber.algorithm(RSA, ber.NULL),
        ber.octet_string(encrypted),
    )


def oaep(digest: str, mask: str, label: bytes = b"") -> tuple[bytes, padding.OAEP]:
    """OAEP with its parameters, defaults left out as DER wants."""
    parameters = ber.sequence(
        ber.der(0xA0, crafted.digest_algorithm(digest, ber.NULL)) if digest != "sha1" else b"",
        ber.der(0xA1, ber.algorithm(crafted.MGF1, crafted.digest_algorithm(mask))) if mask != "sha1" else b"",
        ber.der(0xA2, ber.algorithm(LABEL, ber.octet_string(label))) if label else b"",
    )
    return ber.algorithm(OAEP, parameters), padding.OAEP(padding.MGF1(HASHES[mask]), HASHES[digest], label or None)


def agreed(
    content_key: bytes,
    kind: Kind = "p256",
    *,
    digest: str = "sha256",
    wrap: int = 32,
    wrap_parameters: bytes = b"",
    material: bytes | None = None,
    rid: bytes = b"",
    compressed: bool = False,
) -> bytes:
    """A KeyAgreeRecipientInfo to a holder on a curve."""
    public = holder(kind).key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    ephemeral = ec.generate_private_key(public.curve)
    wrap_algorithm = ber.algorithm(WRAP[wrap], wrap_parameters)
    info = ber.sequence(
        wrap_algorithm,
        ber.der(0xA0, ber.octet_string(material)) if material is not None else b"",
        ber.der(0xA2, ber.octet_string((wrap * 8).to_bytes(4, "big"))),
    )
    kek = X963KDF(HASHES[digest], wrap, info).derive(ephemeral.exchange(ec.ECDH(), public))
    form = serialization.PublicFormat.CompressedPoint if compressed else serialization.PublicFormat.UncompressedPoint
    point = ephemeral.public_key().public_bytes(serialization.Encoding.X962, form)
    return agreement(
        point,
        ber.algorithm(KDF[digest], wrap_algorithm),
        rid or crafted.by_issuer(holder(kind)),
        keywrap.aes_key_wrap(kek, content_key),
        b"" if material is None else ber.der(0xA1, ber.octet_string(material)),
    )


def agreement(point: bytes, algorithm: bytes, rid: bytes, wrapped: bytes, material: bytes = b"") -> bytes:
    """The same around any point, algorithm and wrapped key."""
    key = ber.der(0xA1, ber.algorithm("1.2.840.10045.2.1"), ber.der(ber.BIT_STRING, b"\0", point))
    keys = ber.sequence(ber.sequence(rid, ber.octet_string(wrapped)))
    return ber.der(0xA1, ber.integer(3), ber.der(0xA0, key), material, algorithm, keys)


def cbc(
    recipients: Sequence[bytes],
    content_key: bytes = KEY32,
    *,
    padded: bytes | None = None,
    algorithm: bytes = b"",
    content: str = crafted.DATA,
    tail: bytes = b"",
) -> bytes:
    """EnvelopedData of the entity."""
    missing = 16 - len(ENTITY) % 16
    padded = ENTITY + bytes([missing]) * missing if padded is None else padded
    encryptor = Cipher(algorithms.AES(content_key), modes.CBC(b"v" * 16)).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    stated = algorithm or ber.algorithm(CBC[len(content_key)], ber.octet_string(b"v" * 16))
    encrypted = ber.sequence(ber.oid(content), stated, ber.der(0x80, ciphertext))
    body = ber.sequence(ber.integer(0), ber.set_of(*recipients), encrypted, tail)
    return ber.sequence(ber.oid(ENVELOPED), ber.der(0xA0, body))


def gcm(
    recipients: Sequence[bytes],
    content_key: bytes = KEY32,
    *,
    attributes: Sequence[bytes] = (),
    tag_octets: int = 16,
    parameters: bytes | None = None,
    nonce: bytes = b"n" * 12,
    oid: str = "",
) -> bytes:
    """AuthEnvelopedData of the entity."""
    encryptor = Cipher(algorithms.AES(content_key), modes.GCM(nonce)).encryptor()
    if attributes:
        encryptor.authenticate_additional_data(ber.set_of(*attributes))
    ciphertext = encryptor.update(ENTITY) + encryptor.finalize()
    stated = ber.sequence(ber.octet_string(nonce), ber.integer(tag_octets)) if parameters is None else parameters
    encrypted = ber.sequence(
        ber.oid(crafted.DATA), ber.algorithm(oid or GCM[len(content_key)], stated), ber.der(0x80, ciphertext)
    )
    body = ber.sequence(
        ber.integer(0),
        ber.set_of(*recipients),
        encrypted,
        ber.set_of(*attributes, tag=0xA1) if attributes else b"",
        ber.octet_string(encryptor.tag[:tag_octets]),
    )
    return ber.sequence(ber.oid(AUTHENTICATED), ber.der(0xA0, body))
