"""Certificates, revocation lists and the like in PEM or DER (RFC 7468). Pure; what is inside is not judged here."""

import base64
import binascii
import re

CERTIFICATE = "CERTIFICATE"
REVOCATION_LIST = "X509 CRL"
CMS = "CMS"

_DER_SEQUENCE = 0x30


class PemError(ValueError):
    """The octets hold nothing of the wanted kind."""


def written(der: bytes, label: str) -> str:
    """As text, without a line end at its end."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----"


def read_der(octets: bytes, label: str) -> tuple[bytes, ...]:
    """Every DER structure in a PEM text with this label, or the octets themselves when they are DER.

    Raises PemError for anything else.
    """
    if octets[:1] == bytes([_DER_SEQUENCE]):
        return (octets,)
    pattern = rb"-----BEGIN %b-----([A-Za-z0-9+/=\s]++)-----END %b-----" % (label.encode(), label.encode())
    try:
        found = tuple(
            binascii.a2b_base64(b"".join(body.split()), strict_mode=True) for body in re.findall(pattern, octets)
        )
    except binascii.Error:
        raise PemError("not base64") from None
    if not found:
        raise PemError(f"no {label} in it")
    if not all(found):
        raise PemError(f"an empty {label}")
    return found
