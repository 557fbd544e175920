"""OCSP answers (RFC 6960): which certificate each is about, who may have given it, and what it says.

They were asked for ahead of time, never while a mail is judged. An answer counts when the issuer of the certificate
signed it, or a responder that this very issuer certified for it (section 4.2.2.2). Whatever it has that we cannot
handle makes it unusable, and an unusable answer counts as missing: it can never make a certificate good.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailflow.core.revocation import Says
from mailflow.mail.cms.algorithms import era
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS, public_key
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.trust.certificate import check_issued, extension, read, verify_signed
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.names import comparable

NONCE_OCTETS = 32
"""RFC 9654 section 2.1."""
RESPONDERS_MAX = 4
"""Certificates of an answer that are looked at."""

Vouched = Callable[[x509.Certificate, x509.Certificate], bool]
"""Whether a responder, certified by an issuer, is known not to be revoked."""


class UnusableAnswer(ValueError):
    """An answer that cannot be read, or must not be used. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _CertId:
    """Whom an answer is about (section 4.1.1)."""

    algorithm: str
    issuer_name: bytes
    issuer_key: bytes
    serial: int


class Answer:
    """An answer about one certificate. Who signed it is asked by `is_by`."""

    def __init__(self, der: bytes) -> None:
        """Raises UnusableAnswer."""
        try:
            self._response = response = ocsp.load_der_ocsp_response(der)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise UnusableAnswer(f"the responder says {response.response_status.name.lower()}")
            single = list(response.responses)
            if len(single) != 1:
                raise UnusableAnswer("about several certificates")
            (one,) = single
            expires, hashed = one.next_update_utc, one.hash_algorithm
            self.published = one.this_update_utc
            self.says = _SAYS[one.certificate_status]
            self._about = _CertId(
                algorithm=hashed.name,
                issuer_name=one.issuer_name_hash,
                issuer_key=one.issuer_key_hash,
                serial=one.serial_number,
            )
            self._responders = tuple(_readable(response.certificates[:RESPONDERS_MAX]))
            self.nonce = _nonce(response.extensions)
            _refuse_unknown(response.single_extensions)
        except UnusableAnswer:
            raise
        except CERTIFICATE_ERRORS as error:
            raise UnusableAnswer(f"unreadable ({type(error).__name__})") from None
        if expires is None:
            raise UnusableAnswer("no nextUpdate")
        self.expires = expires
        self.digest = hashlib.sha256(der).digest()
        self._signed_by: dict[tuple[x509.Certificate, int], bool] = {}

    @property
    def serial(self) -> int:
        """Of the certificate that it is about."""
        return self._about.serial

    def is_about(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Whether it names this certificate, by its issuer's name and key."""
        hashed = _HASHES.get(self._about.algorithm)
        return hashed is not None and self._about == _cert_id(certificate, issuer, hashed)

    def is_by(self, issuer: x509.Certificate, at: datetime, vouched: Vouched) -> bool:
        """Whether that issuer answers, or a responder of its own that is valid `at` and itself not revoked."""
        if self._is_signed_by(issuer, at):
            return True
        return any(
            self._is_signed_by(responder, at)
            and _may_answer(responder, issuer, at)
            and (extension(responder, x509.OCSPNoCheck) is not None or vouched(responder, issuer))
            for responder in self._responders
        )

    def _is_signed_by(self, signer: x509.Certificate, at: datetime) -> bool:
        """Remembered as long as the table of algorithms allows the same."""
        key = (signer, era(at))
        if key not in self._signed_by:
            self._signed_by[key] = self._verifies(signer, at)
        return self._signed_by[key]

    def _verifies(self, signer: x509.Certificate, at: datetime) -> bool:
        response = self._response
        try:
            verify_signed(
                public_key(signer.public_bytes(Encoding.DER)),
                response.signature_algorithm_oid,
                response.signature_hash_algorithm,
                signature=response.signature,
                signed=response.tbs_response_bytes,
                at=at,
            )
        except (InvalidSignature, CmsError, *CERTIFICATE_ERRORS):
            return False
        return True


_SAYS = {
    ocsp.OCSPCertStatus.GOOD: Says.GOOD,
    ocsp.OCSPCertStatus.REVOKED: Says.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: Says.UNKNOWN,
}
NamingHash = hashes.SHA1 | hashes.SHA256

_HASHES: dict[str, NamingHash] = {
    # It only names the issuer, whose key has to verify the answer all the same; RFC 5019 wants SHA-1.
    "sha1": hashes.SHA1(),  # noqa: S303 - see above
    "sha256": hashes.SHA256(),
}


def question(certificate: bytes, issuer: bytes, nonce: bytes) -> bytes:
    """The request (DER) that asks about a certificate. Raises TrustError for one that cannot be read."""
    asked = ocsp.OCSPRequestBuilder().add_certificate(read(certificate), read(issuer), _HASHES["sha1"])
    return asked.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


class Answers:
    """All answers of one generation, by the serial number that they are about."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._by_serial: dict[int, list[Answer]] = {}
        for der in answers:
            try:
                known = Answer(der)
            except UnusableAnswer:
                continue
            self._by_serial.setdefault(known.serial, []).append(known)

    def about(
        self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime, vouched: Vouched
    ) -> list[Answer]:
        """The answers about it that count. A revocation stays one when its responder's certificate has ended."""
        named = self._by_serial.get(certificate.serial_number, ())
        found = [one for one in named if one.is_about(certificate, issuer)]
        return [one for one in found if one.is_by(issuer, one.published if one.says is Says.REVOKED else at, vouched)]


def _readable(certificates: Sequence[x509.Certificate]) -> Iterator[x509.Certificate]:
    for certificate in certificates:
        with contextlib.suppress(TrustError):
            yield read(certificate.public_bytes(Encoding.DER))


def _cert_id(certificate: x509.Certificate, issuer: x509.Certificate, hashed: NamingHash) -> _CertId:
    asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashed).build()
    return _CertId(
        algorithm=hashed.name,
        issuer_name=asked.issuer_name_hash,
        issuer_key=asked.issuer_key_hash,
        serial=asked.serial_number,
    )


def _may_answer(responder: x509.Certificate, issuer: x509.Certificate, at: datetime) -> bool:
    """Whether that very issuer certified it for answering (section 4.2.2.2)."""
    usage, extended = extension(responder, x509.KeyUsage), extension(responder, x509.ExtendedKeyUsage)
    try:
        check_issued(responder, issuer, at)
    except TrustError:
        return False
    return (
        comparable(responder.issuer) == comparable(issuer.subject)
        and responder.not_valid_before_utc <= at <= responder.not_valid_after_utc
        and extended is not None
        and ExtendedKeyUsageOID.OCSP_SIGNING in extended
        and (usage is None or usage.digital_signature)
    )


def _nonce(extensions: x509.Extensions) -> bytes | None:
    found = None
    for item in extensions:
        match item.value:
            case x509.OCSPNonce() as nonce:
                found = nonce.nonce
            case _ if item.critical:
                raise UnusableAnswer(f"critical extension {item.oid.dotted_string}")
    return found


def _refuse_unknown(extensions: x509.Extensions) -> None:
    for item in extensions:
        if item.critical:
            raise UnusableAnswer(f"critical extension {item.oid.dotted_string}")
