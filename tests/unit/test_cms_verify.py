"""What is proved by a signature, and every form that is refused by its name."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity, Kind
from mailflow.mail.cms import CmsError, SignerIdentifier, ber, sign, verify
from mailflow.mail.model import VerifiedMail
from tests.support import crafted
from tests.support.crafted import attributes, signed_data, signer_info
from tests.support.keys import KINDS, holder, signing_key
from tests.support.pki import AT, shared_pki

ENTITY = b"Content-Type: text/plain\r\n\r\nbonjour\r\n"


def nobody(_signer: SignerIdentifier) -> Sequence[bytes]:
    return []


def proved(cms: bytes, detached: bytes | None = None, at: datetime = AT) -> VerifiedMail:
    return verify(cms, detached, enrolled=nobody, at=at)


def refusal(cms: bytes, detached: bytes | None = None, at: datetime = AT) -> Code:
    with pytest.raises(CmsError) as caught:
        proved(cms, detached, at)
    return caught.value.code


def one_signer(info: bytes, by: Identity | None = None, content: bytes | None = ENTITY) -> bytes:
    return signed_data(content, [info], [(by or holder("rsa")).der])


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
        attributes(ENTITY, changed={"certificate_id": _certificate_id(again.der, None)}),
        sid=crafted.by_key_id(first),
    )
    mail = proved(signed_data(ENTITY, [info], [first.der, again.der]))
    assert mail.signers[0].certificate == again.der


@pytest.mark.parametrize(
    "moment", [datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC), AT]
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


# What is refused: attributes


def test_a_signature_over_the_bare_content_is_refused() -> None:
    info = signer_info(holder("rsa"), None, signs=ENTITY)
    assert refusal(one_signer(info)) is Code.NO_SIGNED_ATTRIBUTES


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"content_type": None}, Code.NO_SIGNED_ATTRIBUTES),
        ({"content_type": [ber.oid(crafted.SIGNED_DATA)]}, Code.CONTENT_TYPE_WRONG),
        ({"content_type": [ber.oid(crafted.DATA), ber.oid(crafted.SIGNED_DATA)]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"message_digest": None}, Code.NO_SIGNED_ATTRIBUTES),
        ({"message_digest": []}, Code.NO_SIGNED_ATTRIBUTES),
        ({"message_digest": [ber.octet_string(b"\0" * 32)]}, Code.CONTENT_ALTERED),
        ({"message_digest": [ber.octet_string(b"")]}, Code.CONTENT_ALTERED),
        ({"signing_time": None}, Code.SIGNING_TIME_MISSING),
        ({"signing_time": []}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.time(AT), ber.time(AT + timedelta(days=1))]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.der(0x17, b"2603020900Z")]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.der(0x17, b"260302090000+0100")]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.der(0x17, b"260230090000Z")]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.der(0x18, b"20260302090000.5Z")]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.der(0x18, b"00000302090000Z")]}, Code.NO_SIGNED_ATTRIBUTES),
        ({"signing_time": [ber.NULL]}, Code.NO_SIGNED_ATTRIBUTES),
    ],
)
def test_the_mandatory_attributes_are_there_once_and_right(
    changed: dict[str, Sequence[bytes] | None], code: Code
) -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY, changed=changed))
    assert refusal(one_signer(info)) is code


def test_an_attribute_given_twice_is_refused() -> None:
    attrs = attributes(ENTITY)
    assert refusal(one_signer(signer_info(holder("rsa"), [*attrs, attrs[1]]))) is Code.NO_SIGNED_ATTRIBUTES


def test_attributes_of_indefinite_length_are_refused() -> None:
    attrs = attributes(ENTITY)
    algorithm, how = crafted.signer(holder("rsa"))
    info = ber.sequence(
        ber.integer(1),
        crafted.by_issuer(holder("rsa")),
        crafted.digest_algorithm("sha256"),
        crafted.indefinite(0xA0, *attrs),
        algorithm,
        ber.octet_string(how(ber.set_of(*attrs))),
    )
    assert refusal(one_signer(info)) is Code.SIGNATURE_UNREADABLE


def _certificate_id(certificate: bytes, digest: str | None) -> list[bytes]:
    value = ber.octet_string(hashlib.new(digest or "sha256", certificate).digest())
    algorithm = crafted.digest_algorithm(digest) if digest else b""
    return [ber.sequence(ber.sequence(ber.sequence(algorithm, value)))]


@pytest.mark.parametrize("digest", [None, "sha256", "sha384", "sha512"])
def test_the_certificate_identifier_must_be_that_of_the_signer(digest: str | None) -> None:
    right = attributes(ENTITY, changed={"certificate_id": _certificate_id(holder("rsa").der, digest)})
    wrong = attributes(ENTITY, changed={"certificate_id": _certificate_id(holder("p256").der, digest)})
    assert proved(one_signer(signer_info(holder("rsa"), right))).content == ENTITY
    assert refusal(one_signer(signer_info(holder("rsa"), wrong))) is Code.SIGNATURE_WRONG


def test_a_certificate_identifier_by_sha1_is_refused() -> None:
    attrs = attributes(ENTITY, changed={"certificate_id": _certificate_id(holder("rsa").der, "sha1")})
    assert refusal(one_signer(signer_info(holder("rsa"), attrs))) is Code.ALGORITHM_REFUSED


@pytest.mark.parametrize("broken", [b"\x30\x00", b"\x30\x02\x30\x00", b"\x30\x04\x30\x02\x30\x00", b"\x05\x00"])
def test_an_unreadable_certificate_identifier_is_refused(broken: bytes) -> None:
    attrs = attributes(ENTITY, changed={"certificate_id": [broken]})
    assert refusal(one_signer(signer_info(holder("rsa"), attrs))) is Code.SIGNATURE_UNREADABLE


def _protection(digest: str, signature: bytes) -> list[bytes]:
    reader = ber.Reader(signature)
    return [ber.sequence(crafted.digest_algorithm(digest), ber.der(0xA1, signature[reader.root().body :]))]


@pytest.mark.parametrize(
    ("protection", "code"),
    [
        (_protection("sha256", ber.algorithm(crafted.RSA, ber.NULL)), None),
        (_protection("sha256", ber.algorithm(crafted.RSA)), None),
        (_protection("sha512", ber.algorithm(crafted.RSA, ber.NULL)), Code.ALGORITHM_REFUSED),
        (_protection("sha256", ber.algorithm(crafted.RSA_PSS, ber.NULL)), Code.ALGORITHM_REFUSED),
        ([ber.sequence(crafted.digest_algorithm("sha256"))], Code.SIGNATURE_UNREADABLE),
        ([ber.sequence(crafted.digest_algorithm("sha256"), ber.der(0xA2, b""))], Code.SIGNATURE_UNREADABLE),
        (_protection("sha256", ber.algorithm(crafted.RSA, ber.NULL)) * 2, Code.NO_SIGNED_ATTRIBUTES),
    ],
)
def test_the_protected_algorithms_must_be_those_used(protection: list[bytes], code: Code | None) -> None:
    cms = one_signer(signer_info(holder("rsa"), attributes(ENTITY, changed={"protection": protection})))
    if code is None:
        assert proved(cms).content == ENTITY
    else:
        assert refusal(cms) is code


# What is refused: algorithms and keys


@pytest.mark.parametrize("digest", ["md5", "sha1"])
def test_old_digests_are_refused(digest: str) -> None:
    info = signer_info(
        holder("rsa"),
        attributes(ENTITY, digest),
        how=crafted.signer(holder("rsa"), digest),
        digest=crafted.digest_algorithm(digest),
    )
    assert refusal(one_signer(info)) is Code.ALGORITHM_REFUSED


def test_the_oid_of_a_refused_algorithm_is_told() -> None:
    info = signer_info(holder("rsa"), attributes(ENTITY, "sha1"), digest=crafted.digest_algorithm("sha1"))
    with pytest.raises(CmsError, match=r"1\.3\.14\.3\.2\.26"):
        proved(one_signer(info))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mask": "sha1"},
        {"mask": "sha512"},
        {"digest": "sha512", "mask": "sha512", "salt": 64},
        {"salt": 31},
        {"salt": 20},
        {"salt": 0},
        {"trailer": 2},
    ],
)
def test_pss_parameters_that_do_not_agree_are_refused(kwargs: dict[str, int]) -> None:
    how = crafted.pss_signer(holder("rsa"), **kwargs)  # type: ignore[arg-type]  # one table for several types
    assert refusal(one_signer(signer_info(holder("rsa"), attributes(ENTITY), how=how))) is Code.ALGORITHM_REFUSED


@pytest.mark.parametrize("salt", [223, 1 << 40, -1])
def test_an_impossible_pss_salt_is_refused(salt: int) -> None:
    parameters = ber.sequence(
        ber.der(0xA0, crafted.digest_algorithm("sha256")),
        ber.der(0xA1, ber.algorithm(crafted.MGF1, crafted.digest_algorithm("sha256"))),
        ber.der(0xA2, ber.integer(salt)),
    )
    how = ber.algorithm(crafted.RSA_PSS, parameters), lambda _: b"\0" * 256
    assert refusal(one_signer(signer_info(holder("rsa"), attributes(ENTITY), how=how))) is Code.ALGORITHM_REFUSED


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (b"", Code.SIGNATURE_UNREADABLE),
        (ber.sequence(), Code.ALGORITHM_REFUSED),
        (ber.sequence(ber.der(0xA5, ber.NULL)), Code.SIGNATURE_UNREADABLE),
        (ber.NULL, Code.SIGNATURE_UNREADABLE),
    ],
)
def test_pss_without_its_parameters_is_refused(parameters: bytes, code: Code) -> None:
    _, how = crafted.pss_signer(holder("rsa"))
    info = signer_info(holder("rsa"), attributes(ENTITY), how=(ber.algorithm(crafted.RSA_PSS, parameters), how))
    assert refusal(one_signer(info)) is code


@pytest.mark.parametrize(
    ("kind", "oid"),
    [
        ("rsa", "1.2.840.113549.1.1.13"),  # names SHA-512 beside a SHA-256 digest
        ("rsa", "1.2.840.113549.1.1.5"),  # SHA-1 with RSA
        ("rsa", crafted.ECDSA["sha256"]),
        ("rsa", "1.3.101.112"),
        ("p256", crafted.ECDSA["sha512"]),
        ("p256", crafted.RSA),
        ("p256", "1.2.840.10045.2.1"),
        ("p256", "1.2.840.10045.4.1"),  # ECDSA with SHA-1
        ("ed25519", crafted.RSA),
    ],
)
def test_a_signature_algorithm_that_does_not_fit_is_refused(kind: Kind, oid: str) -> None:
    _, how = crafted.signer(holder(kind))
    info = signer_info(holder(kind), attributes(ENTITY), how=(ber.algorithm(oid), how))
    assert refusal(one_signer(info, holder(kind))) is Code.ALGORITHM_REFUSED


def test_ed25519_with_another_digest_than_sha512_is_refused() -> None:
    info = signer_info(holder("ed25519"), attributes(ENTITY))
    assert refusal(one_signer(info, holder("ed25519"))) is Code.ALGORITHM_REFUSED


@pytest.mark.parametrize("where", ["digest", "signature"])
def test_unexpected_parameters_are_refused(where: str) -> None:
    algorithm, how = crafted.signer(holder("rsa"))
    odd = ber.octet_string(b"x")
    info = signer_info(
        holder("rsa"),
        attributes(ENTITY),
        digest=crafted.digest_algorithm("sha256", odd if where == "digest" else b""),
        how=(ber.algorithm(crafted.RSA, odd) if where == "signature" else algorithm, how),
    )
    assert refusal(one_signer(info)) is Code.ALGORITHM_REFUSED


@pytest.mark.parametrize("kind", ["rsa-1024", "p192"])
def test_weak_keys_are_refused(kind: Kind) -> None:
    weak = holder(kind)
    assert refusal(one_signer(signer_info(weak, attributes(ENTITY)), weak)) is Code.KEY_TOO_WEAK


def test_rsa_v15_ends_with_the_year_2030_and_pss_does_not() -> None:
    last, after = datetime(2030, 12, 31, 23, 59, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    v15 = sign(ENTITY, signing_key("rsa"), at=AT, detached=False)
    assert proved(v15, at=last).content == ENTITY
    assert refusal(v15, at=after) is Code.ALGORITHM_REFUSED
    assert proved(sign(ENTITY, signing_key("rsa", pss=True), at=AT, detached=False), at=after).content == ENTITY


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
