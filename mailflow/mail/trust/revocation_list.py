"""Reads one revocation list (RFC 5280 section 5), and what a certificate says of where it would be listed.

Whatever a list says that we cannot handle makes it unusable, and an unusable list counts as missing: it can never
make a certificate good.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags

from mailflow.mail.cms.algorithms import Use, is_allowed
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS, public_key
from mailflow.mail.cms.errors import CmsError
from mailflow.mail.trust.certificate import STRONG_HASHES, extension, is_authority, may_sign_lists
from mailflow.mail.trust.names import ComparableName, comparable

ALL_REASONS = frozenset(ReasonFlags) - {ReasonFlags.unspecified, ReasonFlags.remove_from_crl}
"""A certificate counts as good only when it is on no list for any of these."""

PointNames = frozenset[tuple[str, object]]
"""Names of a distribution point in the form that is compared: kind and value."""


class UnusableList(ValueError):
    """A revocation list that cannot be read, or must not be used. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Of which certificates a list speaks, as its IssuingDistributionPoint says (section 5.2.5)."""

    points: PointNames | None = None
    holders_only: bool = False
    authorities_only: bool = False
    reasons: frozenset[ReasonFlags] = ALL_REASONS
    indirect: bool = False
    """Whether it may list certificates of other issuers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a certificate would be listed: one of its distribution points (section 4.2.1.13)."""

    names: PointNames
    issuers: frozenset[ComparableName]
    """Who publishes there, if not the issuer of the certificate."""
    reasons: frozenset[ReasonFlags]


class RevocationList:
    """One list whose form we can handle. Who signed it is for `RevocationLists` to say."""

    def __init__(self, der: bytes) -> None:
        """Raises UnusableList."""
        try:
            self._crl = x509.load_der_x509_crl(der)
            extensions = self._crl.extensions
            algorithm = self._crl.signature_hash_algorithm
            self._algorithm = self._crl.signature_algorithm_oid.dotted_string
            expires = self._crl.next_update_utc
            self.issuer = comparable(self._crl.issuer)
            self.published = self._crl.last_update_utc
            self.scope = _scope(extensions, self._crl.issuer)
            self.number = _number(extensions, x509.CRLNumber)
            self.base = _number(extensions, x509.DeltaCRLIndicator)
            """The number of the list that this one changes, if it is a delta."""
            self._entries = self._index()
        except UnusableList:
            raise
        except CERTIFICATE_ERRORS as error:
            raise UnusableList(f"unreadable ({type(error).__name__})") from None
        if algorithm is not None and not isinstance(algorithm, STRONG_HASHES):
            raise UnusableList(f"signed with {algorithm.name}")
        if expires is None:
            raise UnusableList("no nextUpdate")
        self.expires = expires
        self.digest = hashlib.sha256(der).digest()
        """By which it is named where it was relied on."""
        self._signed_by: dict[x509.Certificate, bool] = {}

    def _index(self) -> dict[ComparableName, dict[int, bool]]:
        """Of each issuer the numbers listed; False for one that a delta takes off the list, and names only for that."""
        found: dict[ComparableName, dict[int, bool]] = {}
        issuer = self.issuer
        for entry in self._crl:
            listed = True
            for item in entry.extensions:
                match item.value:
                    case x509.CRLReason() as stated:
                        listed = self.base is None or stated.reason is not ReasonFlags.remove_from_crl
                    case x509.CertificateIssuer() as named if self.scope.indirect:
                        # It holds for the entries behind it too (section 5.3.3).
                        issuer = _issuer(named)
                    case _ if item.critical:
                        raise UnusableList("an entry with a critical extension")
            numbers = found.setdefault(issuer, {})
            numbers[entry.serial_number] = listed or numbers.get(entry.serial_number, False)
        return found

    def says(self, certificate: x509.Certificate) -> bool | None:
        """True: revoked; False: taken off the list, as only a delta may say; None: not named."""
        return self._entries.get(comparable(certificate.issuer), {}).get(certificate.serial_number)

    def reasons_covered(self, certificate: x509.Certificate, points: Iterable[Point]) -> frozenset[ReasonFlags]:
        """For which reasons it would name the certificate if it were revoked (section 6.3.3 b and d)."""
        if self.scope.holders_only and is_authority(certificate):
            return frozenset()
        if self.scope.authorities_only and not is_authority(certificate):
            return frozenset()
        reached = (point.reasons & self.scope.reasons for point in points if self._serves(point, certificate))
        return frozenset[ReasonFlags]().union(*reached)

    def _serves(self, point: Point, certificate: x509.Certificate) -> bool:
        if point.issuers:
            if self.issuer not in point.issuers or not self.scope.indirect:
                return False
        elif self.issuer != comparable(certificate.issuer):
            return False
        return self.scope.points is None or not self.scope.points.isdisjoint(point.names)

    def changes(self, complete: "RevocationList") -> bool:
        """Whether this delta may be applied to that list (section 6.3.3 c). Who signed them is compared elsewhere."""
        return (
            self.base is not None
            and self.number is not None
            and complete.number is not None
            and self.base <= complete.number < self.number
            and (self.issuer, self.scope) == (complete.issuer, complete.scope)
        )

    def is_allowed(self, at: datetime) -> bool:
        """Whether the table of algorithms still has that of its signature on that day."""
        return is_allowed(Use.SIGNATURE, self._algorithm, at)

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether the key of `issuer` signed it, is strong enough, and may."""
        if issuer not in self._signed_by:
            self._signed_by[issuer] = may_sign_lists(issuer) and self._verifies(issuer)
        return self._signed_by[issuer]

    def _verifies(self, issuer: x509.Certificate) -> bool:
        try:
            return self._crl.is_signature_valid(public_key(issuer.public_bytes(Encoding.DER)))
        except (CmsError, *CERTIFICATE_ERRORS):
            return False


