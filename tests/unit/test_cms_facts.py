"""What is told of a structure that was refused: algorithms, sizes, serial numbers; never whose it is."""

import hashlib
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mailflow.demo.certificates import Kind
from mailflow.demo.pki import DAY
from mailflow.mail import cms
from mailflow.mail.cms import ber, facts
from tests.support import crafted
from tests.support.crafted import ENTITY, attributes, by_key_id, one_signer, signer_info
from tests.support.keys import holder, signing_key
from tests.support.pki import AT, shared_pki


def test_a_signature_is_told_by_its_parts() -> None:
    der = cms.sign(ENTITY, signing_key("p256"), at=AT, detached=False)
    told = facts.structure(der)
    assert (told["octets"], told["sha256"]) == (len(der), hashlib.sha256(der).hexdigest())
    assert (told["kind"], told["content_type"]) == ("signed", crafted.DATA)
    assert told["content"] == f"{len(ENTITY)} octets inside"
    (certificate,), (signer,) = told["certificates"], told["signers"]
    assert certificate == facts.certificate(holder("p256").der)
    assert signer["certificate"] == {"serial": f"{holder('p256').certificate.serial_number:x}"}
    assert signer["digest"]["oid"] == crafted.DIGESTS["sha256"]
    assert signer["digest"]["name"] == "sha256"
    assert signer["signature"] == {"oid": crafted.ECDSA["sha256"], "name": "ecdsa-sha256", "parameters": "absent"}
    assert crafted.MESSAGE_DIGEST in signer["signed_attributes"]
    assert signer["signed_attributes"] == sorted(signer["signed_attributes"])
    assert signer["signed_at"] == AT
    assert facts.content_of(der) == ENTITY


def test_what_is_detached_or_without_a_time_is_said_to_be_so() -> None:
    detached = cms.sign(ENTITY, signing_key("p256"), at=AT, detached=True)
    assert facts.structure(detached)["content"] == "detached"
    assert facts.content_of(detached) is None
    untimed = signer_info(holder("rsa"), attributes(ENTITY, changed={"signing_time": None}))
    (signer,) = facts.structure(one_signer(untimed))["signers"]
    assert signer["signed_at"] is None
    assert signer["signature"]["parameters"] == "NULL"


def test_a_signer_named_by_its_key_is_told_by_it() -> None:
    info = signer_info(holder("p256"), attributes(ENTITY), sid=by_key_id(holder("p256")))
    (signer,) = facts.structure(one_signer(info, holder("p256")))["signers"]
    key = x509.SubjectKeyIdentifier.from_public_key(holder("p256").key.public_key())
    assert signer["certificate"] == {"subject_key_id": key.digest.hex()}


def test_parameters_are_told_by_their_size_and_the_digests_that_they_name() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY), how=crafted.pss_signer(holder("rsa")))
    (signer,) = facts.structure(one_signer(info))["signers"]
    assert signer["signature"]["name"] == "rsa-pss"
    assert signer["signature"]["parameters"] == "59 octets sha256"
    unheard = signer_info(holder("rsa"), attributes(ENTITY), digest=ber.algorithm("1.2.3.4"))
    (signer,) = facts.structure(one_signer(unheard))["signers"]
    assert signer["digest"] == {"oid": "1.2.3.4", "name": None, "parameters": "absent"}


@pytest.mark.parametrize(("kind", "how"), [("rsa", "key transport"), ("p256", "key agreement")])
@pytest.mark.parametrize("legacy", [True, False])
def test_an_envelope_is_told_by_its_recipients(kind: Kind, how: str, legacy: bool) -> None:
    reader = holder(kind)
    told = facts.structure(cms.encrypt(ENTITY, [reader.der], legacy=legacy))
    assert (told["content_type"], told["authenticated"]) == (crafted.DATA, not legacy)
    assert told["encryption"]["name"] == ("aes256-cbc" if legacy else "aes256-gcm")
    (recipient,) = told["recipients"]
    assert (recipient["how"], recipient["certificate"]) == (how, {"serial": f"{reader.certificate.serial_number:x}"})
    assert recipient["algorithm"]["oid"]


@pytest.mark.parametrize("der", [b"", b"\x30\x80", b"junk"])
def test_what_cannot_be_read_is_said_to_be_so(der: bytes) -> None:
    told = facts.structure(der)
    assert told["octets"] == len(der)
    assert told["unreadable"]
    assert facts.content_of(der) is None


def test_of_another_kind_of_structure_nothing_more_is_told() -> None:
    told = facts.structure(ber.sequence(ber.oid("1.2.840.113549.1.7.5"), ber.der(0xA0, ber.sequence())))
    assert told.keys() == {"octets", "sha256", "kind"}
    assert told["kind"] == "other"


@pytest.mark.parametrize(
    ("kind", "key", "usage"),
    [
        ("rsa", "RSA 2048 bits", ["digital_signature", "key_encipherment"]),
        ("p384", "EC secp384r1", ["digital_signature", "key_agreement"]),
        ("ed25519", "Ed25519PublicKey", ["digital_signature"]),
    ],
)
def test_a_certificate_is_told_without_a_name(kind: Kind, key: str, usage: Sequence[str]) -> None:
    leaf, pki = holder(kind, "nameless"), shared_pki()
    others = [pki.root.identity.der, pki.issuing_rsa.identity.der, pki.issuing_ec.identity.der, b"junk"]
    told = facts.certificate(leaf.der, others)
    assert (told["key"], told["key_usage"], told["self_issued"]) == (key, usage, False)
    assert told["issued_by"] == [3 if kind == "p384" else 2], "by its place"
    assert (told["octets"], told["sha256"]) == (len(leaf.der), leaf.fingerprint)
    assert told["serial"] == f"{leaf.certificate.serial_number:x}"
    assert told["valid_from"] == leaf.certificate.not_valid_before_utc
    assert told["valid_until"] == leaf.certificate.not_valid_after_utc
    assert "2.5.29.15 critical" in told["extensions"]
    assert "2.5.29.14" in told["extensions"]
    assert told["subject_key_id"] == x509.SubjectKeyIdentifier.from_public_key(leaf.key.public_key()).digest.hex()
    assert told["signature"] == leaf.certificate.signature_algorithm_oid.dotted_string
    assert "nameless" not in repr(told)


def test_an_authority_is_told_to_have_issued_itself() -> None:
    told = facts.certificate(shared_pki().root.identity.der)
    assert told["self_issued"]
    assert told["key_usage"] == ["digital_signature", "key_cert_sign", "crl_sign"]


def test_a_certificate_that_cannot_be_read_is_said_to_be_so() -> None:
    whole = holder("p256").der
    broken = bytearray(whole)
    broken[whole.index(b"\x17\x0d") + 2] = ord("x")  # its first date
    for der in (b"", b"junk", bytes(broken)):
        told = facts.certificate(der)
        assert told["unreadable"]
        assert "serial" not in told


def test_a_certificate_without_extensions_says_nothing_of_its_usage() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    key = holder("p256").key
    bare = x509.CertificateBuilder(name, name, key.public_key(), 1, AT, AT + DAY).sign(key, hashes.SHA256())
    told = facts.certificate(bare.public_bytes(Encoding.DER))
    assert (told["key_usage"], told["extensions"], told["subject_key_id"]) == ([], [], None)
