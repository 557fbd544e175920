"""One certificate by itself: how it is read, told to a person, and held against the key that signed it."""

import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind
from mailflow.demo.pki import DAY
from mailflow.mail.cms import ber
from mailflow.mail.trust import TrustError
from mailflow.mail.trust.certificate import check_issued, describe, read
from mailflow.mail.trust.names import organisation
from tests.support.pki import AT, shared_pki

PKI = shared_pki()
MOST = 64 * 1024


def a_certificate(common_name: str = "x", serial: int = 1, filler: int = 0) -> bytes:
    """Of nobody, signed by itself."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, AT, AT + DAY)
    unheard = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * filler)
    return builder.add_extension(unheard, critical=False).sign(key, None).public_bytes(serialization.Encoding.DER)


def test_a_certificate_is_read_up_to_its_limit() -> None:
    beside = len(a_certificate(filler=60_000)) - 60_000
    longest = a_certificate(filler=MOST - beside)
    assert len(longest) == MOST
    assert read(longest).serial_number == 1
    with pytest.raises(TrustError, match="65537 octets"):
        read(a_certificate(filler=MOST - beside + 1))


def test_a_serial_number_that_only_causes_a_warning_is_refused() -> None:
    zero = a_certificate().replace(b"\xa0\x03\x02\x01\x02\x02\x01\x01", b"\xa0\x03\x02\x01\x02\x02\x01\x00")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in the service, where a warning stops nothing
        with pytest.raises(TrustError) as caught:
            read(zero)
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE


def test_a_certificate_is_told_to_a_person_by_its_names_number_and_dates() -> None:
    leaf = PKI.issue("desk", serial=0xABCDEF)
    told = describe(leaf.der)
    assert (told.subject, told.issuer) == (
        "CN=desk,O=mailflow demonstration,C=FR",
        "CN=issuing-ec,O=mailflow demonstration,C=FR",
    )
    assert (told.serial, told.fingerprint) == ("abcdef", leaf.fingerprint)
    assert (told.validity.begins, told.validity.ends) == (
        leaf.certificate.not_valid_before_utc,
        leaf.certificate.not_valid_after_utc,
    )


def test_what_is_told_of_a_name_can_be_printed() -> None:
    told = describe(a_certificate("a\x1b[2Jb\u202ec é"))
    assert told.subject == told.issuer == "CN=a?[2Jb?c é"


def test_without_any_organisation_the_whole_name_says_whose_it_is() -> None:
    ours, theirs, again = (read(a_certificate(name, serial)) for name, serial in (("a", 1), ("b", 2), ("a", 3)))
    assert organisation(ours) == organisation(again) != organisation(theirs)


@pytest.mark.parametrize(("kind", "pss"), [("rsa", False), ("rsa", True), ("p256", False), ("ed25519", False)])
def test_a_signature_that_was_altered_does_not_hold(kind: Kind, pss: bool) -> None:
    issuer = PKI.authority("signs", by=PKI.root, kind=kind).identity
    leaf = PKI.issue("x", by=PKI.authority("signs", by=PKI.root, kind=kind, key=issuer.key), pss=pss)
    check_issued(leaf.certificate, issuer.certificate, AT)
    for place in (-1, leaf.der.index(b"mailflow demonstration")):
        der = bytearray(leaf.der)
        der[place] ^= 1
        with pytest.raises(TrustError, match="does not hold"):
            check_issued(read(bytes(der)), issuer.certificate, AT)


def test_what_stands_beside_the_signature_is_what_was_signed() -> None:
    """The same algorithm in other octets: whoever reads only one of the two is told something else."""
    issuer = PKI.issuing_rsa.identity
    leaf = PKI.issue("x", by=PKI.issuing_rsa)
    reader = ber.Reader(leaf.der)
    body, algorithm, signature = (reader.raw(part) for part in reader.children(reader.root(), ber.SEQUENCE))
    assert algorithm.endswith(b"\x05\x00")
    without_null = ber.sequence(algorithm[2:-2])
    check_issued(read(ber.sequence(body, algorithm, signature)), issuer.certificate, AT)
    with pytest.raises(TrustError, match="does not hold"):
        check_issued(read(ber.sequence(body, without_null, signature)), issuer.certificate, AT)


@pytest.mark.parametrize("salt", [20, 31, 33])
def test_pss_has_a_salt_as_long_as_its_digest(salt: int) -> None:
    issuer = PKI.issuing_rsa.identity
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    former = PKI.issue("x", kind="rsa").certificate
    builder = x509.CertificateBuilder(
        former.issuer,
        former.subject,
        former.public_key(),
        former.serial_number,
        former.not_valid_before_utc,
        former.not_valid_after_utc,
    )
    for octets, holds in ((32, True), (salt, False)):
        how = padding.PSS(padding.MGF1(hashes.SHA256()), octets)
        made = builder.sign(issuer.key, hashes.SHA256(), rsa_padding=how)
        if holds:
            check_issued(made, issuer.certificate, AT)
        else:
            with pytest.raises(TrustError, match="does not hold"):
                check_issued(made, issuer.certificate, AT)
