"""Where revocation data may be asked for, and which fetched list may take the place of the one that is kept."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from mailflow.core.model import Standing
from mailflow.core.revocation import SourceKind
from mailflow.demo.certificates import Extensions
from mailflow.demo.pki import DAY
from mailflow.mail.trust.revocation import CLOCK_SKEW
from mailflow.mail.trust.revocation_list import UnusableList
from mailflow.mail.trust.sources import URL_CHARACTERS_MAX, Admitted, Sources, accept_list, sources
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled

PKI = shared_pki()
SECOND = timedelta(seconds=1)
HERE = Admitted(hosts=frozenset({"crl.example", "[2001:db8::1]", "ocsp.example:8080"}))


@pytest.mark.parametrize(
    "url",
    [
        "http://crl.example/a.crl",
        "https://crl.example/a.crl",
        "http://CRL.example:80/a.crl?b=c",
        "https://crl.example:443/",
        "http://[2001:db8::1]/a.crl",
        "http://ocsp.example:8080/",
        "http://crl.example/" + "a" * (URL_CHARACTERS_MAX - len("http://crl.example/")),
    ],
)
def test_a_named_host_may_be_asked_at_the_usual_ports_another_port_is_named(url: str) -> None:
    assert HERE.admits(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example/",
        "http://crl.example:8080/",
        "https://crl.example:80/",
        "http://ocsp.example/",
        "http://crl.example.org/",
        "ldap://crl.example/cn=x",
        "http://somebody@crl.example/",
        "http://crl.example/#part",
        "http:///a.crl",
        "http://crl.example:0/",
        "http://crl.example:port/",
        "http://[2001:db8::1/",
        "http://2001:db8::1/",
        "http://crl.example/é",
        "http://crl.example/a b",
        "http://crl.example/a\x7f",
        "http://crl.example/" + "a" * (URL_CHARACTERS_MAX + 1 - len("http://crl.example/")),
        "",
    ],
)
def test_nobody_else_is_asked(url: str) -> None:
    assert not HERE.admits(url)


def stated(*extra: Extensions, lists: Sequence[bytes] = ()) -> Sources:
    """What an enrolled certificate with these extensions, and these lists, say where to ask."""
    leaf = PKI.issue("leaf", extra=[one for some in extra for one in some])
    trust = a_trust(a_sender(enrolled(leaf)), crls=lists)
    return sources(trust.material, HERE, AT)


def points(*names: x509.GeneralName) -> x509.DistributionPoint:
    return x509.DistributionPoint(names, None, None, None)


def url(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def test_lists_are_where_certificates_and_lists_say_by_a_url() -> None:
    directory_name = x509.DirectoryName(PKI.root.identity.certificate.subject)
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    said = x509.CRLDistributionPoints(
        [
            points(directory_name, url("http://crl.example/1"), url("ldap://crl.example/2")),
            points(url("http://elsewhere.example/3")),
            x509.DistributionPoint(None, relative, None, None),
        ]
    )
    fresh = x509.FreshestCRL([points(url("http://crl.example/4"))])
    deltas = PKI.crl(PKI.issuing_ec, extra=[(x509.FreshestCRL([points(url("http://crl.example/5"))]), False)])
    found = stated([(said, False), (fresh, False)], lists=[b"no list", PKI.crl(PKI.root), deltas])
    wanted = {(key.kind, key.url, pair) for key, pair in found.wanted.items()}
    assert wanted == {(SourceKind.LIST, f"http://crl.example/{number}", None) for number in (1, 4, 5)}
    assert found.left_out == ("http://elsewhere.example/3",)


def test_a_responder_is_where_the_certificate_says_one_answers() -> None:
    descriptions = [
        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url("http://crl.example/issuer")),
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.DNSName("crl.example")),
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, url("ldap://crl.example/")),
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, url("http://ocsp.example:8080/")),
    ]
    found = stated([(x509.AuthorityInformationAccess(descriptions), False)])
    ((key, pair),) = found.wanted.items()
    assert (key.kind, key.url) == (SourceKind.ANSWER, "http://ocsp.example:8080/")
    assert pair is not None
    assert pair.issuer == PKI.issuing_ec.identity.der
    assert found.left_out == ()


def test_who_is_suspended_or_leads_nowhere_is_not_asked_about() -> None:
    said = (x509.CRLDistributionPoints([points(url("http://crl.example/1"))]), False)
    leaf, stranger = PKI.issue("leaf", extra=[said]), PKI.issue("stranger", by=PKI.stranger, extra=[said])
    sender = a_sender(enrolled(leaf), enrolled(stranger), enrolled(b"no certificate"))
    material = a_trust(sender).material
    assert len(sources(material, HERE, AT).wanted) == 1
    (first, *rest) = sender.certificates
    for suspended in (
        replace(sender, standing=Standing.SUSPENDED),
        replace(sender, certificates=(replace(first, standing=Standing.SUSPENDED), *rest)),
    ):
        directory = replace(material.directory, senders=(suspended,))
        assert not sources(replace(material, directory=directory), HERE, AT).wanted


def test_what_has_ended_is_asked_about_for_thirty_days_and_no_second_more() -> None:
    said = (x509.CRLDistributionPoints([points(url("http://crl.example/1"))]), False)
    leaf = PKI.issue("leaf", ends=DAY, extra=[said])
    material = a_trust(a_sender(enrolled(leaf))).material
    last = AT + DAY + 30 * DAY
    assert len(sources(material, HERE, last).wanted) == 1
    assert len(sources(material, HERE, last + SECOND).wanted) == 0


MATERIAL = a_trust().material
KEPT = PKI.crl(PKI.issuing_ec, published=AT - DAY)


def accepts(der: bytes, kept: bytes | None = KEPT) -> str:
    """What is said against a list."""
    try:
        accept_list(der, MATERIAL, kept, AT)
    except UnusableList as error:
        return str(error)
    return ""


def numbered(number: int | None, published: timedelta = -DAY) -> bytes:
    """A list that `cryptography` writes, with a number of our choice or none."""
    key, name = PKI.issuing_ec.identity.key, PKI.issuing_ec.identity.certificate.subject
    begins = AT + published
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    builder = builder.last_update(begins).next_update(begins + 7 * DAY)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_newer_list_of_a_configured_authority_takes_the_place_of_the_older() -> None:
    assert accepts(PKI.crl(PKI.issuing_ec)) == accepts(KEPT) == accepts(KEPT, None) == ""
    assert accepts(PKI.crl(PKI.root, published=AT - 2 * DAY)) == "", "of another authority"
    assert accepts(KEPT, b"what an older version could read") == ""
    assert accepts(PKI.crl(PKI.issuing_ec, published=AT + CLOCK_SKEW)) == ""


def test_a_list_that_may_not_take_its_place() -> None:
    assert accepts(PKI.crl(PKI.issuing_ec, published=AT - DAY - SECOND)) == "older than the one that is kept"
    assert accepts(PKI.crl(PKI.issuing_ec, published=AT + CLOCK_SKEW + SECOND)) == "published in the future"
    assert accepts(PKI.crl(PKI.stranger)) == "not signed by any configured authority"
    assert accepts(b"") != ""


def test_the_number_of_a_list_does_not_go_back_either() -> None:
    assert accepts(numbered(4, timedelta(0)), numbered(5)) == "older than the one that is kept"
    assert accepts(numbered(6, -2 * DAY), numbered(5)) == "older than the one that is kept"
    assert accepts(numbered(5, timedelta(0)), numbered(5)) == accepts(numbered(6), numbered(5)) == ""
    assert accepts(numbered(None, timedelta(0)), numbered(1)) == "older than the one that is kept"
    assert accepts(numbered(1), numbered(None)) == accepts(numbered(None), numbered(None)) == ""
    assert accepts(numbered(None), numbered(0)) == accepts(numbered(0), numbered(None)) == ""


def test_a_list_that_is_signed_as_is_not_accepted_any_more_is_not_taken() -> None:
    after = AT.replace(year=2031)
    of_rsa, of_curve = (PKI.crl(one, published=after - DAY) for one in (PKI.issuing_rsa, PKI.issuing_ec))
    assert accept_list(of_curve, MATERIAL, None, after).published == after - DAY
    with pytest.raises(UnusableList, match="not accepted any more"):
        accept_list(of_rsa, MATERIAL, None, after)
    assert accepts(PKI.crl(PKI.issuing_rsa), None) == ""
