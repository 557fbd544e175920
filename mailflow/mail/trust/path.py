"""Builds the path from a certificate to a configured anchor and validates it, as RFC 5280 section 6.1 asks.

`cryptography` parses and checks signatures. Its own `x509.verification` is made for the web: it knows no policies, no
constraints on directory names and no comparison of names, hence this module. It is held against NIST's test suite
(`tests/unit/test_pkits.py`). What it does not understand it refuses: every critical extension that is not listed here.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from mailflow.core.anomalies import Code
from mailflow.mail.trust.certificate import check_issued, extension, is_authority, is_for_mail, may_sign_lists
from mailflow.mail.trust.constraints import NameConstraints
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.names import ComparableName, comparable, is_self_issued
from mailflow.mail.trust.policies import POLICY_MAPPINGS, Policies
from mailflow.mail.trust.policy import HOUSE_POLICY, PathPolicy

INTERMEDIATES_MAX = 4
"""Authorities between a holder and its anchor."""
BAG_MAX = 16
"""Authorities of the mail that are looked at."""
SIGNATURES_MAX = 64
"""Signatures that one search checks: names can be borrowed to lead it astray, signatures cannot."""

Path = tuple[x509.Certificate, ...]
"""From the holder to the anchor, both included."""

_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    }
)
"""What may be critical: path, names, policies and revocation together act on all of it."""


class Paths:
    """The anchors and the known intermediates of one generation."""

    def __init__(
        self,
        anchors: Sequence[x509.Certificate],
        intermediates: Sequence[x509.Certificate],
    ) -> None:
        self._anchors = tuple(dict.fromkeys(anchors))
        self._intermediates = tuple(dict.fromkeys(c for c in intermediates if c not in self._anchors))
        self._known = frozenset((*anchors, *intermediates))

    def find(
        self,
        leaf: x509.Certificate,
        bag: Sequence[x509.Certificate],
        at: datetime,
        policy: PathPolicy = HOUSE_POLICY,
    ) -> Path:
        """A path that is valid at `at` by this policy. What is configured is tried before what the mail brings.

        Raises TrustError: `CERTIFICATE_NOT_VALID_THEN` when only the dates are against it, else `PATH_REFUSED`.
        """
        if leaf in self._anchors:
            # An anchor that signs mails itself could never be revoked.
            raise TrustError(Code.PATH_REFUSED, "the certificate is itself an anchor")
        if not _is_valid(leaf, at):
            span = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
            raise TrustError(Code.CERTIFICATE_NOT_VALID_THEN, f"valid from {span}")
        extra = [c for c in bag if is_authority(c) and c not in self._known][:BAG_MAX]
        search = _Search(self._anchors, (*self._intermediates, *extra), at)
        for path in search.paths((leaf,)):
            try:
                _check_permitted(path, policy)
                _validate(path, at, policy)
            except TrustError as refusal:
                search.refusals.insert(0, refusal)
            else:
                return path
        raise search.refusal()

    def list_signers(self, name: ComparableName, anchor: x509.Certificate, at: datetime) -> Iterator[Path]:
        """Configured certificates of that name that may sign revocation lists, with a path to this anchor.

        What a mail brings is not asked: it must not decide about revocation.
        """
        named = [c for c in self._intermediates if comparable(c.subject) == name and may_sign_lists(c)]
        for signer in named:
            for path in _Search((anchor,), self._intermediates, at).paths((signer,)):
                try:
                    _validate(path, at, HOUSE_POLICY)
                except TrustError:
                    continue
                yield path
                break

    def is_known(self, path: Path) -> bool:
        """Whether every authority of the path is configured, none taken from a mail."""
        return self._known.issuperset(path[1:])


class _Search:
    """All paths whose names chain and whose signatures hold, the configured first; within bounds."""

    def __init__(
        self, anchors: Sequence[x509.Certificate], intermediates: Sequence[x509.Certificate], at: datetime
    ) -> None:
        self._at = at
        self._left = SIGNATURES_MAX
        self.refusals: list[TrustError] = []
        """Why what was tried is no path, complete ones before mere steps."""
        self._anchors, self._intermediates = _by_name(anchors), _by_name(intermediates)

    def paths(self, begun: Path) -> Iterator[Path]:
        name = comparable(begun[-1].issuer)
        for anchor in self._anchors.get(name, ()):
            if self._has_issued(anchor, begun[-1]):
                yield (*begun, anchor)
        if len(begun) > INTERMEDIATES_MAX:
            return
        for authority in self._intermediates.get(name, ()):
            if authority not in begun and self._has_issued(authority, begun[-1]):
                yield from self.paths((*begun, authority))

    def _has_issued(self, issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        try:
            check_issued(certificate, issuer, self._at)
        except TrustError as refusal:
            self.refusals.append(refusal)
            return False
        return True

    def refusal(self) -> TrustError:
        """The one that says most: that only a date is against a path."""
        dated = (r for r in self.refusals if r.code is Code.CERTIFICATE_NOT_VALID_THEN)
        none = TrustError(Code.PATH_REFUSED, "no authority of that name is known")
        return next(dated, self.refusals[0] if self.refusals else none)


def _by_name(certificates: Iterable[x509.Certificate]) -> dict[ComparableName, Path]:
    found: dict[ComparableName, Path] = {}
    for certificate in certificates:
        name = comparable(certificate.subject)
        found[name] = (*found.get(name, ()), certificate)
    return found


def _is_valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _validate(path: Path, at: datetime, policy: PathPolicy) -> None:
    """Section 6.1 on a path whose names chain and whose signatures hold. Dates come last: see `Paths.find`.

    The anchor was chosen by the operator, yet it may limit itself by names and path length (RFC 5937).
    """
    anchor, *below = reversed(path)
    constraints = NameConstraints()
    policies = Policies(
        len(below),
        wanted=policy.policies,
        explicit=policy.explicit,
        no_mapping=policy.no_mapping,
        no_any=policy.no_any_policy,
    )
    _check_understood(anchor)
    length_left = _pass_on(anchor, constraints, len(path))
    for certificate in below:
        last = certificate is path[0]
        _check_understood(certificate)
        if last or not is_self_issued(certificate):
            constraints.check(certificate)
        policies.enter(certificate, last=last)
        if not last:
            policies.pass_on(certificate)
            if not is_self_issued(certificate):
                if length_left == 0:
                    raise TrustError(Code.PATH_REFUSED, "more authorities than pathLenConstraint allows")
                length_left -= 1
            length_left = _pass_on(certificate, constraints, length_left)
    policies.finish(path[0])
    if not all(_is_valid(certificate, at) for certificate in path):
        raise TrustError(Code.CERTIFICATE_NOT_VALID_THEN, "an authority of the path was not valid")


def _check_permitted(path: Path, policy: PathPolicy) -> None:
    """That these authorities are among those that the policy allows, if it names any."""
    for allowed, authority, what in ((policy.anchors, path[-1], "anchor"), (policy.issuers, path[1], "issuer")):
        if allowed and authority.fingerprint(hashes.SHA256()).hex() not in allowed:
            raise TrustError(Code.PATH_REFUSED, f"an {what} that is not permitted to this sender")


def _check_understood(certificate: x509.Certificate) -> None:
    if certificate.version is not x509.Version.v3:
        raise TrustError(Code.PATH_REFUSED, "a certificate of an old version")
    for item in certificate.extensions:
        if item.critical and item.oid not in _UNDERSTOOD:
            raise TrustError(Code.PATH_REFUSED, f"critical extension {item.oid.dotted_string}")


def _pass_on(authority: x509.Certificate, constraints: NameConstraints, length_left: int) -> int:
    """Steps g and k to n of section 6.1.4: that it may issue, and how many authorities may still follow."""
    basic = extension(authority, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise TrustError(Code.PATH_REFUSED, "the issuer of a certificate is no authority")
    usage = extension(authority, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise TrustError(Code.PATH_REFUSED, "keyUsage of an authority without keyCertSign")
    if not is_for_mail(authority):
        raise TrustError(Code.PATH_REFUSED, "extendedKeyUsage of an authority without emailProtection")
    constraints.add(authority)
    return length_left if basic.path_length is None else min(length_left, basic.path_length)
