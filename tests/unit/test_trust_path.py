"""Certificates and paths that prove nobody, though they are enrolled."""

from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.certificates import TLS_ONLY, UNKNOWN_EXTENSION
from mailflow.demo.pki import DAY, Authority, Fault
from mailflow.errors import Misconfigured
from mailflow.mail.trust import TrustError, TrustUndetermined
from mailflow.mail.trust.path import BAG_MAX, INTERMEDIATES_MAX
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled, signed_by, with_weak_signature
from tests.support.verdicts import proven, refused, verdict_on

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT

PKI = shared_pki()
HOUR = timedelta(hours=1)

# Not believed: the certificate and its path


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.EXPIRED, Code.CERTIFICATE_NOT_VALID_THEN),
        (Fault.NOT_YET_VALID, Code.CERTIFICATE_NOT_VALID_THEN),
        (Fault.REVOKED, Code.CERTIFICATE_REVOKED),
        (Fault.SELF_SIGNED, Code.PATH_REFUSED),
        (Fault.OTHER_AUTHORITY, Code.PATH_REFUSED),
        (Fault.TLS_ONLY, Code.KEY_USAGE_REFUSED),
        (Fault.AUTHORITY_AS_SIGNER, Code.KEY_USAGE_REFUSED),
        (Fault.ENCRYPTION_ONLY, Code.KEY_USAGE_REFUSED),
        (Fault.RSA_1024, Code.KEY_TOO_WEAK),
        (Fault.P192, Code.KEY_TOO_WEAK),
        (Fault.ISSUED_BY_A_LEAF, Code.PATH_REFUSED),
        (Fault.UNKNOWN_CRITICAL_EXTENSION, Code.PATH_REFUSED),
    ],
)
def test_a_faulty_certificate_is_refused_though_it_is_enrolled(fault: Fault, code: Code) -> None:
    leaf = PKI.faulty(fault)
    trust = a_trust(a_sender(enrolled(leaf)))
    assert refused(trust, signed_by(leaf), bag=[PKI.leaf_as_authority.der, leaf.der]) is code


@pytest.mark.parametrize("fault", [Fault.STALE_CRL, Fault.MISSING_CRL])
def test_without_current_revocation_data_nothing_is_decided(fault: Fault) -> None:
    leaf = PKI.faulty(fault)
    with pytest.raises(TrustUndetermined) as caught:
        proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))
    assert caught.value.code is Code.REVOCATION_UNKNOWN


def test_a_mail_refused_for_another_reason_is_not_kept_for_later() -> None:
    leaf = PKI.faulty(Fault.MISSING_CRL)
    trust = a_trust(a_sender(enrolled(leaf)))
    assert refused(trust, signed_by(leaf), from_address="x@y.example") is Code.FROM_NOT_ENROLLED


@pytest.mark.parametrize("unknown_first", [True, False])
def test_a_revoked_signer_refuses_even_beside_one_whose_state_is_unknown(unknown_first: bool) -> None:
    unknown, revoked = PKI.faulty(Fault.MISSING_CRL), PKI.faulty(Fault.REVOKED)
    trust = a_trust(a_sender(enrolled(unknown), enrolled(revoked)))
    order = (unknown, revoked) if unknown_first else (revoked, unknown)
    assert refused(trust, *map(signed_by, order)) is Code.CERTIFICATE_REVOKED


def test_the_second_signer_is_checked_as_the_first() -> None:
    good, bad = PKI.issue("desk"), PKI.faulty(Fault.TLS_ONLY)
    trust = a_trust(a_sender(enrolled(good), enrolled(bad)))
    assert refused(trust, signed_by(good), signed_by(bad)) is Code.KEY_USAGE_REFUSED


@pytest.mark.parametrize("weak", [hashes.SHA1(), hashes.MD5()])
def test_a_certificate_signed_with_a_broken_hash_is_refused(weak: hashes.SHA1 | hashes.MD5) -> None:
    issuer = PKI.issuing_rsa.identity
    der = with_weak_signature(PKI.issue("desk", kind="rsa"), issuer, weak)
    assert verdict_on(der) is Code.ALGORITHM_REFUSED


def test_an_authority_signed_with_sha1_is_refused() -> None:
    root = PKI.authority("rsa root", by=None, kind="rsa")
    made = PKI.authority("sub", by=root)
    weak = with_weak_signature(made.identity, root.identity, hashes.SHA1())
    leaf = PKI.issue("desk", by=made)
    crls = [PKI.crl(root), PKI.crl(made)]
    assert proven(
        a_trust(a_sender(enrolled(leaf)), anchors=[root.identity.der], intermediates=[made.identity.der], crls=crls),
        signed_by(leaf),
    )
    assert verdict_on(leaf, anchors=[root.identity.der], intermediates=[weak], crls=crls) is Code.PATH_REFUSED


