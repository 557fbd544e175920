"""A mail as the judge reads it before it asks whom it trusts, and what others make of it."""

from dataclasses import dataclass

from asn1crypto import cms as asn1

from mailflow.core.anomalies import Code
from mailflow.mail import mime
from mailflow.mail.cms import CmsError, ContentType, content_type, decrypt, verify
from mailflow.mail.mime import MimeError, SignedParts
from mailflow.mail.model import VerifiedMail
from tests.fuzz import openssl
from tests.support.judging import MIME
from tests.support.keys import decryption_key
from tests.support.pki import AT


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a mail."""

    refusal: Code | None = None
    parts: SignedParts | None = None
    verified: VerifiedMail | None = None
    """None where it was refused."""


def read(raw: bytes) -> Reading:
    """Never raises: whatever it raises all the same is a finding."""
    parts: SignedParts | None = None
    try:
        parts = mime.signed_parts(mime.read(raw, MIME))
        if parts is not None and parts.content is None and content_type(parts.cms) is not ContentType.SIGNED:
            opened = decrypt(parts.cms, [decryption_key("rsa"), decryption_key("p256")], at=AT)
            parts = mime.signed_parts(mime.read(opened, MIME))
        if parts is None:
            return Reading(refusal=Code.NOT_SIGNED)
        return Reading(parts=parts, verified=_verified(parts))
    except (MimeError, CmsError) as error:
        return Reading(refusal=error.code, parts=parts)


def _verified(parts: SignedParts) -> VerifiedMail:
    try:
        return verify(parts.cms, parts.content, enrolled=lambda _: [], at=AT)
    except CmsError as error:
        if error.code is not Code.CONTENT_ALTERED or parts.content is None:
            raise
        return verify(parts.cms, mime.canonical(parts.content), enrolled=lambda _: [], at=AT)


def openssl_accepts(parts: SignedParts, content: bytes) -> bool:
    """Whether OpenSSL finds the signatures right, and over this very content."""
    return openssl.signed_content(parts.cms, None if parts.content is None else content) == content


def asn1crypto_reads(cms: bytes) -> bytes | None:
    """The embedded content; it joins the chunks of BER by itself. Raises ValueError, TypeError or KeyError."""
    content: bytes | None = asn1.ContentInfo.load(cms)["content"]["encap_content_info"]["content"].native
    return content
