"""Who a mail is from: each way to be believed, and each way not to be."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import assume, given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, Standing
from mailflow.demo.certificates import TLS_ONLY, UNKNOWN_EXTENSION, Identity, Kind
from mailflow.demo.pki import DAY, Authority, Fault, Pki
from mailflow.errors import Misconfigured
from mailflow.mail.cms.certificates import identity as cms_identity
from mailflow.mail.cms.structures import SignerIdentifier
from mailflow.mail.model import Step, VerifiedSigner
from mailflow.mail.trust import Trust, TrustError, TrustUndetermined
from mailflow.mail.trust.certificate import read
from mailflow.mail.trust.path import BAG_MAX, INTERMEDIATES_MAX
from tests.support.pki import AT, shared_pki
from tests.support.trust import ADDRESS, WINDOW, a_sender, a_trust, enrolled, signed_by, with_weak_signature

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT
PKI = shared_pki()
HOUR = timedelta(hours=1)


def proven(
    trust: Trust,
    *signers: VerifiedSigner,
    bag: Sequence[bytes] = (),
    from_address: str = ADDRESS,
    received_at: datetime = AT,
    at: datetime = AT,
    steps: list[Step] | None = None,
) -> str:
    """The code of the sender that is proven."""
    sender = trust.authenticate(
        signers, tuple(bag), from_address=from_address, received_at=received_at, at=at, steps=steps
    )
    return sender.code


def refused(trust: Trust, *signers: VerifiedSigner, **rest: object) -> Code:
    with pytest.raises(TrustError) as caught:
        proven(trust, *signers, **rest)  # type: ignore[arg-type]  # handed on as they came
    return caught.value.code


def verdict_on(identity: Identity | bytes, **material: object) -> Code:
    """Why the enrolled holder of this certificate is refused."""
    trust = a_trust(a_sender(enrolled(identity)), **material)  # type: ignore[arg-type]  # likewise
    return refused(trust, signed_by(identity))


# Believed


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521", "ed25519"])
def test_an_enrolled_certificate_of_a_permitted_kind_proves_its_sender(kind: Kind) -> None:
    leaf = PKI.issue("desk", kind=kind)
    sender = a_sender(enrolled(leaf))
    assert proven(a_trust(sender), signed_by(leaf)) == sender.code


def test_a_certificate_signed_with_pss_proves_its_sender() -> None:
    leaf = PKI.issue("desk", kind="rsa", pss=True)
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))


def test_non_repudiation_alone_is_a_right_to_sign() -> None:
    leaf = PKI.issue("desk", usage="non-repudiation")
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))


@pytest.mark.parametrize(
    "usages", [None, (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), (*TLS_ONLY, ExtendedKeyUsageOID.EMAIL_PROTECTION)]
)
def test_an_extended_usage_may_be_absent_or_say_more_than_mail(
    usages: Sequence[x509.ObjectIdentifier] | None,
) -> None:
    leaf = PKI.issue("desk", extended_usage=usages)
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))


def test_a_critical_extended_usage_for_mail_is_understood() -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = PKI.issue("desk", extended_usage=None, extra=[(usage, True)])
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))


def test_addresses_in_the_certificate_are_not_asked() -> None:
    leaf = PKI.issue("desk", address="quite@other.example")
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf))


def test_from_is_compared_without_case() -> None:
    leaf = PKI.issue("desk")
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf), from_address="Guichet@MAIRIE.example")


def test_two_signers_of_one_sender_are_that_sender() -> None:
    old, new = PKI.issue("old"), PKI.issue("new", kind="ed25519")
    sender = a_sender(enrolled(old), enrolled(new))
    assert proven(a_trust(sender), signed_by(old), signed_by(new)) == sender.code


def test_a_missing_intermediate_may_come_with_the_mail() -> None:
    authority = PKI.authority("sub", by=PKI.issuing_ec)
    leaf = PKI.issue("desk", by=authority)
    trust = a_trust(a_sender(enrolled(leaf)), crls=[*PKI.crls(), PKI.crl(authority)])
    assert refused(trust, signed_by(leaf)) is Code.PATH_REFUSED
    assert proven(trust, signed_by(leaf), bag=[leaf.der, authority.identity.der, b"not a certificate"])
    # and that proof serves no other mail
    assert refused(trust, signed_by(leaf)) is Code.PATH_REFUSED


def test_what_is_revoked_when_judged_does_not_hide_what_was_valid_when_received() -> None:
    """A backlog: received before the certificate expired, judged after."""
    leaf = PKI.issue("desk", ends=2 * HOUR)
    trust = a_trust(a_sender(enrolled(leaf)))
    assert proven(trust, signed_by(leaf), received_at=AT, at=AT + 5 * HOUR)


# Not believed: steps 1 to 6


def test_nobody_signed() -> None:
    assert refused(a_trust(a_sender())) is Code.NOT_SIGNED


def test_a_stranger_under_the_same_authority_is_nobody() -> None:
    leaf, twin = PKI.issue("desk"), PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    with pytest.raises(TrustError) as caught:
        proven(trust, signed_by(twin))
    assert caught.value.code is Code.SIGNER_NOT_ENROLLED
    assert twin.fingerprint in caught.value.detail
    assert "claims to be MAIRIE" in caught.value.detail


def test_a_stranger_that_uses_an_enrolled_address_is_told_to_the_operator() -> None:
    leaf, stranger = PKI.issue("desk"), PKI.issue("unheard of", address=ADDRESS.upper())
    with pytest.raises(TrustError, match="claims to be MAIRIE"):
        proven(a_trust(a_sender(enrolled(leaf))), signed_by(stranger))


def test_a_certificate_enrolled_for_encryption_cannot_sign() -> None:
    leaf = PKI.issue("desk")
    assert refused(a_trust(a_sender(enrolled(leaf, ENCRYPT))), signed_by(leaf)) is Code.SIGNER_NOT_ENROLLED


def test_a_suspended_certificate_is_refused_and_its_sender_named() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf, standing=Standing.SUSPENDED)))
    with pytest.raises(TrustError, match="suspended, of MAIRIE") as caught:
        proven(trust, signed_by(leaf))
    assert caught.value.code is Code.SIGNER_NOT_ENROLLED


def test_another_senders_certificate_in_the_bag_changes_nothing() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("other")
    one, two = a_sender(enrolled(leaf)), a_sender(enrolled(other), code="AUTRE")
    assert proven(a_trust(one, two), signed_by(leaf), bag=[other.der, leaf.der]) == one.code


def test_signers_of_two_senders_are_refused() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("other")
    trust = a_trust(a_sender(enrolled(leaf)), a_sender(enrolled(other), code="AUTRE"))
    assert refused(trust, signed_by(leaf), signed_by(other)) is Code.SEVERAL_SENDERS


def test_one_certificate_enrolled_for_two_senders_proves_neither() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)), a_sender(enrolled(leaf), code="AUTRE"))
    assert refused(trust, signed_by(leaf)) is Code.SEVERAL_SENDERS


@pytest.mark.parametrize("stranger_first", [True, False])
def test_one_signer_that_is_not_enrolled_refuses_the_mail(stranger_first: bool) -> None:
    leaf, stranger = PKI.issue("desk"), PKI.issue("stranger")
    signers = [signed_by(stranger), signed_by(leaf)] if stranger_first else [signed_by(leaf), signed_by(stranger)]
    assert refused(a_trust(a_sender(enrolled(leaf))), *signers) is Code.SIGNER_NOT_ENROLLED


def test_a_suspended_sender_is_refused() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf), standing=Standing.SUSPENDED))
    assert refused(trust, signed_by(leaf)) is Code.SENDER_SUSPENDED


@pytest.mark.parametrize("address", ["", "autre@mairie.example", "guichet@mairie.example.org", f"<{ADDRESS}>"])
def test_from_must_be_an_address_of_the_sender(address: str) -> None:
    leaf = PKI.issue("desk", address="autre@mairie.example")
    trust = a_trust(a_sender(enrolled(leaf)))
    assert refused(trust, signed_by(leaf), from_address=address) is Code.FROM_NOT_ENROLLED


def test_from_of_another_sender_is_refused() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("other")
    trust = a_trust(a_sender(enrolled(leaf)), a_sender(enrolled(other), code="AUTRE", address="x@autre.example"))
    assert refused(trust, signed_by(leaf), from_address="x@autre.example") is Code.FROM_NOT_ENROLLED


def test_without_a_signing_time_the_mail_is_refused() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    assert refused(trust, signed_by(leaf, None)) is Code.SIGNING_TIME_MISSING


@pytest.mark.parametrize("offset", [-WINDOW.before, timedelta(0), WINDOW.after])
def test_the_signing_time_may_lie_on_the_edge_of_the_window(offset: timedelta) -> None:
    leaf = PKI.issue("desk")
    assert proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf, AT + offset))


@pytest.mark.parametrize("offset", [-WINDOW.before - timedelta(seconds=1), WINDOW.after + timedelta(seconds=1)])
def test_a_signing_time_outside_the_window_is_refused(offset: timedelta) -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    assert refused(trust, signed_by(leaf, AT + offset)) is Code.SIGNING_TIME_OUT_OF_WINDOW


def test_the_signing_time_of_every_signer_counts() -> None:
    one, two = PKI.issue("one"), PKI.issue("two")
    trust = a_trust(a_sender(enrolled(one), enrolled(two)))
    late = AT + DAY
    assert refused(trust, signed_by(one), signed_by(two, late)) is Code.SIGNING_TIME_OUT_OF_WINDOW


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
        "Ed25519, which the library does not take": PKI.authority("edwards", by=PKI.root, kind="ed25519"),
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


# The steps that `mailflow verify` prints


def test_every_step_passed_is_reported() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    first: list[Step] = []
    proven(trust, signed_by(leaf), steps=first)
    again: list[Step] = []
    proven(trust, signed_by(leaf), steps=again)
    assert len(first) == 9
    assert all(step.passed for step in first)
    assert again == first


def test_the_step_that_fails_is_the_last_one_reported_and_says_why() -> None:
    leaf = PKI.faulty(Fault.EXPIRED)
    steps: list[Step] = []
    with pytest.raises(TrustError):
        proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf), steps=steps)
    assert [step.passed for step in steps] == [True] * 7 + [False]
    assert "CERTIFICATE_NOT_VALID_THEN" in steps[-1].detail


def test_what_cannot_be_determined_is_reported_as_not_passed() -> None:
    leaf = PKI.faulty(Fault.STALE_CRL)
    steps: list[Step] = []
    with pytest.raises(TrustUndetermined):
        proven(a_trust(a_sender(enrolled(leaf))), signed_by(leaf), steps=steps)
    assert [step.passed for step in steps] == [True] * 8 + [False]


# What is remembered, and for how long


def test_a_remembered_path_ends_with_the_certificate() -> None:
    leaf = PKI.issue("desk", ends=2 * HOUR)
    trust = a_trust(a_sender(enrolled(leaf)))
    assert proven(trust, signed_by(leaf))
    late = AT + 2 * HOUR + timedelta(seconds=1)
    # Judged at the same moment, so that only the time of reception can refuse.
    assert refused(trust, signed_by(leaf, late), received_at=late, at=AT) is Code.CERTIFICATE_NOT_VALID_THEN
    assert proven(trust, signed_by(leaf))


def test_a_remembered_path_ends_with_the_revocation_list() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    published = AT - timedelta(hours=1)
    last = published + 7 * DAY
    assert proven(trust, signed_by(leaf), at=last - timedelta(seconds=1))
    with pytest.raises(TrustUndetermined):
        proven(trust, signed_by(leaf), at=last + timedelta(seconds=1))


def test_a_remembered_proof_does_not_reach_back_before_the_lists_were_made() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    assert proven(trust, signed_by(leaf))
    with pytest.raises(TrustUndetermined):
        proven(trust, signed_by(leaf), at=AT - 2 * HOUR)


def test_a_failure_is_not_remembered() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    with pytest.raises(TrustUndetermined):
        proven(trust, signed_by(leaf), at=AT + 30 * DAY)
    assert proven(trust, signed_by(leaf))


def test_a_remembered_path_does_not_lend_its_window_or_address() -> None:
    leaf = PKI.issue("desk")
    trust = a_trust(a_sender(enrolled(leaf)))
    assert proven(trust, signed_by(leaf))
    assert refused(trust, signed_by(leaf), from_address="x@y.example") is Code.FROM_NOT_ENROLLED
    assert refused(trust, signed_by(leaf, AT - 8 * DAY)) is Code.SIGNING_TIME_OUT_OF_WINDOW


def test_a_remembered_signer_does_not_vouch_for_the_other() -> None:
    good, bad = PKI.issue("good"), PKI.faulty(Fault.REVOKED)
    trust = a_trust(a_sender(enrolled(good), enrolled(bad)))
    assert proven(trust, signed_by(good))
    assert refused(trust, signed_by(good), signed_by(bad)) is Code.CERTIFICATE_REVOKED


def test_a_revocation_counts_from_the_next_generation_on_even_for_mail_received_before() -> None:
    pki = Pki(at=AT)
    leaf = pki.issue("desk")
    sender = a_sender(enrolled(leaf))
    assert proven(a_trust(sender, pki=pki), signed_by(leaf))
    pki.revoke(leaf, on=AT + HOUR)
    later = a_trust(sender, pki=pki, crls=pki.crls(published=AT + 2 * HOUR))
    assert refused(later, signed_by(leaf), received_at=AT, at=AT + 3 * HOUR) is Code.CERTIFICATE_REVOKED


# Enrolled certificates for `mail.cms`


def test_an_enrolled_certificate_is_found_by_issuer_and_number_or_by_key() -> None:
    leaf, other = PKI.issue("desk"), PKI.issue("encryption")
    trust = a_trust(a_sender(enrolled(leaf), enrolled(other, ENCRYPT), enrolled(b"junk")))
    named = cms_identity(leaf.der)
    by_number = SignerIdentifier(issuer=named.issuer, serial=named.serial, subject_key_id=None)
    by_key = SignerIdentifier(issuer=None, serial=None, subject_key_id=named.subject_key_id)
    assert trust.certificates_of(by_number) == (leaf.der,)
    assert trust.certificates_of(by_key) == (leaf.der,)
    assert trust.certificates_of(replace(by_number, serial=1)) == ()
    not_for_signing = cms_identity(other.der)
    assert trust.certificates_of(replace(by_key, subject_key_id=not_for_signing.subject_key_id)) == ()


def test_trust_material_and_errors_travel_to_other_processes() -> None:
    trust = a_trust(a_sender(enrolled(PKI.issue("desk"))))
    assert pickle.loads(pickle.dumps(trust.material)) == trust.material
    for error in (TrustError(Code.PATH_REFUSED, "why"), TrustUndetermined("why")):
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.code, copy.detail) == (error.code, "why")


# Where an answer may be encrypted to


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_an_answer_goes_to_the_enrolled_encryption_certificate(kind: Kind) -> None:
    leaf = PKI.issue("desk", kind=kind, usage="encrypt")
    sender = a_sender(enrolled(PKI.issue("signer")), enrolled(leaf, ENCRYPT))
    trust = a_trust(sender)
    assert trust.encryption_certificate(sender, AT) == leaf.der
    assert trust.encryption_certificate(sender, AT) == leaf.der


def test_of_several_encryption_certificates_the_newest_valid_one_is_taken() -> None:
    old = PKI.issue("old", usage="encrypt", starts=-300 * DAY)
    new = PKI.issue("new", usage="encrypt", starts=-10 * DAY)
    future = PKI.issue("future", usage="encrypt", starts=DAY)
    suspended = PKI.issue("suspended", usage="encrypt", starts=-DAY)
    sender = a_sender(
        enrolled(new, ENCRYPT),
        enrolled(old, ENCRYPT),
        enrolled(future, ENCRYPT),
        enrolled(suspended, ENCRYPT, Standing.SUSPENDED),
    )
    assert a_trust(sender).encryption_certificate(sender, AT) == new.der


@pytest.mark.parametrize(
    "fault", [Fault.EXPIRED, Fault.NOT_YET_VALID, Fault.REVOKED, Fault.OTHER_AUTHORITY, Fault.TLS_ONLY, Fault.P192]
)
def test_a_faulty_encryption_certificate_is_not_used(fault: Fault) -> None:
    sender = a_sender(enrolled(PKI.faulty(fault), ENCRYPT))
    assert a_trust(sender).encryption_certificate(sender, AT) is None


@pytest.mark.parametrize("fault", [Fault.STALE_CRL, Fault.MISSING_CRL])
def test_an_answer_is_not_held_because_revocation_is_unknown(fault: Fault) -> None:
    sender = a_sender(enrolled(PKI.faulty(fault), ENCRYPT))
    assert a_trust(sender).encryption_certificate(sender, AT) == PKI.faulty(fault).der


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
def test_a_certificate_that_can_only_sign_is_not_encrypted_to(kind: Kind) -> None:
    leaf = PKI.issue("desk", kind=kind, usage="sign")
    sender = a_sender(enrolled(leaf, ENCRYPT))
    trust = a_trust(sender)
    assert trust.encryption_certificate(sender, AT) is None
    with pytest.raises(TrustError, match="KEY_USAGE_REFUSED") as caught:
        trust.check_answer_certificate(leaf.der, AT)
    assert caught.value.code is Code.ANSWER_CERTIFICATE_REFUSED


def test_a_certificate_sent_for_the_answer_need_not_be_enrolled() -> None:
    a_trust().check_answer_certificate(PKI.issue("anyone", kind="rsa", usage="encrypt").der, AT)


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.ENCRYPTION_ONLY])
def test_a_faulty_certificate_sent_for_the_answer_is_refused(fault: Fault) -> None:
    with pytest.raises(TrustError) as caught:
        a_trust().check_answer_certificate(PKI.faulty(fault).der, AT)
    assert caught.value.code is Code.ANSWER_CERTIFICATE_REFUSED


def test_a_proof_for_encryption_is_none_for_signing() -> None:
    leaf = PKI.faulty(Fault.ENCRYPTION_ONLY)
    sender = a_sender(enrolled(leaf), enrolled(leaf, ENCRYPT))
    trust = a_trust(sender)
    assert trust.encryption_certificate(sender, AT) == leaf.der
    assert refused(trust, signed_by(leaf)) is Code.KEY_USAGE_REFUSED


# Hostile certificates

SEEDS = [
    PKI.issue("seed", address=ADDRESS).der,
    PKI.issue("seed", kind="rsa", pss=True).der,
    PKI.issue("seed", kind="ed25519").der,
    PKI.issuing_ec.identity.der,
]
GOOD, FOREIGN, LISTS = PKI.issue("good"), PKI.faulty(Fault.OTHER_AUTHORITY), PKI.crls()


@st.composite
def mutated_certificates(draw: st.DrawFn) -> bytes:
    """A real certificate with a few octets changed, dropped or doubled."""
    der = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der) - 1))
        match draw(st.sampled_from(["change", "drop", "double"])):
            case "change":
                der[at] = draw(st.integers(0, 255))
            case "drop":
                del der[at]
            case _:
                der[at:at] = der[at : at + draw(st.integers(1, 40))]
    return bytes(der)


@given(st.one_of(mutated_certificates(), st.binary(max_size=200)))
def test_any_bytes_are_a_certificate_or_unreadable(der: bytes) -> None:
    try:
        outcome: object = read(der)
    except TrustError as error:
        outcome = error.code
    assert isinstance(outcome, x509.Certificate) or outcome is Code.CERTIFICATE_UNREADABLE


@given(mutated_certificates())
def test_a_mutated_certificate_never_proves_anybody_nor_breaks_anything(der: bytes) -> None:
    assume(der not in SEEDS)
    sender = a_sender(enrolled(der), enrolled(der, ENCRYPT))
    trust = a_trust(sender, crls=LISTS)
    with pytest.raises((TrustError, TrustUndetermined)):
        proven(trust, signed_by(der))
    assert trust.encryption_certificate(sender, AT) is None
    with pytest.raises(TrustError):
        trust.check_answer_certificate(der, AT)


@given(st.lists(mutated_certificates(), max_size=4))
def test_mutated_certificates_in_the_bag_break_nothing(bag: list[bytes]) -> None:
    assert proven(a_trust(a_sender(enrolled(GOOD)), crls=LISTS), signed_by(GOOD), bag=bag)
    stranger = a_trust(a_sender(enrolled(FOREIGN)), crls=LISTS)
    assert refused(stranger, signed_by(FOREIGN), bag=bag) is Code.PATH_REFUSED


def test_the_extensions_that_make_the_library_raise_are_unreadable() -> None:
    certificate = asn1_x509.Certificate.load(GOOD.der)
    extensions = certificate["tbs_certificate"]["extensions"]
    extensions.append(extensions[0])
    with pytest.raises(TrustError) as caught:
        read(certificate.dump(force=True))
    assert (caught.value.code, caught.value.detail) == (Code.CERTIFICATE_UNREADABLE, "DuplicateExtension")


def test_a_certificate_of_excessive_size_is_not_read() -> None:
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(70_000))
    with pytest.raises(TrustError) as caught:
        read(PKI.issue("huge", extra=[(padding, False)]).der)
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE


def test_a_serial_number_below_one_is_unreadable() -> None:
    certificate = asn1_x509.Certificate.load(GOOD.der)
    certificate["tbs_certificate"]["serial_number"] = -5
    with pytest.raises(TrustError) as caught:
        read(certificate.dump(force=True))
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE
