"""Which names the authorities of a path may give (RFC 5280 section 4.2.1.10)."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mailflow.core.anomalies import Code
from mailflow.mail.trust.certificate import extension
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.names import UnsupportedName, is_within

COMPARISONS_MAX = 100_000
"""Names times subtrees that are compared for one path."""


class NameConstraints:
    """What the authorities from the anchor down to here permit and exclude."""

    def __init__(self) -> None:
        self._permitted: list[list[x509.GeneralName]] = []
        """Of each authority that permits: a name must lie within one subtree of every authority that names its form."""
        self._excluded: list[x509.GeneralName] = []
        self._comparisons = 0

    def add(self, authority: x509.Certificate) -> None:
        """What this authority demands of those below it. Raises TrustError for what was not understood in full."""
        stated = extension(authority, x509.NameConstraints)
        if stated is None:
            return
        # The library leaves out minimum and maximum, which RFC 5280 rules out and others may have meant.
        if stated.public_bytes() not in authority.public_bytes(Encoding.DER):
            raise TrustError(Code.PATH_REFUSED, "nameConstraints with minimum or maximum")
        if stated.permitted_subtrees:
            self._permitted.append(stated.permitted_subtrees)
        self._excluded += stated.excluded_subtrees or ()

    def check(self, certificate: x509.Certificate) -> None:
        """Raises TrustError for a name that is not permitted, or of a form that is constrained and unknown to us."""
        if not self._permitted and not self._excluded:
            return
        try:
            for name in _names(certificate):
                if self._lies_within(name, self._excluded):
                    raise TrustError(Code.PATH_REFUSED, "a name that an authority excludes")
                for subtrees in self._permitted:
                    if any(_same_form(name, s) for s in subtrees) and not self._lies_within(name, subtrees):
                        raise TrustError(Code.PATH_REFUSED, "a name that an authority does not permit")
        except UnsupportedName as error:
            raise TrustError(Code.PATH_REFUSED, f"nameConstraints on {error}") from None

    def _lies_within(self, name: x509.GeneralName, subtrees: list[x509.GeneralName]) -> bool:
        self._comparisons += len(subtrees)
        if self._comparisons > COMPARISONS_MAX:
            raise TrustError(Code.PATH_REFUSED, "too many names to compare")
        return any(_same_form(name, subtree) and is_within(name, subtree) for subtree in subtrees)


def _same_form(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    return type(name) is type(subtree)


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """All names of the holder; an address in the subject counts as one in subjectAltName."""
    names: list[x509.GeneralName] = []
    if certificate.subject.rdns:
        names.append(x509.DirectoryName(certificate.subject))
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        try:
            names.append(x509.RFC822Name(str(attribute.value)))
        except ValueError:
            raise UnsupportedName("an address that is none") from None
    names += extension(certificate, x509.SubjectAlternativeName) or ()
    return names
