"""Structures with a field too many or too few are malformed, wherever it is."""

from collections.abc import Callable

import pytest

from mailflow.mail.cms import ber
from mailflow.mail.cms.ber import LimitExceeded, Malformed, Reader
from mailflow.mail.cms.structures import (
    RECIPIENTS_MAX,
    ContentType,
    read_content_type,
    read_enveloped,
    read_signed_data,
)
from tests.support import crafted
from tests.support.crafted import ENTITY, attributes, one_signer, signer_info
from tests.support.envelopes import KDF, KEY32, WRAP, agreed, cbc, gcm, transported
from tests.support.keys import holder

SIGNED = one_signer(signer_info(holder("rsa"), attributes(ENTITY)))
ENVELOPE = cbc([transported(KEY32), agreed(KEY32)])
AUTHENTICATED = gcm([transported(KEY32)], attributes=attributes(ENTITY))
OF_SIGNED = {
    "ContentInfo": (),
    "content": (1,),
    "SignedData": (1, 0),
    "encapContentInfo": (1, 0, 2),
    "eContent": (1, 0, 2, 1),
    "SignerInfo": (1, 0, 4, 0),
    "sid": (1, 0, 4, 0, 1),
    "Attribute": (1, 0, 4, 0, 3, 0),
    "signatureAlgorithm": (1, 0, 4, 0, 4),
}
OF_ENVELOPE = {
    "EnvelopedData": (1, 0),
    "KeyTransRecipientInfo": (1, 0, 1, 0),
    "rid": (1, 0, 1, 0, 1),
    "KeyAgreeRecipientInfo": (1, 0, 1, 1),
    "originator": (1, 0, 1, 1, 1),
    "originatorKey": (1, 0, 1, 1, 1, 0),
    "RecipientEncryptedKey": (1, 0, 1, 1, 3, 0),
    "encryptedContentInfo": (1, 0, 2),
}
PLACES = [
    *(pytest.param(SIGNED, read_signed_data, path, id=name) for name, path in OF_SIGNED.items()),
    *(pytest.param(ENVELOPE, read_enveloped, path, id=name) for name, path in OF_ENVELOPE.items()),
    pytest.param(AUTHENTICATED, read_enveloped, (1, 0), id="AuthEnvelopedData"),
]

Change = Callable[[list[bytes]], list[bytes]]


def changed(data: bytes, path: tuple[int, ...], change: Change) -> bytes:
    """`data` with other elements inside the one that `path` leads to."""
    reader = Reader(data)
    root = reader.root()
    parts = [reader.raw(child) for child in reader.children(root, root.tag)]
    if path:
        parts[path[0]] = changed(parts[path[0]], path[1:], change)
        return ber.der(root.tag, *parts)
    return ber.der(root.tag, *change(parts))


@pytest.mark.parametrize(("data", "read", "path"), PLACES)
def test_a_field_more_is_malformed(data: bytes, read: Callable[[bytes], object], path: tuple[int, ...]) -> None:
    assert read(changed(data, path, lambda parts: parts)) == read(data)
    with pytest.raises(Malformed):
        read(changed(data, path, lambda parts: [*parts, ber.der(0x9E, b"")]))


@pytest.mark.parametrize(("data", "read", "path"), PLACES)
def test_a_field_less_is_malformed(data: bytes, read: Callable[[bytes], object], path: tuple[int, ...]) -> None:
    if path in (OF_SIGNED["encapContentInfo"], OF_SIGNED["signatureAlgorithm"]) and read is read_signed_data:
        assert read(changed(data, path, lambda parts: parts[:-1])) != read(data)  # what is last there is optional
    else:
        with pytest.raises(Malformed):
            read(changed(data, path, lambda parts: parts[:-1]))


def test_the_agreed_keys_of_one_recipient_info_are_counted_too() -> None:
    path = (1, 0, 1, 1, 3)
    most = changed(ENVELOPE, path, lambda parts: parts * RECIPIENTS_MAX)
    assert len(read_enveloped(most).recipients) == 1 + RECIPIENTS_MAX
    with pytest.raises(LimitExceeded):
        read_enveloped(changed(ENVELOPE, path, lambda parts: parts * (RECIPIENTS_MAX + 1)))


