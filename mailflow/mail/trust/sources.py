"""Where revocation data may be fetched from: what the settings name, and what believed certificates state. Pure.

A certificate is asked where it would be listed only once it leads to an anchor: of what is enrolled and of the
configured authorities, never of what a mail brings. And even then only at a host that the settings name, so that no
authority can make the service call wherever it likes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from cryptography import x509

from mailflow.core.model import Standing
from mailflow.core.revocation import SourceKey, SourceKind
from mailflow.mail.cms.certificates import CERTIFICATE_ERRORS
from mailflow.mail.trust.certificate import extension, read
from mailflow.mail.trust.decision import TrustMaterial, configured
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.path import Path, Paths
from mailflow.mail.trust.revocation import CLOCK_SKEW
from mailflow.mail.trust.revocation_list import RevocationList, UnusableList

URL_CHARACTERS_MAX = 1_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is to be asked, and what is stated but not admitted."""

    wanted: tuple[SourceKey, ...] = ()
    left_out: tuple[str, ...] = ()


def sources(material: TrustMaterial, admitted: Admitted, at: datetime) -> Sources:
    """All sources of revocation data for what is believed `at`. Raises Misconfigured for an unreadable authority."""
    stated = dict.fromkeys(_stated(material, at))
    allowed = [url for url in stated if admitted.admits(url)]
    urls = dict.fromkeys((*admitted.urls, *allowed))
    return Sources(
        wanted=tuple(SourceKey(SourceKind.LIST, url) for url in urls),
        left_out=tuple(url for url in stated if url not in urls),
    )


def accept_list(der: bytes, material: TrustMaterial, kept: bytes | None, at: datetime) -> RevocationList:
    """The list that was fetched, when it may take the place of the one that is kept. Raises UnusableList.

    One that nobody configured has signed says nothing; an older one, which anybody on the way can play back, would
    take revocations away.
    """
    new = RevocationList(der)
    if new.published > at + CLOCK_SKEW:
        raise UnusableList("published in the future")
    if not any(new.is_signed_by(signer) for signer in configured((*material.anchors, *material.intermediates))):
        raise UnusableList("not signed by any configured authority")
    former = _former(kept)
    if former is not None and former.issuer == new.issuer and _is_older(new, former):
        raise UnusableList("older than the one that is kept")
    return new


def _is_older(new: RevocationList, former: RevocationList) -> bool:
    return new.published < former.published or (new.number or 0) < (former.number or 0)


def _former(kept: bytes | None) -> RevocationList | None:
    try:
        return None if kept is None else RevocationList(kept)
    except UnusableList:  # of a version of ours that read it otherwise
        return None


def _stated(material: TrustMaterial, at: datetime) -> Iterator[str]:
    for path in known_paths(material, at):
        for certificate in path[:-1]:
            yield from _points(extension(certificate, x509.CRLDistributionPoints))
            yield from _points(extension(certificate, x509.FreshestCRL))
    for der in material.lists:
        try:
            extensions = x509.load_der_x509_crl(der).extensions
            deltas = extensions.get_extension_for_class(x509.FreshestCRL).value
        except (x509.ExtensionNotFound, *CERTIFICATE_ERRORS):
            continue
        yield from _points(deltas)


def known_paths(material: TrustMaterial, at: datetime) -> Iterator[Path]:
    """The path of each certificate that is enrolled and active, and of each intermediate, where there is one."""
    paths = Paths(configured(material.anchors), configured(material.intermediates), material.policy)
    enrolled = dict.fromkeys(
        certificate.der
        for sender in material.directory.senders
        for certificate in sender.certificates
        if (sender.standing, certificate.standing) == (Standing.ACTIVE, Standing.ACTIVE)
    )
    for der in (*enrolled, *material.intermediates):
        try:
            yield paths.find(read(der), (), at)
        except TrustError:
            continue


def _points(stated: Iterable[x509.DistributionPoint] | None) -> Iterator[str]:
    for point in stated or ():
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and _split(name.value) is not None:
                yield name.value


def _split(url: str) -> SplitResult | None:
    """None for what is not asked by HTTP, and for what is no URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    printable = url.isascii() and url.isprintable() and " " not in url and len(url) <= URL_CHARACTERS_MAX
    return parts if usable and printable else None
