"""Mails of the largest size are proved and opened with a few copies of their content, however they are cut."""

import tracemalloc
from collections.abc import Callable

import pytest

from mailflow.mail.cms import ber, decrypt, encrypt, sign, verify
from tests.support.crafted import DATA, SIGNED_DATA, attributes, chunked, indefinite, signed_data, signer_info
from tests.support.keys import decryption_key, holder, signing_key
from tests.support.pki import AT

MEBIBYTE = 1024 * 1024
ENTITY = b"0123456789abcde\n" * (25 * MEBIBYTE // 16)


def copies_made(action: Callable[[], bytes]) -> float:
    """Peak of what `action` holds, beside what was there before, in sizes of the entity."""
    tracemalloc.start()
    try:
        assert action() == ENTITY
        return tracemalloc.get_traced_memory()[1] / len(ENTITY)
    finally:
        tracemalloc.stop()


def in_chunks(octets: int) -> bytes:
    """SignedData as a streaming program writes it."""
    info = signer_info(holder("p256"), attributes(ENTITY))
    marker = b"in the place of the content"
    whole = signed_data(marker, [info], [holder("p256").der])
    reader = ber.Reader(whole)
    body = reader.only_child(reader.children(reader.root(), ber.SEQUENCE)[1], 0xA0)
    version, digests, _, bag, infos = map(reader.raw, reader.children(body, ber.SEQUENCE))
    content = indefinite(0x30, ber.oid(DATA), indefinite(0xA0, chunked(ENTITY, octets)))
    fields = indefinite(0x30, version, digests, content, bag, infos)
    return indefinite(0x30, ber.oid(SIGNED_DATA), indefinite(0xA0, fields))


def test_a_detached_content_is_not_copied() -> None:
    cms = sign(ENTITY, signing_key("p256"), at=AT, detached=True)
    assert copies_made(lambda: verify(cms, ENTITY, enrolled=lambda _: [], at=AT).content) < 0.1


def test_an_embedded_content_is_copied_once() -> None:
    cms = sign(ENTITY, signing_key("p256"), at=AT, detached=False)
    assert copies_made(lambda: verify(cms, None, enrolled=lambda _: [], at=AT).content) < 1.1


@pytest.mark.parametrize("octets", [1000, 4096])
def test_a_content_in_chunks_is_copied_twice(octets: int) -> None:
    cms = in_chunks(octets)
    assert copies_made(lambda: verify(cms, None, enrolled=lambda _: [], at=AT).content) < 2.3


@pytest.mark.parametrize("legacy", [True, False])
def test_an_encrypted_content_is_copied_three_times(legacy: bool) -> None:
    cms = encrypt(ENTITY, [holder("p256").der], legacy=legacy)
    assert copies_made(lambda: decrypt(cms, [decryption_key("p256")], at=AT)) < 3.1