def test_a_bit_string_with_unused_bits_is_no_point() -> None:
    point = ber.der(ber.BIT_STRING, b"\x01\x04" + b"\x01" * 64)
    with pytest.raises(Malformed):
        read_enveloped(changed(ENVELOPE, OF_ENVELOPE["originatorKey"], lambda parts: [parts[0], point]))


def test_a_certificate_of_another_kind_in_the_bag_is_passed_over() -> None:
    attribute_certificate = ber.der(0xA2, ber.NULL)
    signed = read_signed_data(changed(SIGNED, (1, 0, 3), lambda parts: [*parts, attribute_certificate]))
    assert signed.certificates == (holder("rsa").der,)


def test_revocation_lists_and_unsigned_attributes_are_passed_over() -> None:
    with_lists = changed(SIGNED, (1, 0), lambda parts: [*parts[:4], ber.der(0xA1, ber.sequence()), parts[4]])
    assert read_signed_data(with_lists) == read_signed_data(SIGNED)
    countersigned = changed(SIGNED, (1, 0, 4, 0), lambda parts: [*parts, ber.der(0xA1, ber.NULL)])
    assert read_signed_data(countersigned) == read_signed_data(SIGNED)


def test_originator_info_and_unauthenticated_attributes_are_passed_over() -> None:
    for data in (ENVELOPE, AUTHENTICATED):
        with_info = changed(data, (1, 0), lambda parts: [parts[0], ber.der(0xA0, b""), *parts[1:]])
        assert read_enveloped(with_info) == read_enveloped(data)
    with_attributes = changed(AUTHENTICATED, (1, 0), lambda parts: [*parts, ber.der(0xA2, ber.NULL)])
    assert read_enveloped(with_attributes) == read_enveloped(AUTHENTICATED)


def test_the_agreement_is_read_with_its_names() -> None:
    agreement = read_enveloped(ENVELOPE).recipients[1]
    assert agreement.algorithm.oid == KDF["sha256"]
    assert agreement.algorithm.parameters == ber.algorithm(WRAP[32])
    assert agreement.recipient.serial == holder("p256").certificate.serial_number


def test_each_kind_of_content_is_told_apart() -> None:
    assert read_content_type(SIGNED) is ContentType.SIGNED
    assert read_content_type(ENVELOPE) is ContentType.ENVELOPED
    assert read_content_type(AUTHENTICATED) is ContentType.AUTH_ENVELOPED
    data = ber.sequence(ber.oid(crafted.DATA), ber.der(0xA0, ber.octet_string(b"")))
    assert read_content_type(data) is ContentType.OTHER


VERSIONED = ("SignedData", "SignerInfo", "EnvelopedData", "KeyTransRecipientInfo", "KeyAgreeRecipientInfo")


@pytest.mark.parametrize("name", VERSIONED)
def test_a_field_of_another_type_in_the_place_of_a_version_is_malformed(name: str) -> None:
    data, read, path = (
        (SIGNED, read_signed_data, OF_SIGNED[name])
        if name in OF_SIGNED
        else (ENVELOPE, read_enveloped, OF_ENVELOPE[name])
    )
    with pytest.raises(Malformed, match="field missing or out of place"):
        read(changed(data, path, lambda parts: [ber.octet_string(b"\x01"), *parts[1:]]))


def test_recipients_are_counted() -> None:
    most = changed(ENVELOPE, (1, 0, 1), lambda parts: [parts[0]] * RECIPIENTS_MAX)
    assert len(read_enveloped(most).recipients) == RECIPIENTS_MAX
    with pytest.raises(LimitExceeded):
        read_enveloped(changed(ENVELOPE, (1, 0, 1), lambda parts: [parts[0]] * (RECIPIENTS_MAX + 1)))


def test_an_agreed_key_may_be_for_a_key_with_a_date_and_come_in_chunks() -> None:
    named = ber.der(0xA0, ber.octet_string(b"key"), ber.der(ber.GENERALIZED_TIME, b"20260302090000Z"))
    path = OF_ENVELOPE["RecipientEncryptedKey"]
    read = read_enveloped(changed(ENVELOPE, path, lambda parts: [named, ber.der(0x24, ber.octet_string(b"wrapped"))]))
    agreement = read.recipients[1]
    assert (agreement.recipient.subject_key_id, agreement.encrypted_key) == (b"key", b"wrapped")
