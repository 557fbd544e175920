"""What is reported and remembered of a proof, and where an answer may be encrypted to."""

import hashlib
import pickle
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, Standing
from mailflow.demo.certificates import Identity, Kind
from mailflow.demo.pki import DAY, Fault, Pki
from mailflow.errors import Misconfigured
from mailflow.mail.cms.certificates import identity as cms_identity
from mailflow.mail.cms.structures import SignerIdentifier
from mailflow.mail.model import Step
from mailflow.mail.trust import TrustError, TrustUndetermined
from tests.support.pki import AT, shared_pki
from tests.support.trust import a_sender, a_trust, enrolled, signed_by
from tests.support.verdicts import proven, refused

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT

PKI = shared_pki()
HOUR = timedelta(hours=1)

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


def test_a_certificate_without_a_key_identifier_is_found_by_its_number_alone() -> None:
    leaf = without_key_identifier(PKI.issue("desk"))
    trust = a_trust(a_sender(enrolled(leaf)))
    named = cms_identity(leaf)
    assert named.subject_key_id is None
    by_number = SignerIdentifier(issuer=named.issuer, serial=named.serial, subject_key_id=None)
    assert trust.certificates_of(by_number) == (leaf,)
    for nothing in (replace(by_number, issuer=None), replace(by_number, serial=None)):
        assert trust.certificates_of(nothing) == ()
    assert proven(trust, signed_by(leaf))


def without_key_identifier(identity: Identity) -> bytes:
    """The same certificate, signed anew without that extension; DER."""
    former, signer = identity.certificate, PKI.issuing_ec.identity.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(former.subject)
        .issuer_name(former.issuer)
        .public_key(identity.key.public_key())
        .serial_number(former.serial_number)
        .not_valid_before(former.not_valid_before_utc)
        .not_valid_after(former.not_valid_after_utc)
    )
    for one in former.extensions:
        if not isinstance(one.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(one.value, one.critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_without_an_anchor_there_is_no_trust() -> None:
    with pytest.raises(Misconfigured, match="no anchor"):
        a_trust(anchors=[])


def test_whose_a_strange_certificate_claims_to_be_is_told_as_far_as_it_can_be_read() -> None:
    trust = a_trust(a_sender(enrolled(b"cannot be read either")))
    for strange, told in ((b"junk", "unreadable"), (PKI.issue("nobody's").der, "")):
        with pytest.raises(TrustError) as caught:
            proven(trust, signed_by(strange))
        assert caught.value.code is Code.SIGNER_NOT_ENROLLED
        assert caught.value.detail == f"sha256 {hashlib.sha256(strange).hexdigest()}" + (f", {told}" if told else "")


def test_a_certificate_that_an_authority_signed_with_ed25519_brings_its_own_hash() -> None:
    authority = PKI.authority("edwards", by=PKI.root, kind="ed25519")
    leaf = PKI.issue("desk", by=authority)
    assert proven(a_trust(a_sender(enrolled(leaf)), also=[authority]), signed_by(leaf))


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
