"""What is proved by a signature, and every form that is refused by its name."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from asn1crypto import cms as oracle
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity, Kind
from mailflow.mail.cms import CmsError, SignerIdentifier, ber, sign, verify
from tests.support import crafted
from tests.support.crafted import (
    ENTITY,
    attributes,
    by_issuer,
    by_key_id,
    one_signer,
    proved,
    refusal,
    signed_data,
    signer_info,
)
from tests.support.keys import KINDS, holder, signing_key
from tests.support.pki import AT, shared_pki

# What is proved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detached", [True, False])
def test_each_kind_of_key_proves_its_holder(kind: Kind, detached: bool) -> None:
    cms = sign(ENTITY, signing_key(kind), at=AT, detached=detached)
    mail = proved(cms, ENTITY if detached else None)
    assert mail.content == ENTITY
    assert [s.certificate for s in mail.signers] == [holder(kind).der]
    assert mail.signers[0].signed_at == AT
    assert mail.certificates == (holder(kind).der,)


@pytest.mark.parametrize(("digest", "salt"), [("sha256", 32), ("sha256", 222), ("sha384", 48), ("sha512", 64)])
def test_pss_is_accepted_from_the_length_of_the_hash_to_the_longest_salt(digest: str, salt: int) -> None:
    how = crafted.pss_signer(holder("rsa"), digest=digest, mask=digest, salt=salt)
    info = signer_info(holder("rsa"), attributes(ENTITY, digest), how=how, digest=crafted.digest_algorithm(digest))
    assert proved(one_signer(info)).signers[0].signature_algorithm == "rsa-pss"


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
@pytest.mark.parametrize("null", [b"", ber.NULL])
def test_each_digest_is_accepted_with_and_without_null(kind: Kind, digest: str, null: bytes) -> None:
    info = signer_info(
        holder(kind),
        attributes(ENTITY, digest),
        how=crafted.signer(holder(kind), digest),
        digest=crafted.digest_algorithm(digest, null),
    )
    assert proved(one_signer(info, holder(kind))).signers[0].digest_algorithm == digest


def test_the_signature_oid_may_name_the_digest() -> None:
    _, how = crafted.signer(holder("rsa"))
    algorithm = ber.algorithm("1.2.840.113549.1.1.11", ber.NULL)
    info = signer_info(holder("rsa"), attributes(ENTITY), how=(algorithm, how))
    assert proved(one_signer(info)).signers[0].signature_algorithm == "rsa-pkcs1v15-sha256"


def test_the_signer_may_be_named_by_its_key_identifier() -> None:
    info = signer_info(holder("p256"), attributes(ENTITY), sid=crafted.by_key_id(holder("p256")))
    assert proved(one_signer(info, holder("p256"))).signers[0].certificate == holder("p256").der


def test_several_signers_are_all_reported() -> None:
    infos = [signer_info(holder(kind), attributes(ENTITY)) for kind in ("rsa", "p256")]
    mail = proved(signed_data(ENTITY, infos, [holder("rsa").der, holder("p256").der]))
    assert {s.certificate for s in mail.signers} == {holder("rsa").der, holder("p256").der}


def test_a_certificate_that_is_missing_is_taken_from_the_enrolled() -> None:
    asked: list[SignerIdentifier] = []

    def enrolled(name: SignerIdentifier) -> Sequence[bytes]:
        asked.append(name)
        return [holder("p256").der, holder("rsa").der]

    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [])
    mail = verify(cms, None, enrolled=enrolled, at=AT)
    assert mail.signers[0].certificate == holder("rsa").der
    assert mail.certificates == ()
    assert [name.serial for name in asked] == [holder("rsa").certificate.serial_number]


def test_the_enrolled_are_not_asked_when_the_certificate_is_there() -> None:
    def enrolled(_name: SignerIdentifier) -> Sequence[bytes]:
        raise AssertionError

    cms = sign(ENTITY, signing_key("rsa"), at=AT, detached=False)
    assert verify(cms, None, enrolled=enrolled, at=AT).content == ENTITY


def test_another_certificate_in_the_bag_is_no_signer() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    other = holder("p256").der
    mail = proved(signed_data(ENTITY, [info], [holder("rsa").der, other]))
    assert [s.certificate for s in mail.signers] == [holder("rsa").der]
    assert other in mail.certificates


def test_an_unreadable_certificate_that_nobody_needs_is_ignored() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    mail = proved(signed_data(ENTITY, [info], [holder("rsa").der, ber.sequence(b"\x05\x00")]))
    assert mail.certificates == (holder("rsa").der,)


def test_the_attributes_are_hashed_as_received_even_when_they_are_not_sorted() -> None:
    attrs = attributes(ENTITY)[::-1]
    assert attrs != sorted(attrs)
    algorithm, how = crafted.signer(holder("rsa"))
    info = ber.sequence(
        ber.integer(1),
        crafted.by_issuer(holder("rsa")),
        crafted.digest_algorithm("sha256"),
        ber.der(0xA0, *attrs),
        algorithm,
        ber.octet_string(how(ber.der(0x31, *attrs))),
    )
    assert proved(one_signer(info)).content == ENTITY


def test_ber_of_indefinite_length_and_content_in_chunks_is_read() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    encapsulated = crafted.indefinite(0x30, ber.oid(crafted.DATA), crafted.indefinite(0xA0, crafted.chunked(ENTITY, 7)))
    body = crafted.indefinite(
        0x30,
        ber.integer(1),
        ber.set_of(crafted.digest_algorithm("sha256")),
        encapsulated,
        crafted.indefinite(0xA0, holder("rsa").der),
        crafted.indefinite(0x31, info),
    )
    cms = crafted.indefinite(0x30, ber.oid(crafted.SIGNED_DATA), crafted.indefinite(0xA0, body))
    assert proved(cms).content == ENTITY


def test_a_certificate_issued_twice_for_one_key_is_found_by_trying_both() -> None:
    first = holder("p256")
    again = shared_pki().issue("again", key=first.key)
    assert crafted.by_key_id(first) == crafted.by_key_id(again)
    info = signer_info(
        first,
        attributes(ENTITY, changed={"certificate_id": crafted.certificate_id(again.der, None)}),
        sid=crafted.by_key_id(first),
    )
    mail = proved(signed_data(ENTITY, [info], [first.der, again.der]))
    assert mail.signers[0].certificate == again.der


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1950, 1, 1, tzinfo=UTC),
        datetime(2049, 12, 31, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        AT,
    ],
)
def test_the_signing_time_is_what_the_signer_claims(moment: datetime) -> None:
    info = signer_info(holder("p256"), attributes(ENTITY, at=moment))
    assert proved(one_signer(info, holder("p256"))).signers[0].signed_at == moment


# What is refused: content


def test_an_altered_content_is_refused() -> None:
    cms = sign(ENTITY, signing_key("rsa"), at=AT, detached=True)
    assert refusal(cms, ENTITY + b"x") is Code.CONTENT_ALTERED


def test_embedded_and_detached_content_together_are_refused() -> None:
    cms = sign(ENTITY, signing_key("rsa"), at=AT, detached=False)
    assert refusal(cms, ENTITY) is Code.CONTENT_DUPLICATED


def test_no_content_at_all_is_refused() -> None:
    assert refusal(sign(ENTITY, signing_key("rsa"), at=AT, detached=True)) is Code.SIGNATURE_UNREADABLE


def test_content_of_another_type_is_refused() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    cms = signed_data(ENTITY, [info], [holder("rsa").der], content_type=crafted.SIGNED_DATA)
    assert refusal(cms) is Code.CONTENT_TYPE_WRONG


def test_bytes_behind_the_structure_are_refused() -> None:
    cms = sign(ENTITY, signing_key("rsa"), at=AT, detached=True)
    assert refusal(cms + b"\n", ENTITY) is Code.SIGNATURE_UNREADABLE


def test_what_is_no_signed_data_is_refused() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    cms = signed_data(ENTITY, [info], [holder("rsa").der], outer_type="1.2.840.113549.1.7.3")
    assert refusal(cms) is Code.SIGNATURE_UNREADABLE


# What is refused: signers


def test_certificates_alone_are_not_a_signature() -> None:
    assert refusal(signed_data(ENTITY, [], [holder("rsa").der])) is Code.NOT_SIGNED


def test_one_wrong_signer_among_right_ones_refuses_all() -> None:
    right = signer_info(holder("rsa"), attributes(ENTITY))
    wrong = signer_info(holder("p256"), attributes(ENTITY), how=crafted.signer(holder("p256", "other")))
    assert refusal(signed_data(ENTITY, [right, wrong], [holder("rsa").der, holder("p256").der])) is Code.SIGNATURE_WRONG


def test_a_signature_by_another_key_is_refused() -> None:
    other = shared_pki().issue("impostor", kind="rsa")
    info = signer_info(other, attributes(ENTITY), sid=crafted.by_issuer(holder("rsa")))
    assert refusal(one_signer(info)) is Code.SIGNATURE_WRONG


def test_a_signer_without_certificate_anywhere_is_refused() -> None:
    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [holder("p256").der])
    assert refusal(cms) is Code.SIGNER_CERTIFICATE_MISSING


def test_the_same_serial_number_of_another_issuer_names_another_certificate() -> None:
    serial = holder("rsa").certificate.serial_number
    other = shared_pki().issue("same-serial", kind="p256", serial=serial)
    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [other.der])
    assert refusal(cms) is Code.SIGNER_CERTIFICATE_MISSING


def test_an_enrolled_certificate_of_another_name_is_not_taken() -> None:
    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [])
    with pytest.raises(CmsError) as caught:
        verify(cms, None, enrolled=lambda _: [holder("p256").der], at=AT)
    assert caught.value.code is Code.SIGNER_CERTIFICATE_MISSING


def test_five_signers_are_too_many() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    assert refusal(signed_data(ENTITY, [info] * 5, [holder("rsa").der])) is Code.SIGNATURE_LIMITS_EXCEEDED


def test_thirty_three_certificates_are_too_many() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    assert refusal(signed_data(ENTITY, [info], [holder("rsa").der] * 33)) is Code.SIGNATURE_LIMITS_EXCEEDED


def test_sixty_five_attributes_are_too_many() -> None:
    extra = [ber.sequence(ber.oid(f"1.2.3.{n}"), ber.set_of(ber.NULL)) for n in range(62)]
    info = signer_info(holder("rsa"), attributes(ENTITY) + extra)
    assert refusal(one_signer(info)) is Code.SIGNATURE_LIMITS_EXCEEDED


# What is refused: certificates


def _with_key(certificate: bytes, old: bytes, new: bytes) -> bytes:
    assert certificate.count(old) >= 1
    assert len(old) == len(new)
    return certificate.replace(old, new)


def test_a_signer_whose_key_cannot_be_read_is_refused() -> None:
    prime256 = bytes.fromhex("06082a8648ce3d030107")
    broken = _with_key(holder("p256").der, prime256, bytes.fromhex("06082a8648ce3d03017f"))
    cms = signed_data(ENTITY, [signer_info(holder("p256"), attributes(ENTITY))], [broken])
    assert refusal(cms) is Code.CERTIFICATE_UNREADABLE


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    key = holder("p256").key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    old = key.public_key().public_numbers().y.to_bytes(32, "big")
    broken = _with_key(holder("p256").der, old, bytes([old[0] ^ 1]) + old[1:])
    cms = signed_data(ENTITY, [signer_info(holder("p256"), attributes(ENTITY))], [broken])
    assert refusal(cms) is Code.CERTIFICATE_UNREADABLE


def test_an_unreadable_certificate_is_named_when_the_signer_is_not_found() -> None:
    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [ber.sequence(ber.NULL)])
    assert refusal(cms) is Code.CERTIFICATE_UNREADABLE


def test_a_certificate_over_64_kib_is_not_read() -> None:
    huge = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\0" * 70_000)
    big = shared_pki().issue("big", extra=[(huge, False)])
    assert refusal(one_signer(signer_info(holder("rsa"), attributes(ENTITY)), big)) is Code.CERTIFICATE_UNREADABLE


def test_an_unreadable_enrolled_certificate_is_told() -> None:
    cms = signed_data(ENTITY, [signer_info(holder("rsa"), attributes(ENTITY))], [])
    with pytest.raises(CmsError) as caught:
        verify(cms, None, enrolled=lambda _: [b"rubbish"], at=AT)
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE


def test_five_certificates_of_one_name_are_too_many() -> None:
    first = holder("p256")
    same = [shared_pki().issue(f"same-{n}", key=first.key).der for n in range(5)]
    info = signer_info(first, attributes(ENTITY), sid=crafted.by_key_id(first))
    assert refusal(signed_data(ENTITY, [info], same)) is Code.SIGNATURE_LIMITS_EXCEEDED


@pytest.mark.parametrize(("named", "version"), [(by_issuer, "v1"), (by_key_id, "v3")])
def test_what_is_kept_of_a_signature_says_the_version_that_its_signer_wants(
    named: Callable[[Identity], bytes], version: str
) -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY), sid=named(holder("rsa")))
    kept = oracle.ContentInfo.load(proved(one_signer(info)).signature, strict=True)["content"]
    (signer,) = kept["signer_infos"]
    assert (kept["version"].native, signer["version"].native) == (version, version)
    assert kept["encap_content_info"]["content"].native is None
    assert len(kept["certificates"]) == 0


def test_of_certificates_that_claim_to_be_the_signers_four_are_tried() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY))
    assert proved(signed_data(ENTITY, [info], [holder("rsa").der] * 4)).content == ENTITY
    assert refusal(signed_data(ENTITY, [info], [holder("rsa").der] * 5)) is Code.SIGNATURE_LIMITS_EXCEEDED
