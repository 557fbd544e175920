"""Certificates made to break what reads them."""

from datetime import timedelta

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from hypothesis import assume, given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.core.model import CertificateUse
from mailflow.demo.pki import Fault
from mailflow.mail.trust import TrustError, TrustUndetermined
from mailflow.mail.trust.certificate import read
from tests.support.pki import AT, shared_pki
from tests.support.trust import ADDRESS, a_sender, a_trust, enrolled, signed_by
from tests.support.verdicts import proven, refused

SIGN, ENCRYPT = CertificateUse.SIGN, CertificateUse.ENCRYPT

PKI = shared_pki()
HOUR = timedelta(hours=1)

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
