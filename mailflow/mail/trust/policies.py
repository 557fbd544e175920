"""Under which certificate policies a path holds (RFC 5280 sections 6.1.2 to 6.1.5).

The tree of the RFC can grow without measure; RFC 9618 replaces it by a graph. Of that graph only this matters in the
end: from which policies, in the words of the anchor, what is valid at this depth descends. So that is all we keep.
"""

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from mailflow.core.anomalies import Code
from mailflow.mail.cms import ber
from mailflow.mail.cms.ber import Malformed, Reader
from mailflow.mail.trust.certificate import extension
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.names import is_self_issued

ANY_POLICY = "2.5.29.32.0"
POLICY_MAPPINGS = ObjectIdentifier("2.5.29.33")
POLICIES_MAX = 64
"""Policies or mappings in one certificate."""

Descent = Mapping[str, frozenset[str]]
"""The policies that the next certificate may state, each with those of the anchor's words that it descends from."""


class Policies:
    """The state of the RFC's algorithm between two certificates of a path."""

    def __init__(
        self,
        length: int,
        *,
        wanted: frozenset[str],
        explicit: bool,
        no_mapping: bool,
        no_any: bool,
    ) -> None:
        """`length`: certificates below the anchor. `wanted`: the initial policy set, empty for any.

        The rest are the initial indicators of section 6.1.1.
        """
        self._wanted = wanted
        self._valid: Descent = {ANY_POLICY: frozenset({ANY_POLICY})}
        # How many certificates may still come before the rule holds.
        self._until_explicit = 0 if explicit else length + 1
        self._until_no_mapping = 0 if no_mapping else length + 1
        self._until_no_any = 0 if no_any else length + 1

    def enter(self, certificate: x509.Certificate, *, last: bool) -> None:
        """Steps d to f of section 6.1.3. Raises TrustError when no policy is left and one is demanded."""
        stated = _stated(certificate)
        any_counts = ANY_POLICY in stated and (self._until_no_any > 0 or (not last and is_self_issued(certificate)))
        valid: dict[str, frozenset[str]] = {}
        for policy in stated - {ANY_POLICY}:
            if policy in self._valid:
                valid[policy] = self._valid[policy]
            elif ANY_POLICY in self._valid:
                valid[policy] = frozenset({policy})
        if any_counts:
            valid |= {policy: roots for policy, roots in self._valid.items() if policy not in stated - {ANY_POLICY}}
        self._valid = valid
        self._demand(bool(valid))

    def pass_on(self, authority: x509.Certificate) -> None:
        """Steps a, b and h to j of section 6.1.4: what this authority demands of those below it."""
        self._map(_mappings(authority))
        if not is_self_issued(authority):
            self._until_explicit = max(0, self._until_explicit - 1)
            self._until_no_mapping = max(0, self._until_no_mapping - 1)
            self._until_no_any = max(0, self._until_no_any - 1)
        limits = extension(authority, x509.PolicyConstraints)
        if limits is not None and limits.require_explicit_policy is not None:
            self._until_explicit = min(self._until_explicit, limits.require_explicit_policy)
        if limits is not None and limits.inhibit_policy_mapping is not None:
            self._until_no_mapping = min(self._until_no_mapping, limits.inhibit_policy_mapping)
        inhibited = extension(authority, x509.InhibitAnyPolicy)
        if inhibited is not None:
            self._until_no_any = min(self._until_no_any, inhibited.skip_certs)

    def finish(self, holder: x509.Certificate) -> None:
        """Steps a, b and g of section 6.1.5. Raises TrustError when a policy is demanded and no wanted one is left."""
        self._until_explicit = max(0, self._until_explicit - 1)
        limits = extension(holder, x509.PolicyConstraints)
        if limits is not None and limits.require_explicit_policy == 0:
            self._until_explicit = 0
        roots = frozenset[str]().union(*self._valid.values())
        self._demand(bool(roots) and (not self._wanted or not roots.isdisjoint(self._wanted | {ANY_POLICY})))

    def _demand(self, met: bool) -> None:
        if not met and self._until_explicit == 0:
            raise TrustError(Code.PATH_REFUSED, "no valid certificate policy")

    def _map(self, mappings: Mapping[str, frozenset[str]]) -> None:
        if not mappings:
            return
        expected = {policy: roots for policy, roots in self._valid.items() if policy not in mappings}
        if self._until_no_mapping > 0:
            for policy, equivalents in mappings.items():
                roots = self._valid.get(policy)
                if roots is None:
                    if ANY_POLICY not in self._valid:
                        continue
                    roots = frozenset({policy})
                for equivalent in equivalents:
                    expected[equivalent] = expected.get(equivalent, frozenset()) | roots
        self._valid = expected


def _stated(certificate: x509.Certificate) -> frozenset[str]:
    stated = extension(certificate, x509.CertificatePolicies)
    return _bounded(item.policy_identifier.dotted_string for item in stated or ())


def _bounded(policies: Iterable[str]) -> frozenset[str]:
    found = frozenset(policies)
    if len(found) > POLICIES_MAX:
        raise TrustError(Code.PATH_REFUSED, f"{len(found)} certificate policies")
    return found


def _mappings(authority: x509.Certificate) -> dict[str, frozenset[str]]:
    """Of each policy in the words of the authority's issuer, those in its own (section 4.2.1.5)."""
    try:
        octets = authority.extensions.get_extension_for_oid(POLICY_MAPPINGS).value.public_bytes()
    except x509.ExtensionNotFound:
        return {}
    mapped: dict[str, frozenset[str]] = {}
    try:
        reader = Reader(octets)
        pairs = reader.children(reader.root(), ber.SEQUENCE)
        if len(pairs) > POLICIES_MAX:
            raise Malformed(f"{len(pairs)} mappings")
        for pair in pairs:
            ours, theirs = (reader.oid(item) for item in reader.children(pair, ber.SEQUENCE))
            mapped[ours] = mapped.get(ours, frozenset()) | {theirs}
    except (Malformed, ValueError) as error:
        raise TrustError(Code.PATH_REFUSED, f"policyMappings: {error}") from None
    if ANY_POLICY in mapped or any(ANY_POLICY in theirs for theirs in mapped.values()):
        raise TrustError(Code.PATH_REFUSED, "policyMappings of anyPolicy")
    return mapped
