"""What a CMS structure and its certificates are made of, for whoever wonders why they were refused: no names.

Algorithms by OID, and by name where the published table has one; certificates by serial number and fingerprint. Whose
they are is not told: subjects and issuers may be persons.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import TABLE, Use
from mailflow.mail.cms.ber import Malformed
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS, identity
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.structures import (
    AlgorithmIdentifier,
    ContentType,
    KeyTransport,
    SignerIdentifier,
    SignerInfo,
    read_content_type,
    read_enveloped,
    read_signed_data,
)
from mailflow.mail.cms.verify import signing_time

Facts = dict[str, Any]

USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def structure(cms: bytes) -> Facts:
    """What the structure consists of. Never raises: what cannot be read is said to be so."""
    facts: Facts = {"octets": len(cms), "sha256": hashlib.sha256(cms).hexdigest()}
    try:
        kind = read_content_type(cms)
        facts["kind"] = kind.name.lower()
        if kind is ContentType.SIGNED:
            facts |= _signed(cms)
        elif kind is not ContentType.OTHER:
            facts |= _enveloped(cms)
    except Malformed as error:
        facts["unreadable"] = str(error)
    return facts


def content_of(cms: bytes) -> bytes | None:
    """What signed data holds, whether it verifies or not; None when it is detached, or this is something else."""
    try:
        return read_signed_data(cms).content
    except Malformed:
        return None


def _signed(cms: bytes) -> Facts:
    signed = read_signed_data(cms)
    return {
        "content_type": signed.content_type,
        "content": "detached" if signed.content is None else f"{len(signed.content)} octets inside",
        "certificates": [certificate(der, signed.certificates) for der in signed.certificates],
        "signers": [_signer(info) for info in signed.signers],
    }


def _signer(info: SignerInfo) -> Facts:
    return {
        "certificate": _named(info.signer),
        "digest": _algorithm(info.digest),
        "signature": _algorithm(info.signature_algorithm),
        "signed_attributes": sorted(info.attributes),
        "signed_at": _signed_at(info),
    }


def _signed_at(info: SignerInfo) -> datetime | None:
    try:
        return signing_time(info)
    except CmsError:
        return None


def _enveloped(cms: bytes) -> Facts:
    enveloped = read_enveloped(cms)
    return {
        "content_type": enveloped.content_type,
        "encryption": _algorithm(enveloped.algorithm),
        "authenticated": enveloped.authentication is not None,
        "recipients": [
            {
                "how": "key transport" if isinstance(one, KeyTransport) else "key agreement",
                "certificate": _named(one.recipient),
                "algorithm": _algorithm(one.algorithm),
            }
            for one in enveloped.recipients
        ],
    }


def _named(name: SignerIdentifier) -> Facts:
    if name.serial is not None:
        return {"serial": f"{name.serial:x}"}
    return {"subject_key_id": (name.subject_key_id or b"").hex()}


def _algorithm(stated: AlgorithmIdentifier) -> Facts:
    names = sorted({row.name for row in TABLE if row.oid == stated.oid})
    return {"oid": stated.oid, "name": " or ".join(names) or None, "parameters": _parameters(stated)}


def _parameters(stated: AlgorithmIdentifier) -> str:
    """How many there are, and which digests they name: they may hold anything else, a text too."""
    if stated.plain:
        return "NULL" if stated.parameters else "absent"
    named = [row.name for row in TABLE if row.use is Use.OAEP_DIGEST and ber.oid(row.oid) in stated.parameters]
    return " ".join([f"{len(stated.parameters)} octets", *named])


def certificate(der: bytes, others: Sequence[bytes] = ()) -> Facts:
    """One certificate, and which of `others` (by their place, from 1) may have issued it. Never raises."""
    facts: Facts = {"octets": len(der), "sha256": hashlib.sha256(der).hexdigest()}
    try:
        known = identity(der)
        read = x509.load_der_x509_certificate(der)
        usage = _usage(read)
        return facts | {
            "serial": f"{known.serial:x}",
            "subject_key_id": known.subject_key_id.hex() if known.subject_key_id else None,
            "valid_from": read.not_valid_before_utc,
            "valid_until": read.not_valid_after_utc,
            "key": _key(read),
            "signature": read.signature_algorithm_oid.dotted_string,
            "extensions": sorted(f"{e.oid.dotted_string}{' critical' * e.critical}" for e in read.extensions),
            "key_usage": usage,
            "self_issued": read.issuer == read.subject,
            "issued_by": [place for place, other in enumerate(others, 1) if _has_subject(other, read.issuer)],
        }
    except CmsError as error:
        return facts | {"unreadable": str(error)}
    except CERTIFICATE_ERRORS as error:
        return facts | {"unreadable": type(error).__name__}


def _has_subject(der: bytes, name: x509.Name) -> bool:
    try:
        return x509.load_der_x509_certificate(der).subject == name
    except CERTIFICATE_ERRORS:
        return False


def _key(read: x509.Certificate) -> str:
    key = read.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size} bits"
    return f"EC {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__


def _usage(read: x509.Certificate) -> list[str]:
    try:
        usage = read.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [name for name in USAGES if getattr(usage, name)]
