"""SignedData in which every field can be wrong: what a hostile or a broken program might send."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity
from mailflow.mail.cms import CmsError, SignerIdentifier, ber, verify
from mailflow.mail.cms.certificates import identity
from mailflow.mail.model import VerifiedMail
from tests.support.keys import holder
from tests.support.pki import AT

ENTITY = b"Content-Type: text/plain\r\n\r\nbonjour\r\n"

DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_TIME, CERTIFICATE_ID = "1.2.840.113549.1.9.5", "1.2.840.113549.1.9.16.2.47"
PROTECTION = "1.2.840.113549.1.9.52"
RSA, RSA_PSS, MGF1 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
DIGESTS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
ECDSA = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}

Sign = Callable[[bytes], bytes]


def digest_algorithm(name: str, parameters: bytes = b"") -> bytes:
    """The AlgorithmIdentifier of a digest."""
    return ber.algorithm(DIGESTS[name], parameters)


def attributes(
    content: bytes,
    digest: str = "sha256",
    at: datetime = AT,
    changed: Mapping[str, Sequence[bytes] | None] | None = None,
) -> list[bytes]:
    """The three mandatory attributes, and those in `changed` with other values, added, or (None) left out."""
    values: dict[str, Sequence[bytes] | None] = {
        "content_type": [ber.oid(DATA)],
        "message_digest": [ber.octet_string(hashlib.new(digest, content).digest())],
        "signing_time": [ber.time(at)],
    } | dict(changed or {})
    names: Mapping[str, str] = {
        "content_type": CONTENT_TYPE,
        "message_digest": MESSAGE_DIGEST,
        "signing_time": SIGNING_TIME,
        "certificate_id": CERTIFICATE_ID,
        "protection": PROTECTION,
    }
    return [ber.sequence(ber.oid(names[n]), ber.set_of(*v)) for n, v in values.items() if v is not None]


def signer(holder: Identity, digest: str = "sha256") -> tuple[bytes, Sign]:
    """The signature's AlgorithmIdentifier and how to make it, as is usual for the kind of key."""
    key, hashed = holder.key, HASHES[digest]
    if isinstance(key, rsa.RSAPrivateKey):
        return ber.algorithm(RSA, ber.NULL), lambda data: key.sign(data, padding.PKCS1v15(), hashed)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ber.algorithm(ECDSA.get(digest, ECDSA["sha256"])), lambda data: key.sign(data, ec.ECDSA(hashed))
    return ber.algorithm("1.3.101.112"), key.sign


def pss_signer(
    holder: Identity, *, digest: str = "sha256", mask: str = "sha256", salt: int = 32, trailer: int = 1
) -> tuple[bytes, Sign]:
    """RSA-PSS with every parameter to choose."""
    key = holder.key
    assert isinstance(key, rsa.RSAPrivateKey)
    how = padding.PSS(padding.MGF1(HASHES[mask]), salt)
    parameters = ber.sequence(
        ber.der(0xA0, digest_algorithm(digest, ber.NULL)),
        ber.der(0xA1, ber.algorithm(MGF1, digest_algorithm(mask, ber.NULL))),
        ber.der(0xA2, ber.integer(salt)),
        ber.der(0xA3, ber.integer(trailer)),
    )
    return ber.algorithm(RSA_PSS, parameters), lambda data: key.sign(data, how, HASHES[digest])


def by_issuer(holder: Identity) -> bytes:
    """IssuerAndSerialNumber."""
    named = identity(holder.der)
    return ber.sequence(named.issuer, ber.integer(named.serial))


def by_key_id(holder: Identity) -> bytes:
    """The subject key identifier, `[0]`."""
    return ber.der(0x80, identity(holder.der).subject_key_id or b"")


def signer_info(
    holder: Identity,
    attrs: Sequence[bytes] | None,
    *,
    digest: bytes | None = None,
    how: tuple[bytes, Sign] | None = None,
    sid: bytes | None = None,
    signs: bytes | None = None,
) -> bytes:
    """One SignerInfo. Without `attrs` it signs `signs`, the content itself."""
    algorithm, sign = how or signer(holder)
    covered = ber.set_of(*attrs) if attrs is not None else signs or b""
    return ber.sequence(
        ber.integer(1),
        sid or by_issuer(holder),
        digest or digest_algorithm("sha256"),
        b"" if attrs is None else ber.set_of(*attrs, tag=0xA0),
        algorithm,
        ber.octet_string(sign(covered)),
    )


def signed_data(
    content: bytes | None,
    infos: Sequence[bytes],
    certificates: Sequence[bytes],
    *,
    content_type: str = DATA,
    wrapped_content: bytes | None = None,
    outer_type: str = SIGNED_DATA,
) -> bytes:
    """A ContentInfo; without content it is detached."""
    inner = wrapped_content if wrapped_content is not None else ber.octet_string(content or b"")
    explicit = b"" if content is None and wrapped_content is None else ber.der(0xA0, inner)
    body = ber.sequence(
        ber.integer(1),
        ber.set_of(digest_algorithm("sha256")),
        ber.sequence(ber.oid(content_type), explicit),
        ber.set_of(*certificates, tag=0xA0) if certificates else b"",
        ber.set_of(*infos),
    )
    return ber.sequence(ber.oid(outer_type), ber.der(0xA0, body))


def indefinite(tag: int, *parts: bytes) -> bytes:
    """A constructed element of indefinite length, as streaming programs write."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def chunked(content: bytes, octets: int, tag: int = 0x24) -> bytes:
    """An octet string in chunks, of indefinite length."""
    pieces = [content[i : i + octets] for i in range(0, len(content), octets)]
    return indefinite(tag, *(ber.octet_string(piece) for piece in pieces))


def certificate_id(certificate: bytes, digest: str | None) -> list[bytes]:
    """The value of the attribute signingCertificateV2; without digest SHA-256 goes unsaid."""
    value = ber.octet_string(hashlib.new(digest or "sha256", certificate).digest())
    algorithm = digest_algorithm(digest) if digest else b""
    return [ber.sequence(ber.sequence(ber.sequence(algorithm, value)))]


def nobody(_signer: SignerIdentifier) -> Sequence[bytes]:
    """No certificate is enrolled."""
    return []


def proved(cms: bytes, detached: bytes | None = None, at: datetime = AT) -> VerifiedMail:
    """What is proved, by the certificates in the message alone."""
    return verify(cms, detached, enrolled=nobody, at=at)


def refusal(cms: bytes, detached: bytes | None = None, at: datetime = AT) -> Code:
    """Why it is refused."""
    with pytest.raises(CmsError) as caught:
        proved(cms, detached, at)
    return caught.value.code


def one_signer(info: bytes, by: Identity | None = None, content: bytes | None = ENTITY) -> bytes:
    """A SignedData with one signer, by default of RSA, and its certificate."""
    return signed_data(content, [info], [(by or holder("rsa")).der])
