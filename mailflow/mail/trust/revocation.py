"""Tells from revocation lists (RFC 5280 sections 5 and 6.3) whether a certificate still counts.

Whatever a list says that we cannot handle makes it unusable, and an unusable list counts as missing: it can never
make a certificate good.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509

from mailflow.core.anomalies import Code
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS
from mailflow.mail.trust.certificate import STRONG_HASHES, extension, is_authority
from mailflow.mail.trust.errors import TrustError, TrustUndetermined

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the future a list may have been published."""


class UnusableList(ValueError):
    """A revocation list that cannot be read, or must not be used. The text says why."""


class RevocationList:
    """One list whose form we can handle. Its signature is checked against the issuer that a path names."""

    def __init__(self, der: bytes) -> None:
        """Raises UnusableList."""
        try:
            self._crl = x509.load_der_x509_crl(der)
            extensions = self._crl.extensions
            algorithm = self._crl.signature_hash_algorithm
            expires = self._crl.next_update_utc
            self.issuer = self._crl.issuer
            self.published = self._crl.last_update_utc
            self.serials = frozenset(entry.serial_number for entry in self._crl)
            critical_entry = any(e.critical for entry in self._crl for e in entry.extensions)
        except CERTIFICATE_ERRORS as error:
            raise UnusableList(f"unreadable ({type(error).__name__})") from None
        if algorithm is not None and not isinstance(algorithm, STRONG_HASHES):
            raise UnusableList(f"signed with {algorithm.name}")
        if expires is None:
            raise UnusableList("no nextUpdate")
        if critical_entry:
            raise UnusableList("an entry with a critical extension")
        self.expires = expires
        self._scope = _scope(extensions)
        self._signed_by: dict[x509.Certificate, bool] = {}

    def covers(self, certificate: x509.Certificate) -> bool:
        """Whether the list would name this certificate if it were revoked (RFC 5280 section 6.3.3 b)."""
        scope = self._scope
        if scope is None:
            return True
        if is_authority(certificate) and scope.only_contains_user_certs:
            return False
        if not is_authority(certificate) and scope.only_contains_ca_certs:
            return False
        return scope.full_name is None or not _distribution_names(certificate).isdisjoint(scope.full_name)

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether the key of `issuer` signed it, and may."""
        if issuer not in self._signed_by:
            usage = extension(issuer, x509.KeyUsage)
            self._signed_by[issuer] = (usage is None or usage.crl_sign) and self._verifies(issuer)
        return self._signed_by[issuer]

    def _verifies(self, issuer: x509.Certificate) -> bool:
        try:
            return self._crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # else TypeError
        except CERTIFICATE_ERRORS:
            return False


def _scope(extensions: x509.Extensions) -> x509.IssuingDistributionPoint | None:
    scope: x509.IssuingDistributionPoint | None = None
    for item in extensions:
        match item.value:
            case x509.DeltaCRLIndicator():
                raise UnusableList("a delta")
            case x509.IssuingDistributionPoint() as scope:
                if scope.indirect_crl:
                    raise UnusableList("indirect")
                if scope.only_some_reasons is not None:
                    raise UnusableList("for some reasons only")
                if scope.only_contains_attribute_certs:
                    raise UnusableList("for attribute certificates")
                if scope.relative_name is not None:
                    raise UnusableList("a relative distribution point")
            case _ if item.critical:
                raise UnusableList(f"critical extension {item.oid.dotted_string}")
    return scope


def _distribution_names(certificate: x509.Certificate) -> frozenset[x509.GeneralName]:
    points = extension(certificate, x509.CRLDistributionPoints)
    if points is None:
        return frozenset()
    return frozenset(name for point in points if not point.reasons for name in point.full_name or ())


class RevocationLists:
    """All lists of one generation, by issuer."""

    def __init__(self, lists: Sequence[bytes]) -> None:
        self._by_issuer: dict[x509.Name, list[RevocationList]] = {}
        unusable: list[str] = []
        for der in lists:
            try:
                known = RevocationList(der)
            except UnusableList as error:
                unusable.append(str(error))
                continue
            self._by_issuer.setdefault(known.issuer, []).append(known)
        for of_issuer in self._by_issuer.values():
            of_issuer.sort(key=lambda known: known.published, reverse=True)
        self.unusable = tuple(unusable)
        """Why lists were left aside, for `mailflow check-config`."""

    def check(self, paths: Sequence[Sequence[x509.Certificate]], at: datetime) -> datetime:
        """The instant until which nothing newer needs to be known. The anchor, last of a path, is not asked about.

        Raises TrustError `CERTIFICATE_REVOKED` if any certificate of any path is, else TrustUndetermined if the
        state of one is unknown at `at`.
        """
        until: list[datetime] = []
        unknown: TrustUndetermined | None = None
        for path in paths:
            for certificate, issuer in pairwise(path):
                try:
                    until.append(self._check_one(certificate, issuer, at))
                except TrustUndetermined as error:
                    unknown = error
        if unknown is not None:
            raise unknown
        return min(until)

    def _check_one(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> datetime:
        """Newest list first. One from the future, or of another scope, may refuse but not vouch.

        What a newer list has superseded is not asked: a hold may have been lifted.
        """
        who = f"serial number {certificate.serial_number:x}"
        for known in self._by_issuer.get(certificate.issuer, ()):
            if not known.is_signed_by(issuer):
                continue
            if certificate.serial_number in known.serials:
                raise TrustError(Code.CERTIFICATE_REVOKED, who)
            if known.published > at + CLOCK_SKEW or not known.covers(certificate):
                continue
            if known.expires < at:
                raise TrustUndetermined(f"{who}: the list of its issuer ended {known.expires:%Y-%m-%d %H:%M}Z")
            return known.expires
        raise TrustUndetermined(f"{who}: no usable list of its issuer")
