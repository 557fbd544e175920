"""Builds the path from a certificate to a configured anchor, as RFC 5280 section 6 asks.

`cryptography.x509.verification` searches and checks signatures, names, dates, path lengths, name constraints, key
sizes of authorities and critical extensions. What it leaves to us is said in the two extension policies here, and
in `certificate.check_leaf`. It refuses some paths that others accept: authorities with Ed25519 or brainpool keys,
critical certificate policies and policy constraints, name constraints on directory names.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from mailflow.core.anomalies import Code
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS
from mailflow.mail.trust.certificate import is_authority, is_for_mail
from mailflow.mail.trust.errors import TrustError

INTERMEDIATES_MAX = 4
"""Authorities between a holder and its anchor."""
BAG_MAX = 16
"""Authorities of the mail that are looked at."""

Path = tuple[x509.Certificate, ...]
"""From the holder to the anchor, both included."""


def _authority_may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyUsage of an authority without keyCertSign")


def _authority_vouches_for_mail(_: Policy, certificate: x509.Certificate, __: x509.ExtendedKeyUsage | None) -> None:
    if not is_for_mail(certificate):
        raise ValueError("extendedKeyUsage of an authority without emailProtection")


_AUTHORITIES = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _authority_may_sign)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _authority_vouches_for_mail)
)
_HOLDERS = ExtensionPolicy.permit_all()


class Paths:
    """The anchors and the known intermediates of one generation."""

    def __init__(self, anchors: Sequence[x509.Certificate], intermediates: Sequence[x509.Certificate]) -> None:
        self._store = Store(list(anchors))
        self._intermediates = list(intermediates)
        self._known = frozenset(intermediates) | frozenset(anchors)

    def find(self, leaf: x509.Certificate, bag: Sequence[x509.Certificate], at: datetime) -> Path:
        """A path that is valid at `at`. What is configured is tried before what the mail brings.

        Raises TrustError: `CERTIFICATE_NOT_VALID_THEN` when only the dates are against it, else `PATH_REFUSED`.
        """
        if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
            span = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
            raise TrustError(Code.CERTIFICATE_NOT_VALID_THEN, f"valid from {span}")
        extra = [c for c in bag if is_authority(c) and c not in self._known][:BAG_MAX]
        try:
            return self._verify(leaf, extra, at)
        except TrustError as refusal:
            if self._held_once(leaf, extra):
                raise TrustError(Code.CERTIFICATE_NOT_VALID_THEN, "an authority of the path was not valid") from refusal
            raise

    def is_known(self, path: Path) -> bool:
        """Whether every authority of the path is configured, none taken from a mail."""
        return self._known.issuperset(path[1:])

    def _held_once(self, leaf: x509.Certificate, extra: Sequence[x509.Certificate]) -> bool:
        """Whether the path was complete when the certificate was issued, or would be when it expires."""
        for instant in (leaf.not_valid_before_utc, leaf.not_valid_after_utc):
            try:
                self._verify(leaf, extra, instant)
            except TrustError:
                continue
            return True
        return False

    def _verify(self, leaf: x509.Certificate, extra: Sequence[x509.Certificate], at: datetime) -> Path:
        try:
            verifier = (
                PolicyBuilder()
                .store(self._store)
                .time(at)
                .max_chain_depth(INTERMEDIATES_MAX)
                .extension_policies(ca_policy=_AUTHORITIES, ee_policy=_HOLDERS)
                .build_client_verifier()
            )
            path = tuple(verifier.verify(leaf, [*self._intermediates, *extra]).chain)
        except VerificationError as error:
            reason = str(error).partition(" (encountered")[0].removeprefix("validation failed: ")
            raise TrustError(Code.PATH_REFUSED, reason[:200]) from None
        except CERTIFICATE_ERRORS as error:
            raise TrustError(Code.PATH_REFUSED, type(error).__name__) from None
        if len(path) < 2:
            # An anchor that signs mails itself could never be revoked.
            raise TrustError(Code.PATH_REFUSED, "the certificate is itself an anchor")
        return path
