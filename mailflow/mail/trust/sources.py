"""Where revocation data may be fetched from: what the settings name, and what believed certificates state. Pure.

A certificate is asked where it would be listed only once it leads to an anchor: of what is enrolled and of the
configured authorities, never of what a mail brings. And even then only at a host that the settings name, so that no
authority can make the service call wherever it likes.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from mailflow.core.model import Standing
from mailflow.core.revocation import SourceKey, SourceKind
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS
from mailflow.mail.trust.answers import Answer, UnusableAnswer
from mailflow.mail.trust.certificate import extension, read
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.material import TrustMaterial, configured
from mailflow.mail.trust.path import Path, Paths
from mailflow.mail.trust.policy import HOUSE_POLICY
from mailflow.mail.trust.revocation import CLOCK_SKEW
from mailflow.mail.trust.revocation_list import RevocationList, UnusableList

T = TypeVar("T")

URL_CHARACTERS_MAX = 1_000
AFTER_THE_END = timedelta(days=30)
"""How long a certificate that has ended is asked about: mails that came before may still wait to be judged."""
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Where the settings allow to ask."""

    urls: tuple[str, ...] = ()
    """Of lists, asked whatever certificates state."""
    hosts: frozenset[str] = frozenset()
    """`name`, for the usual ports, or `name:port`."""

    def admits(self, url: str) -> bool:
        """Whether a certificate that states this URL may be followed there."""
        parts = _split(url)
        if parts is None or parts.username is not None or parts.fragment:
            return False
        own = PORTS[parts.scheme]
        port = parts.port or own
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{name}:{port}" in self.hosts or (port == own and name in self.hosts)


class Pair(NamedTuple):
    """A certificate that is asked about, and its issuer; DER."""

    certificate: bytes
    issuer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is to be asked, and what is stated but not admitted."""

    wanted: Mapping[SourceKey, Pair | None] = field(default_factory=dict)
    """A list is asked for as it is, a responder about a pair."""
    left_out: tuple[str, ...] = ()


def sources(material: TrustMaterial, admitted: Admitted, at: datetime) -> Sources:
    """All sources of revocation data for what is believed `at`. Raises Misconfigured for an unreadable authority."""
    stated = dict(_stated(material, at))
    wanted: dict[SourceKey, Pair | None] = {SourceKey(SourceKind.LIST, url): None for url in admitted.urls}
    wanted |= {key: pair for key, pair in stated.items() if admitted.admits(key.url)}
    left_out = dict.fromkeys(key.url for key in stated if key not in wanted)
    return Sources(wanted=wanted, left_out=tuple(left_out))


def accept_list(der: bytes, material: TrustMaterial, kept: bytes | None, at: datetime) -> RevocationList:
    """The list that was fetched, when it may take the place of the one that is kept. Raises UnusableList.

    One that nobody configured has signed says nothing; an older one, which anybody on the way can play back, would
    take revocations away.
    """
    new = RevocationList(der)
    if new.published > at + CLOCK_SKEW:
        raise UnusableList("published in the future")
    if not new.is_allowed(at):
        raise UnusableList("signed by an algorithm that is not accepted any more")
    if not any(new.is_signed_by(signer) for signer in configured((*material.anchors, *material.intermediates))):
        raise UnusableList("not signed by any configured authority")
    former = _former(kept, RevocationList, UnusableList)
    if former is not None and former.issuer == new.issuer and _is_older(new, former):
        raise UnusableList("older than the one that is kept")
    return new


def _is_older(new: RevocationList, former: RevocationList) -> bool:
    return new.published < former.published or (new.number or 0) < (former.number or 0)


def accept_answer(der: bytes, asked: Pair, nonce: bytes, kept: bytes | None, at: datetime) -> Answer:
    """The answer that was fetched, when it may take the place of the one that is kept. Raises UnusableAnswer.

    Many responders answer the same to all for some hours, without a nonce; then the date alone says that it is not an
    old one, played back. Whether a responder's own certificate is revoked is asked when a mail is judged.
    """
    new = Answer(der)
    certificate, issuer = read(asked.certificate), read(asked.issuer)
    if new.nonce not in (None, nonce):
        raise UnusableAnswer("answers another question")
    if not new.is_about(certificate, issuer):
        raise UnusableAnswer("about another certificate")
    if new.published > at + CLOCK_SKEW:
        raise UnusableAnswer("published in the future")
    if not new.is_by(issuer, at, lambda *_: True):
        raise UnusableAnswer("not signed by the issuer, nor by a responder of its own")
    former = _former(kept, Answer, UnusableAnswer)
    if former is not None and new.published < former.published:
        raise UnusableAnswer("older than the one that is kept")
    return new


def _former(kept: bytes | None, reads: Callable[[bytes], T], unusable: type[Exception]) -> T | None:
    """None as well for what another version of ours read otherwise."""
    try:
        return None if kept is None else reads(kept)
    except unusable:
        return None


def _stated(material: TrustMaterial, at: datetime) -> Iterator[tuple[SourceKey, Pair | None]]:
    for path in known_paths(material, at):
        for certificate, issuer in pairwise(path):
            yield from _lists(extension(certificate, x509.CRLDistributionPoints))
            yield from _lists(extension(certificate, x509.FreshestCRL))
            yield from _responders(certificate, issuer)
    for der in material.lists:
        try:
            extensions = x509.load_der_x509_crl(der).extensions
            deltas = extensions.get_extension_for_class(x509.FreshestCRL).value
        except (x509.ExtensionNotFound, *CERTIFICATE_ERRORS):
            continue
        yield from _lists(deltas)


def known_paths(material: TrustMaterial, at: datetime) -> Iterator[Path]:
    """The path of each certificate that is enrolled and active, and of each intermediate, where there is one."""
    paths = Paths(configured(material.anchors), configured(material.intermediates))
    enrolled = {
        certificate.der: material.policy_of(sender.code)
        for sender in material.directory.senders
        for certificate in sender.certificates
        if (sender.standing, certificate.standing) == (Standing.ACTIVE, Standing.ACTIVE)
    }
    for der, policy in (enrolled | dict.fromkeys(material.intermediates, HOUSE_POLICY)).items():
        with contextlib.suppress(TrustError):
            certificate = read(der)
            last = min(at, certificate.not_valid_after_utc)
            if at - last <= AFTER_THE_END:
                yield paths.find(certificate, (), last, policy)


def _lists(stated: Iterable[x509.DistributionPoint] | None) -> Iterator[tuple[SourceKey, None]]:
    for point in stated or ():
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and _split(name.value) is not None:
                yield SourceKey(SourceKind.LIST, name.value), None


def _responders(certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[tuple[SourceKey, Pair]]:
    """As AuthorityInformationAccess states (RFC 5280 section 4.2.2.1)."""
    asked = Pair(certificate.public_bytes(Encoding.DER), issuer.public_bytes(Encoding.DER))
    for access in extension(certificate, x509.AuthorityInformationAccess) or ():
        place = access.access_location
        if access.access_method != AuthorityInformationAccessOID.OCSP:
            continue
        if isinstance(place, x509.UniformResourceIdentifier) and _split(place.value) is not None:
            about = hashlib.sha256(asked.certificate).hexdigest()
            yield SourceKey(SourceKind.ANSWER, place.value, about), asked


def _split(url: str) -> SplitResult | None:
    """None for what is not asked by HTTP, and for what is no URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    printable = url.isascii() and url.isprintable() and " " not in url and len(url) <= URL_CHARACTERS_MAX
    return parts if usable and printable else None
