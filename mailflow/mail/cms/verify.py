"""Proof that a content was signed, and by which certificates. Whether to trust these is for `mail.trust`.

The checklist, in order; any failure refuses the whole message:

 1. one SignedData and nothing behind it, its content of type id-data;
 2. the content is there once: embedded, or detached;
 3. at least one signer, and the counts within their limits;
and for every signer:
 4. the digest algorithm is permitted on the day;
 5. signed attributes are there, with exactly one content type (id-data), message digest and signing time;
 6. the digest of the content is the signed one;
 7. the certificate that the SignerInfo names is found, in the message or among the enrolled;
 8. its key is within the limits;
 9. the signature algorithm is permitted, fits the key, and agrees with digest and parameters;
10. the signature over the received attributes holds;
11. ESSCertIDv2 names this very certificate, and cmsAlgorithmProtection these algorithms, where present.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.algorithms import Use, allowed
from mailflow.mail.cms.ber import LimitExceeded, Malformed
from mailflow.mail.cms.certificates import identity
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.cms.kept import detached as kept_signature
from mailflow.mail.cms.signature import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    SIGNING_TIME,
    check_bindings,
    check_signature,
    single,
)
from mailflow.mail.cms.structures import DATA, SignedData, SignerIdentifier, SignerInfo, read_signed_data
from mailflow.mail.model import VerifiedMail, VerifiedSigner

CANDIDATES_MAX = 4
"""Certificates that one SignerInfo may name, as a reissued one can share its key identifier."""

Enrolled = Callable[[SignerIdentifier], Sequence[bytes]]


def verify(cms: bytes, detached: bytes | None, *, enrolled: Enrolled, at: datetime) -> VerifiedMail:
    """Every signature of a SignedData, over the embedded content or over `detached`.

    `enrolled` gives certificates (DER) for a signer whose own is not in the message. `at` is the time of
    reception; it decides which algorithms are permitted. Raises CmsError for anything else than a proof.
    """
    with _told_as_cms_error():
        signed = read_signed_data(cms)
        content = _content(signed, detached)
        signers = _verify_signers(signed, content, enrolled, at)
        return VerifiedMail(
            content=content,
            signers=signers,
            certificates=_readable(signed.certificates),
            signature=kept_signature(signed),
        )


def verify_attributes(cms: bytes, *, enrolled: Enrolled, at: datetime) -> tuple[VerifiedSigner, ...]:
    """The same where the content is not here any more: that this digest of it was signed, and at which time.

    Whoever has the content compares it with the digest, or calls `verify`. Raises CmsError likewise.
    """
    with _told_as_cms_error():
        return _verify_signers(read_signed_data(cms), None, enrolled, at)


@contextmanager
def _told_as_cms_error() -> Iterator[None]:
    try:
        yield
    except LimitExceeded as error:
        raise CmsError(Code.SIGNATURE_LIMITS_EXCEEDED, str(error)) from None
    except Malformed as error:
        raise CmsError(Code.SIGNATURE_UNREADABLE, str(error)) from None


def _verify_signers(
    signed: SignedData, content: bytes | None, enrolled: Enrolled, at: datetime
) -> tuple[VerifiedSigner, ...]:
    if not signed.signers:
        raise CmsError(Code.NOT_SIGNED, "no signer")
    digests: dict[str, bytes] = {}
    return tuple(_verify_signer(s, signed, content, digests, enrolled, at) for s in signed.signers)


def _content(signed: SignedData, detached: bytes | None) -> bytes:
    if signed.content_type != DATA:
        raise CmsError(Code.CONTENT_TYPE_WRONG, signed.content_type)
    if detached is None:
        if signed.content is None:
            raise Malformed("no content")
        return signed.content
    if signed.content is not None:
        raise CmsError(Code.CONTENT_DUPLICATED)
    return detached


def _verify_signer(
    info: SignerInfo,
    signed: SignedData,
    content: bytes | None,
    digests: dict[str, bytes],
    enrolled: Enrolled,
    at: datetime,
) -> VerifiedSigner:
    digest = allowed(Use.DIGEST, info.digest.oid, at).name
    if not info.digest.plain:
        raise CmsError(Code.ALGORITHM_REFUSED, "parameters of the digest")
    if info.signed_attributes is None:
        raise CmsError(Code.NO_SIGNED_ATTRIBUTES)
    if single(info, CONTENT_TYPE) != ber.oid(DATA):
        raise CmsError(Code.CONTENT_TYPE_WRONG, "attribute")
    signed_digest = single(info, MESSAGE_DIGEST)
    signed_at = signing_time(info)
    if content is not None:
        if digest not in digests:
            digests[digest] = hashlib.new(digest, content).digest()
        if not hmac.compare_digest(signed_digest, ber.octet_string(digests[digest])):
            raise CmsError(Code.CONTENT_ALTERED)

    refusal: CmsError | None = None
    for certificate in _candidates(info.signer, signed.certificates, enrolled):
        try:
            algorithm = check_signature(info, info.signed_attributes, certificate, digest, at)
            check_bindings(info, certificate, at)
        except CmsError as error:
            refusal = error
            continue
        return VerifiedSigner(
            certificate=certificate,
            signed_at=signed_at,
            digest_algorithm=digest,
            signature_algorithm=algorithm.name,
        )
    raise refusal or CmsError(Code.SIGNER_CERTIFICATE_MISSING)


_TIME = re.compile(rb"(?:\x17\x0d(\d\d)|\x18\x0f(\d{4}))(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")


def signing_time(info: SignerInfo) -> datetime:
    """Mandatory here, in the two forms of RFC 5652 section 11.3."""
    if SIGNING_TIME not in info.attributes:
        raise CmsError(Code.SIGNING_TIME_MISSING)
    match = _TIME.fullmatch(single(info, SIGNING_TIME))
    if match is None:
        raise CmsError(Code.NO_SIGNED_ATTRIBUTES, "signing time")
    short, long, *rest = match.groups()
    year = int(long) if short is None else int(short) + (1900 if int(short) >= 50 else 2000)
    month, day, hour, minute, second = map(int, rest)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise CmsError(Code.NO_SIGNED_ATTRIBUTES, "signing time") from None


def _candidates(signer: SignerIdentifier, bag: Sequence[bytes], enrolled: Enrolled) -> list[bytes]:
    readable = _readable(bag)
    found = [c for c in readable if identity(c).answers_to(signer)]
    if not found:
        found = [c for c in enrolled(signer) if identity(c).answers_to(signer)]
    if not found and len(readable) < len(bag):
        raise CmsError(Code.CERTIFICATE_UNREADABLE, "in the message")
    if len(found) > CANDIDATES_MAX:
        raise CmsError(Code.SIGNATURE_LIMITS_EXCEEDED, f"{len(found)} certificates of one signer")
    return found


def _readable(certificates: Sequence[bytes]) -> tuple[bytes, ...]:
    """An unreadable certificate that nobody needs must not refuse the message."""
    readable = []
    for certificate in certificates:
        try:
            identity(certificate)
        except CmsError:
            continue
        readable.append(certificate)
    return tuple(readable)
