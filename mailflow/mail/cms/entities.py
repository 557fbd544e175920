"""The MIME entities around CMS structures (RFC 8551 section 3): content headers and body, no transport headers."""

from binascii import b2a_base64
from datetime import datetime

from mailflow.mail.cms.keys import SigningKey
from mailflow.mail.cms.sign import digest_name, sign
from mailflow.mail.cms.structures import ContentType, read_content_type

_WIDTH = 76
_MICALG = {"sha256": b"sha-256", "sha384": b"sha-384", "sha512": b"sha-512"}


def multipart_signed(entity: bytes, key: SigningKey, *, at: datetime, boundary: str) -> bytes:
    """`entity`, a complete MIME entity with CRLF line ends, and its detached signature.

    Raises ValueError for an entity that is not canonical or that contains the boundary.
    """
    _check_canonical(entity)
    mark = b"--" + boundary.encode("ascii")
    if mark in entity:
        raise ValueError("the boundary occurs in the entity")
    return b"".join(
        [
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n micalg=',
            _MICALG[digest_name(key)],
            b'; boundary="' + boundary.encode("ascii") + b'"\r\n\r\n',
            mark + b"\r\n",
            entity,
            b"\r\n" + mark + b"\r\n",
            _part(b'application/pkcs7-signature; name="smime.p7s"', b"smime.p7s"),
            _base64(sign(entity, key, at=at, detached=True)),
            mark + b"--\r\n",
        ]
    )


def opaque_signed(entity: bytes, key: SigningKey, *, at: datetime) -> bytes:
    """`entity`, a complete MIME entity with CRLF line ends, inside its signature. Raises ValueError as above."""
    _check_canonical(entity)
    return _pkcs7_mime(b"signed-data", sign(entity, key, at=at, detached=False))


def enveloped_entity(der: bytes) -> bytes:
    """What `encrypt` made, as a MIME entity. Raises `Malformed` for bytes that are no CMS structure."""
    authenticated = read_content_type(der) is ContentType.AUTH_ENVELOPED
    return _pkcs7_mime(b"authEnveloped-data" if authenticated else b"enveloped-data", der)


def _pkcs7_mime(smime_type: bytes, der: bytes) -> bytes:
    content_type = b"application/pkcs7-mime; smime-type=" + smime_type + b';\r\n name="smime.p7m"'
    return _part(content_type, b"smime.p7m") + _base64(der)


def _part(content_type: bytes, file_name: bytes) -> bytes:
    return (
        b"Content-Type: " + content_type + b"\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="' + file_name + b'"\r\n\r\n'
    )


def _base64(der: bytes) -> bytes:
    text = b2a_base64(der, newline=False)
    return b"".join(text[start : start + _WIDTH] + b"\r\n" for start in range(0, len(text), _WIDTH))


def _check_canonical(entity: bytes) -> None:
    pairs = entity.count(b"\r\n")
    if entity.count(b"\n") != pairs or entity.count(b"\r") != pairs:
        raise ValueError("line ends are not CRLF")