def _issuer(named: x509.CertificateIssuer) -> ComparableName:
    names = named.get_values_for_type(x509.DirectoryName)
    if len(names) != 1:
        raise UnusableList("an entry whose issuer has not one name")
    return comparable(names[0])


def points_of(certificate: x509.Certificate) -> tuple[Point, ...]:
    """Its distribution points, and the list that its issuer publishes for all (end of section 6.3.3)."""
    stated = extension(certificate, x509.CRLDistributionPoints) or ()
    general = Point(names=_names([x509.DirectoryName(certificate.issuer)]), issuers=frozenset(), reasons=ALL_REASONS)
    return (*(_point(point, certificate) for point in stated), general)


def _point(stated: x509.DistributionPoint, certificate: x509.Certificate) -> Point:
    publishers = [n.value for n in stated.crl_issuer or () if isinstance(n, x509.DirectoryName)]
    base = publishers[0] if publishers else certificate.issuer
    names = _point_names(stated.full_name, stated.relative_name, base)
    return Point(
        names=_names(stated.crl_issuer or ()) if names is None else names,
        issuers=frozenset(map(comparable, publishers)),
        reasons=_reasons(stated.reasons),
    )


def _point_names(
    full: Iterable[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, base: x509.Name
) -> PointNames | None:
    if relative is not None:
        return _names([x509.DirectoryName(x509.Name([*base.rdns, relative]))])
    return None if full is None else _names(full)


def _reasons(stated: frozenset[ReasonFlags] | None) -> frozenset[ReasonFlags]:
    return ALL_REASONS if stated is None else stated & ALL_REASONS


def _names(names: Iterable[x509.GeneralName]) -> PointNames:
    return frozenset(
        ("DirectoryName", comparable(n.value)) if isinstance(n, x509.DirectoryName) else (type(n).__name__, n.value)
        for n in names
    )


def _scope(extensions: x509.Extensions, issuer: x509.Name) -> Scope:
    scope = Scope()
    for item in extensions:
        match item.value:
            case x509.IssuingDistributionPoint() as stated:
                if stated.only_contains_attribute_certs:
                    raise UnusableList("for attribute certificates")
                scope = Scope(
                    points=_point_names(stated.full_name, stated.relative_name, issuer),
                    holders_only=stated.only_contains_user_certs,
                    authorities_only=stated.only_contains_ca_certs,
                    reasons=_reasons(stated.only_some_reasons),
                    indirect=stated.indirect_crl,
                )
            case x509.DeltaCRLIndicator():
                pass
            case _ if item.critical:
                raise UnusableList(f"critical extension {item.oid.dotted_string}")
    return scope


def _number(extensions: x509.Extensions, kind: type[x509.CRLNumber] | type[x509.DeltaCRLIndicator]) -> int | None:
    try:
        return extensions.get_extension_for_class(kind).value.crl_number
    except x509.ExtensionNotFound:
        return None
