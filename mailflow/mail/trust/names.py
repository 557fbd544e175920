"""Compares names as RFC 5280 section 7 asks, and tells whether one lies within a subtree (section 4.2.1.10)."""

import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

_ORGANISATION = (NameOID.ORGANIZATION_NAME.dotted_string, NameOID.ORGANIZATION_IDENTIFIER.dotted_string)

Attributes = frozenset[tuple[str, str | bytes]]
"""One RDN: OIDs, and values in the form that is compared."""
ComparableName = tuple[Attributes, ...]
"""A distinguished name in the form that is compared: equal for names that mean the same."""


@lru_cache(maxsize=2048)
def comparable(name: x509.Name) -> ComparableName:
    """Neither the kind of string, nor case, nor the amount of white space makes a difference."""
    return tuple(frozenset((a.oid.dotted_string, _comparable(a.value)) for a in rdn) for rdn in name.rdns)


def _comparable(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def organisation(certificate: x509.Certificate) -> ComparableName:
    """Whose a certificate is: its subject's organisation with its identifier, or the whole subject when it has none."""
    subject = comparable(certificate.subject)
    named = tuple(rdn for rdn in subject if any(oid in _ORGANISATION for oid, _ in rdn))
    return named or subject


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Whether an authority issued it to itself, as when it changes its key."""
    return comparable(certificate.subject) == comparable(certificate.issuer)


class UnsupportedName(ValueError):
    """A form of name that we cannot compare: nothing may be concluded from it."""


def is_within(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    """Whether `name` lies in `subtree`, both of one form. Raises UnsupportedName."""
    match subtree:
        case x509.DirectoryName(value=x509.Name() as base):
            inner = comparable(_directory(name))
            return inner[: len(base.rdns)] == comparable(base)
        case x509.RFC822Name(value=str() as base):
            return _is_mailbox_within(_text(name), base)
        case x509.DNSName(value=str() as base):
            return _is_host_within(_text(name), base)
        case x509.UniformResourceIdentifier(value=str() as base):
            return _is_host_of(_host(_text(name)), base)
        case x509.IPAddress(value=(IPv4Network() | IPv6Network()) as base):
            return isinstance(name.value, IPv4Address | IPv6Address) and name.value in base
    raise UnsupportedName(type(subtree).__name__)


def _directory(name: x509.GeneralName) -> x509.Name:
    assert isinstance(name.value, x509.Name)
    return name.value


def _text(name: x509.GeneralName) -> str:
    assert isinstance(name.value, str)
    return name.value


def _is_mailbox_within(mailbox: str, base: str) -> bool:
    """`base` is one mailbox, all of a host, or with a leading point all hosts below a domain."""
    local, at, host = mailbox.rpartition("@")
    if not at:
        raise UnsupportedName("an address without @")
    if "@" in base:
        base_local, _, base_host = base.rpartition("@")
        return (local, host.lower()) == (base_local, base_host.lower())
    return _is_host_of(host, base)


def _is_host_of(host: str, base: str) -> bool:
    """Exactly that host, or with a leading point any below it."""
    host, base = host.lower(), base.lower()
    return host.endswith(base) if base.startswith(".") else not base or host == base


def _is_host_within(host: str, base: str) -> bool:
    """That host or any below it."""
    host, base = host.lower(), base.lower()
    return not base or host == base or host.endswith("." + base.removeprefix("."))


def _host(uri: str) -> str:
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        host = None
    if not host or ":" in host or host.replace(".", "").isdigit():
        raise UnsupportedName("a URI without a host name")
    return host
