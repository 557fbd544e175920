"""Who a mail is from: each way to be believed, and each way not to be."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse, Standing
from mailflow.demo.certificates import TLS_ONLY, Kind
from mailflow.demo.pki import DAY
from mailflow.mail.trust import TrustError
from tests.support.pki import AT, shared_pki
from tests.support.trust import ADDRESS, WINDOW, a_sender, a_trust, enrolled, signed_by
from tests.support.verdicts import proven, refused

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT

PKI = shared_pki()
HOUR = timedelta(hours=1)

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


def test_what_was_signed_before_it_is_judged_is_not_from_the_future() -> None:
    """A mail server's clock may be behind: what it says of the reception then lies before the signature."""
    leaf = PKI.issue("desk")
    trust, behind = a_trust(a_sender(enrolled(leaf))), AT - WINDOW.after - timedelta(minutes=1)
    assert proven(trust, signed_by(leaf), received_at=behind, at=AT)
    assert refused(trust, signed_by(leaf), received_at=behind, at=behind) is Code.SIGNING_TIME_OUT_OF_WINDOW


def test_the_signing_time_of_every_signer_counts() -> None:
    one, two = PKI.issue("one"), PKI.issue("two")
    trust = a_trust(a_sender(enrolled(one), enrolled(two)))
    late = AT + DAY
    assert refused(trust, signed_by(one), signed_by(two, late)) is Code.SIGNING_TIME_OUT_OF_WINDOW