def _authorities() -> dict[str, Authority]:
    below = PKI.authority("path length zero", by=PKI.root, path_length=0)
    return {
        "RSA-1024": PKI.authority("weak", by=PKI.root, kind="rsa-1024"),
        "TLS only": PKI.authority("for TLS", by=PKI.root, extended_usage=TLS_ONLY),
        "unknown critical extension": PKI.authority("odd", by=PKI.root, extra=[(UNKNOWN_EXTENSION, True)]),
        "no right to sign certificates": PKI.authority("clerk", by=PKI.root, cert_sign=False),
        "under a stranger": PKI.authority("elsewhere", by=PKI.stranger),
        "below a path length of zero": PKI.authority("too deep", by=below),
        "a curve that is not in the table": PKI.authority("curved", by=PKI.root, kind="p192"),
    }


@pytest.mark.parametrize("name", _authorities())
def test_an_authority_that_must_not_vouch_is_refused(name: str) -> None:
    authorities = _authorities()
    leaf = PKI.issue("desk", by=authorities[name])
    assert verdict_on(leaf, also=list(authorities.values())) is Code.PATH_REFUSED


def test_name_constraints_of_an_authority_hold() -> None:
    constraints = x509.NameConstraints([x509.RFC822Name("mairie.example")], None)
    authority = PKI.authority("constrained", by=PKI.root, extra=[(constraints, True)])
    inside = PKI.issue("inside", by=authority, address="a@mairie.example")
    outside = PKI.issue("outside", by=authority, address="a@ailleurs.example")
    assert proven(a_trust(a_sender(enrolled(inside)), also=[authority]), signed_by(inside))
    assert verdict_on(outside, also=[authority]) is Code.PATH_REFUSED


def test_an_expired_authority_is_told_apart_from_a_refused_path() -> None:
    authority = PKI.authority("expired", by=PKI.root, ends=-DAY)
    leaf = PKI.issue("desk", by=authority)
    assert verdict_on(leaf, also=[authority]) is Code.CERTIFICATE_NOT_VALID_THEN


def test_an_authority_of_the_future_is_told_apart_from_a_refused_path() -> None:
    authority = PKI.authority("future", by=PKI.root, starts=DAY)
    leaf = PKI.issue("desk", by=authority)
    assert verdict_on(leaf, also=[authority]) is Code.CERTIFICATE_NOT_VALID_THEN


def test_that_only_a_date_is_against_a_path_is_told_whatever_else_was_tried() -> None:
    expired = PKI.authority("twice", by=PKI.root, ends=-DAY)
    other = PKI.authority("twice", by=PKI.root, extended_usage=TLS_ONLY, key=expired.identity.key)
    leaf = PKI.issue("desk", by=expired)
    for order in ([expired, other], [other, expired]):
        assert verdict_on(leaf, also=order) is Code.CERTIFICATE_NOT_VALID_THEN


def test_an_expired_anchor_no_longer_counts() -> None:
    root = PKI.authority("old root", by=None, ends=-DAY)
    leaf = PKI.issue("desk", by=root)
    assert verdict_on(leaf, anchors=[root.identity.der]) is Code.CERTIFICATE_NOT_VALID_THEN


def test_a_claimed_signing_time_does_not_revive_an_expired_certificate() -> None:
    leaf = PKI.issue("desk", ends=-HOUR)
    trust = a_trust(a_sender(enrolled(leaf)))
    with pytest.raises(TrustError, match="valid from 2026-01-31 to 2026-03-02") as caught:
        proven(trust, signed_by(leaf, AT - 2 * HOUR))
    assert caught.value.code is Code.CERTIFICATE_NOT_VALID_THEN


def test_a_certificate_that_is_itself_an_anchor_is_refused() -> None:
    leaf = PKI.faulty(Fault.SELF_SIGNED)
    assert verdict_on(leaf, anchors=[leaf.der]) is Code.PATH_REFUSED


def test_a_better_path_is_found_beside_one_that_must_not_be_used() -> None:
    good = PKI.authority("twice", by=PKI.root)
    bad = PKI.authority("twice", by=PKI.root, extended_usage=TLS_ONLY, key=good.identity.key)
    leaf = PKI.issue("desk", by=good)
    for order in ([good, bad], [bad, good]):
        assert proven(a_trust(a_sender(enrolled(leaf)), also=order), signed_by(leaf))


