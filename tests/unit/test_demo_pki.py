"""The throw-away PKI gives what the demo and the other tests build on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mailflow.demo.pki import Fault, Pki
from tests.support.pki import AT, shared_pki


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rsa", rsa.RSAPublicKey),
        ("p256", ec.EllipticCurvePublicKey),
        ("ed25519", ed25519.Ed25519PublicKey),
    ],
)
def test_a_certificate_is_issued_by_an_authority_under_the_root(kind: str, expected: type) -> None:
    pki = shared_pki()
    leaf = pki.issue("someone", kind=kind)  # type: ignore[arg-type]  # a parameter is a plain string
    issuer = next(
        i for i in map(x509.load_der_x509_certificate, pki.intermediates) if i.subject == leaf.certificate.issuer
    )
    assert isinstance(leaf.certificate.public_key(), expected)
    leaf.certificate.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(pki.root.identity.certificate)


def test_an_rsa_certificate_can_be_signed_with_pss() -> None:
    leaf = shared_pki().issue("pss", kind="rsa", pss=True)
    assert isinstance(leaf.certificate.signature_algorithm_parameters, padding.PSS)


@pytest.mark.parametrize("fault", Fault)
def test_there_is_a_certificate_for_each_fault_and_it_stays_the_same(fault: Fault) -> None:
    pki = shared_pki()
    assert pki.faulty(fault) is pki.faulty(fault)
    assert pki.faulty(fault).certificate.subject.rfc4514_string().startswith(f"CN={fault.value}")


def test_lists_made_before_the_revoked_certificate_name_it_all_the_same() -> None:
    pki = Pki(at=AT)
    lists = [x509.load_der_x509_crl(der) for der in pki.crls()]
    revoked = pki.faulty(Fault.REVOKED).certificate
    listing = next(crl for crl in lists if crl.issuer == revoked.issuer)
    assert listing.get_revoked_certificate_by_serial_number(revoked.serial_number) is not None


def test_what_is_revoked_stands_in_the_next_list() -> None:
    pki = Pki(at=AT)
    leaf = pki.issue("leaver")
    serial = leaf.certificate.serial_number

    def listed() -> bool:
        lists = [x509.load_der_x509_crl(der) for der in pki.crls()]
        return any(crl.get_revoked_certificate_by_serial_number(serial) is not None for crl in lists)

    assert not listed()
    pki.revoke(leaf)
    assert listed()


def test_only_what_this_pki_issued_can_be_revoked() -> None:
    pki = Pki(at=AT)
    with pytest.raises(ValueError, match="no authority"):
        pki.revoke(pki.faulty(Fault.OTHER_AUTHORITY))


def test_dates_are_counted_from_the_given_instant() -> None:
    at = datetime(2031, 6, 1, 12, 30, tzinfo=UTC)
    leaf = Pki(at=at).issue("later", starts=timedelta(days=-1), ends=timedelta(days=1)).certificate
    assert leaf.not_valid_before_utc == at - timedelta(days=1)
    assert leaf.not_valid_after_utc == at + timedelta(days=1)


def test_an_installation_finds_its_trust_material_on_disk(tmp_path: Path) -> None:
    pki = shared_pki()
    trust = pki.write(tmp_path)
    anchors = [x509.load_pem_x509_certificate(p.read_bytes()) for p in (trust / "anchors").glob("*.pem")]
    intermediates = list((trust / "intermediates").glob("*.pem"))
    lists = [x509.load_pem_x509_crl(p.read_bytes()) for p in (trust / "crls").glob("*.pem")]
    assert anchors == [pki.root.identity.certificate]
    assert len(intermediates) == len(pki.intermediates)
    assert len(lists) == len(pki.crls())


def test_an_identity_is_written_with_a_key_that_others_cannot_read(tmp_path: Path) -> None:
    certificate, key = shared_pki().service_ec.write(tmp_path)
    assert key.stat().st_mode & 0o077 == 0
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert loaded.public_key() == x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
