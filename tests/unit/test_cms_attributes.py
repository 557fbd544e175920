"""Signed attributes, algorithms and keys that are refused, each by its name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind
from mailflow.mail.cms import CmsError, ber, sign
from tests.support import crafted
from tests.support.crafted import ENTITY, attributes, one_signer, proved, refusal, signer_info
from tests.support.keys import holder, signing_key
from tests.support.pki import AT

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


@pytest.mark.parametrize("digest", [None, "sha256", "sha384", "sha512"])
def test_the_certificate_identifier_must_be_that_of_the_signer(digest: str | None) -> None:
    right = attributes(ENTITY, changed={"certificate_id": crafted.certificate_id(holder("rsa").der, digest)})
    wrong = attributes(ENTITY, changed={"certificate_id": crafted.certificate_id(holder("p256").der, digest)})
    assert proved(one_signer(signer_info(holder("rsa"), right))).content == ENTITY
    assert refusal(one_signer(signer_info(holder("rsa"), wrong))) is Code.SIGNATURE_WRONG


def test_a_certificate_identifier_by_sha1_is_refused() -> None:
    attrs = attributes(ENTITY, changed={"certificate_id": crafted.certificate_id(holder("rsa").der, "sha1")})
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
        (_protection("sha256", ber.algorithm(crafted.RSA, ber.integer(1))), Code.ALGORITHM_REFUSED),
        (
            [
                ber.sequence(
                    crafted.digest_algorithm("sha256", ber.integer(1)),
                    ber.der(0xA1, ber.oid(crafted.RSA), ber.NULL),
                )
            ],
            Code.ALGORITHM_REFUSED,
        ),
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
        {"digest": "sha512", "salt": 64},
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


SHA256 = crafted.digest_algorithm("sha256")


@pytest.mark.parametrize(
    ("hashed", "mask"),
    [
        (SHA256, ber.algorithm("1.2.3.4", SHA256)),
        (crafted.digest_algorithm("sha256", ber.octet_string(b"x")), ber.algorithm(crafted.MGF1, SHA256)),
    ],
)
def test_pss_with_another_mask_or_parameters_of_its_hash_is_refused(hashed: bytes, mask: bytes) -> None:
    parameters = ber.sequence(ber.der(0xA0, hashed), ber.der(0xA1, mask), ber.der(0xA2, ber.integer(32)))
    _, how = crafted.pss_signer(holder("rsa"))
    info = signer_info(holder("rsa"), attributes(ENTITY), how=(ber.algorithm(crafted.RSA_PSS, parameters), how))
    assert refusal(one_signer(info)) is Code.ALGORITHM_REFUSED


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
    v15 = sign(ENTITY, signing_key("rsa-3072"), at=AT, detached=False)
    assert proved(v15, at=last).content == ENTITY
    assert refusal(v15, at=after) is Code.ALGORITHM_REFUSED
    pss = sign(ENTITY, signing_key("rsa-3072", pss=True), at=AT, detached=False)
    assert proved(pss, at=after).content == ENTITY


def test_small_keys_of_rsa_end_with_the_year_2030_whatever_they_sign() -> None:
    last, after = datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    small = sign(ENTITY, signing_key("rsa", pss=True), at=AT, detached=False)
    assert proved(small, at=last).content == ENTITY
    assert refusal(small, at=after) is Code.KEY_TOO_WEAK