def test_only_the_first_authorities_of_the_bag_are_looked_at() -> None:
    authority = PKI.authority("sub", by=PKI.issuing_ec)
    leaf = PKI.issue("desk", by=authority)
    trust = a_trust(a_sender(enrolled(leaf)), crls=[*PKI.crls(), PKI.crl(authority)])
    others = [PKI.authority(f"other {n}", by=PKI.stranger).identity.der for n in range(BAG_MAX)]
    assert proven(trust, signed_by(leaf), bag=[*others[1:], authority.identity.der])
    assert refused(trust, signed_by(leaf), bag=[*others, authority.identity.der]) is Code.PATH_REFUSED
    holders = [PKI.issue("holder").der] * BAG_MAX
    known = list(PKI.intermediates) * BAG_MAX
    assert proven(trust, signed_by(leaf), bag=[*holders, *known, authority.identity.der])


def test_many_useless_authorities_in_the_bag_do_not_matter() -> None:
    leaf = PKI.issue("desk")
    useless = [PKI.authority("issuing-ec", by=PKI.stranger).identity.der for _ in range(30)]
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf), bag=useless)


@pytest.mark.parametrize(("between", "believed"), [(INTERMEDIATES_MAX, True), (INTERMEDIATES_MAX + 1, False)])
def test_a_path_may_have_so_many_authorities_and_no_more(between: int, believed: bool) -> None:
    authorities = [PKI.root]
    for depth in range(between):
        authorities.append(PKI.authority(f"depth {depth}", by=authorities[-1]))
    leaf = PKI.issue("desk", by=authorities[-1])
    trust = a_trust(a_sender(enrolled(leaf)), also=authorities[1:])
    if believed:
        assert proven(trust, signed_by(leaf))
    else:
        assert refused(trust, signed_by(leaf)) is Code.PATH_REFUSED


@pytest.mark.parametrize("year", [1, 1949, 9999])
def test_dates_out_of_all_proportion_break_nothing(year: int) -> None:
    certificate = asn1_x509.Certificate.load(PKI.faulty(Fault.OTHER_AUTHORITY).der)
    edge = datetime(max(year, 1111), 12, 31, tzinfo=UTC)  # asn1crypto cannot write an earlier one
    validity = certificate["tbs_certificate"]["validity"]
    bound = "not_before" if year < 2000 else "not_after"
    validity[bound] = asn1_x509.Time(name="general_time", value=edge)
    der = certificate.dump(force=True).replace(b"11111231", f"{year:04}1231".encode())
    with pytest.raises(TrustError):
        a_trust().check_answer_certificate(der, AT)


def test_an_unreadable_certificate_is_refused_by_name() -> None:
    assert verdict_on(b"\x30\x03\x02\x01\x05") is Code.CERTIFICATE_UNREADABLE


def test_a_broken_anchor_stops_the_service_from_starting() -> None:
    with pytest.raises(Misconfigured, match="anchors"):
        a_trust(anchors=[b"nothing"])


@pytest.mark.parametrize(("weak", "code"), [("holder", Code.KEY_TOO_WEAK), ("issuer", Code.PATH_REFUSED)])
def test_the_size_of_every_key_is_judged_by_the_day_of_reception(weak: str, code: Code) -> None:
    """What was remembered of the last day does not hold on the next."""
    root = PKI.authority("strong root", by=None, kind="p384")
    issuer = PKI.authority("issuer of 2030", by=root, kind="rsa" if weak == "issuer" else "p256")
    rsa_leaf = weak == "holder"
    leaf = PKI.issue(
        "of 2030", by=issuer, kind="rsa" if rsa_leaf else "p256", pss=not rsa_leaf, starts=DAY, ends=4000 * DAY
    )
    last = datetime(2030, 12, 31, 23, 59, tzinfo=UTC)
    lists = [PKI.crl(authority, published=last) for authority in (root, issuer)]
    trust = a_trust(
        a_sender(enrolled(leaf)), anchors=[root.identity.der], intermediates=[issuer.identity.der], crls=lists
    )
    if rsa_leaf:  # the list of an RSA issuer is signed by PKCS #1 v1.5, which ends that very day
        assert proven(trust, signed_by(leaf, last), received_at=last, at=last)
    assert refused(trust, signed_by(leaf, last + DAY), received_at=last + DAY, at=last + DAY) is code
