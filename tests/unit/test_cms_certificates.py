"""What is taken from a certificate, and the limits on its key."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind, name_of
from mailflow.mail.cms import CmsError, SignerIdentifier, ber
from mailflow.mail.cms.certificates import identity, public_key
from tests.support.keys import KINDS, holder
from tests.support.pki import AT, shared_pki


def certificate_of(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey,
) -> bytes:
    """A certificate of a key whose private part nobody has."""
    issuer = shared_pki().issuing_ec.identity
    made = (
        x509.CertificateBuilder()
        .subject_name(name_of("nobody"))
        .issuer_name(issuer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(AT)
        .not_valid_after(AT + timedelta(days=1))
        .sign(issuer.key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def modulus(bits: int) -> int:
    return (1 << (bits - 1)) + 0xABCDEF01


def refusal(certificate: bytes) -> CmsError:
    with pytest.raises(CmsError) as caught:
        public_key(certificate)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_issuer_serial_and_key_identifier_are_those_of_the_library(kind: Kind) -> None:
    certificate = holder(kind).certificate
    extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    named = identity(holder(kind).der)
    assert named.issuer == certificate.issuer.public_bytes()
    assert named.serial == certificate.serial_number
    assert named.subject_key_id == extension.value.digest
    assert public_key(holder(kind).der) == certificate.public_key()


def test_a_certificate_without_key_identifier_is_named_by_issuer_and_serial_only() -> None:
    der = certificate_of(ed25519.Ed25519PrivateKey.generate().public_key())
    named = identity(der)
    assert named.subject_key_id is None
    assert named.answers_to(SignerIdentifier(issuer=named.issuer, serial=named.serial, subject_key_id=None))
    assert not named.answers_to(SignerIdentifier(issuer=None, serial=None, subject_key_id=b""))


def test_issuer_and_serial_must_both_fit() -> None:
    named, other = identity(holder("rsa").der), identity(holder("p256").der)
    assert named.issuer != other.issuer
    assert not named.answers_to(SignerIdentifier(issuer=other.issuer, serial=named.serial, subject_key_id=None))
    assert not named.answers_to(SignerIdentifier(issuer=named.issuer, serial=other.serial, subject_key_id=None))


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
def test_rsa_keys_within_the_limits_are_read(bits: int) -> None:
    key = rsa.RSAPublicNumbers(65537, modulus(bits)).public_key()
    assert public_key(certificate_of(key)) == key


@pytest.mark.parametrize(
    ("exponent", "bits"), [(65537, 2047), (65537, 1024), (65537, 8193), (3, 2048), (257, 2048), ((1 << 64) + 1, 2048)]
)
def test_rsa_keys_outside_the_limits_are_refused(exponent: int, bits: int) -> None:
    key = rsa.RSAPublicNumbers(exponent, modulus(bits)).public_key()
    assert refusal(certificate_of(key)).code is Code.KEY_TOO_WEAK


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_other_curves_are_refused_by_name(curve: ec.EllipticCurve) -> None:
    error = refusal(certificate_of(ec.generate_private_key(curve).public_key()))
    assert (error.code, error.detail) == (Code.KEY_TOO_WEAK, curve.name)


def test_other_kinds_of_key_are_refused_by_their_oid() -> None:
    error = refusal(certificate_of(ed448.Ed448PrivateKey.generate().public_key()))
    assert (error.code, error.detail) == (Code.KEY_TOO_WEAK, "1.3.101.113")


@pytest.mark.parametrize("serial", [0, -1])
def test_a_serial_number_that_is_not_positive_is_unreadable(serial: int) -> None:
    old = ber.integer(holder("p256").certificate.serial_number)
    replaced = ber.integer(serial).replace(b"\x02\x01", b"\x02" + bytes([len(old) - 2]))[:2]
    filler = (b"\xff" if serial < 0 else b"\x00") * (len(old) - 2)
    der = holder("p256").der
    assert der.count(old) == 1
    with pytest.raises(CmsError) as caught:
        identity(der.replace(old, replaced + filler))
    assert (caught.value.code, caught.value.detail) == (Code.CERTIFICATE_UNREADABLE, "serial number")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ([], "TBSCertificate"),
        ([ber.integer(1), *[ber.sequence()] * 4], "TBSCertificate"),
        ([ber.integer(1), *[ber.sequence()] * 5], "SubjectPublicKeyInfo"),
    ],
)
def test_a_certificate_with_something_missing_is_unreadable(fields: list[bytes], detail: str) -> None:
    with pytest.raises(CmsError) as caught:
        identity(ber.sequence(ber.sequence(*fields)))
    assert (caught.value.code, caught.value.detail) == (Code.CERTIFICATE_UNREADABLE, detail)


def test_a_certificate_with_nothing_in_it_is_unreadable() -> None:
    with pytest.raises(CmsError) as caught:
        identity(ber.sequence())
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE


def of_octets(octets: int) -> bytes:
    """A certificate that long, by an extension that says nothing."""
    key = ed25519.Ed25519PrivateKey.generate()

    def padded(by: int) -> bytes:
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * by)
        builder = x509.CertificateBuilder(name_of("long"), name_of("long"), key.public_key(), 1, AT, AT)
        return builder.add_extension(filler, critical=False).sign(key, None).public_bytes(serialization.Encoding.DER)

    return padded(octets - (len(padded(60_000)) - 60_000))


def test_a_certificate_is_read_up_to_its_limit() -> None:
    longest = of_octets(64 * 1024)
    assert len(longest) == 64 * 1024
    assert identity(longest).serial == 1
    assert isinstance(public_key(longest), ed25519.Ed25519PublicKey)
    longer = of_octets(64 * 1024 + 1)
    with pytest.raises(CmsError, match="65537 octets"):
        identity(longer)
    assert refusal(longer).code is Code.CERTIFICATE_UNREADABLE, "though the library reads it"


@pytest.mark.parametrize(("bits", "accepted"), [(64, True), (65, False)])
def test_an_exponent_of_rsa_has_so_many_bits_at_most(bits: int, accepted: bool) -> None:
    exponent = (1 << (bits - 1)) + 1
    der = certificate_of(rsa.RSAPublicNumbers(exponent, modulus(2048)).public_key())
    if accepted:
        assert isinstance(public_key(der), rsa.RSAPublicKey)
    else:
        assert refusal(der).detail == "RSA exponent"
