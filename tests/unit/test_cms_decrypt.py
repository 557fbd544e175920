"""What is opened, and that every failure that hangs on a key looks the same."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind
from mailflow.mail.cms import CmsError, ContentType, DecryptionKey, ber, content_type, decrypt, encrypt, sign
from mailflow.mail.cms.recipients import agreed_key, transported_key
from mailflow.mail.cms.structures import AlgorithmIdentifier, KeyAgreement, KeyTransport, SignerIdentifier
from tests.support import crafted
from tests.support.crafted import ENTITY, chunked, indefinite
from tests.support.envelopes import (
    CBC,
    ENVELOPED,
    GCM,
    KDF,
    KEY16,
    KEY24,
    KEY32,
    OAEP,
    RSA,
    WRAP,
    agreed,
    agreement,
    cbc,
    gcm,
    oaep,
    transported,
    transported_as,
)
from tests.support.keys import decryption_key, holder, signing_key
from tests.support.pki import AT


def opened(cms: bytes, *kinds: Kind, at: datetime = AT) -> bytes:
    return decrypt(cms, [decryption_key(kind) for kind in kinds or ("rsa",)], at=at)


def failure(cms: bytes, *kinds: Kind, at: datetime = AT) -> CmsError:
    with pytest.raises(CmsError) as caught:
        opened(cms, *kinds, at=at)
    return caught.value


# What is opened


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
def test_every_recipient_of_what_we_encrypt_opens_it(kind: Kind, legacy: bool) -> None:
    cms = encrypt(ENTITY, [holder(k).der for k in ("rsa", "p256", "p384", "p521")], legacy=legacy)
    assert opened(cms, kind) == ENTITY
    assert content_type(cms) is (ContentType.ENVELOPED if legacy else ContentType.AUTH_ENVELOPED)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096, 100_000])
@pytest.mark.parametrize("legacy", [True, False])
def test_every_length_comes_back(size: int, legacy: bool) -> None:
    content = b"x" * size
    assert opened(encrypt(content, [holder("p256").der], legacy=legacy), "p256") == content


@pytest.mark.parametrize("content_key", [KEY16, KEY24, KEY32])
def test_cbc_is_opened_with_every_length_of_key(content_key: bytes) -> None:
    assert opened(cbc([transported(content_key)], content_key)) == ENTITY


@pytest.mark.parametrize("content_key", [KEY16, KEY32])
@pytest.mark.parametrize("tag_octets", [12, 13, 16])
def test_gcm_is_opened_with_tags_of_12_octets_and_more(content_key: bytes, tag_octets: int) -> None:
    assert opened(gcm([transported(content_key)], content_key, tag_octets=tag_octets)) == ENTITY


def test_the_gcm_tag_has_12_octets_where_nothing_is_said() -> None:
    cms = gcm([transported(KEY32)], tag_octets=12, parameters=ber.sequence(ber.octet_string(b"n" * 12)))
    assert opened(cms) == ENTITY


def test_authenticated_attributes_are_part_of_what_gcm_proves() -> None:
    attributes = [ber.sequence(ber.oid(crafted.CONTENT_TYPE), ber.set_of(ber.oid(crafted.DATA)))]
    cms = gcm([transported(KEY32)], attributes=attributes)
    assert opened(cms) == ENTITY
    assert failure(cms.replace(attributes[0], attributes[0][:-1] + b"\x02")).code is Code.DECRYPTION_FAILED


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("mask", ["sha1", "sha256"])
@pytest.mark.parametrize("label", [b"", b"label"])
def test_oaep_is_opened_with_every_digest_mask_and_label(digest: str, mask: str, label: bytes) -> None:
    algorithm, how = oaep(digest, mask, label)
    assert opened(cbc([transported(KEY32, algorithm=algorithm, how=how)])) == ENTITY


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("wrap", [16, 24, 32])
@pytest.mark.parametrize("material", [None, b"", b"sixty-four octets"])
def test_ecdh_is_opened_with_every_derivation_and_wrap(digest: str, wrap: int, material: bytes | None) -> None:
    assert opened(cbc([agreed(KEY32, digest=digest, wrap=wrap, material=material)]), "p256") == ENTITY


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_ecdh_is_opened_on_every_curve(kind: Kind) -> None:
    assert opened(gcm([agreed(KEY32, kind, compressed=kind == "p256")]), kind) == ENTITY


def test_the_wrap_algorithm_enters_the_derivation_as_it_was_written() -> None:
    assert opened(cbc([agreed(KEY32, wrap_parameters=ber.NULL)]), "p256") == ENTITY


def test_a_recipient_may_be_named_by_its_key_identifier() -> None:
    public = holder("rsa").key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    encrypted = public.encrypt(KEY32, padding.PKCS1v15())
    assert opened(cbc([transported_as(encrypted, rid=crafted.by_key_id(holder("rsa")))])) == ENTITY
    key_id = crafted.by_key_id(holder("p256"))[2:]
    named = ber.der(0xA0, ber.octet_string(key_id))
    assert opened(cbc([agreed(KEY32, rid=named)]), "p256") == ENTITY


def test_recipients_of_other_kinds_beside_ours_do_not_disturb() -> None:
    others = [
        ber.der(0xA2, ber.integer(4), ber.sequence(ber.octet_string(b"kek"))),
        ber.der(0xA3, ber.integer(0), ber.octet_string(b"password")),
        ber.der(0xA4, ber.oid("1.2.3"), ber.NULL),
        agreed(KEY32, "p384"),
        transported_as(b"x" * 256, rid=crafted.by_issuer(holder("p384"))),
        agreement(b"", ber.algorithm("1.2.3"), crafted.by_issuer(holder("p521")), b""),
        # Agreed with a static key of the sender, which we do not read.
        ber.der(
            0xA1,
            ber.integer(3),
            ber.der(0xA0, ber.der(0x80, b"its key identifier")),
            ber.algorithm("1.2.3"),
            ber.sequence(ber.sequence(crafted.by_issuer(holder("rsa")), ber.octet_string(b""))),
        ),
    ]
    assert opened(cbc([*others, transported(KEY32)])) == ENTITY
    assert opened(cbc([*others, agreed(KEY32)]), "rsa", "p256") == ENTITY


def test_the_one_key_of_several_that_is_meant_is_used() -> None:
    cms = encrypt(ENTITY, [holder("p384").der], legacy=False)
    assert opened(cms, "rsa", "p256", "p384") == ENTITY


@pytest.mark.parametrize("tail", [ber.der(0xA1, ber.NULL), indefinite(0xA1, ber.NULL)])
def test_unprotected_attributes_are_passed_over(tail: bytes) -> None:
    assert opened(cbc([transported(KEY32)], tail=tail)) == ENTITY


@pytest.mark.parametrize("of_chunks", [False, True], ids=["chunks", "chunks of chunks, of Bouncy Castle"])
def test_ber_with_the_ciphertext_in_chunks_is_opened(of_chunks: bool) -> None:
    reader = ber.Reader(cbc([transported(KEY32)]))
    envelope = reader.only_child(reader.children(reader.root(), 0x30)[1], 0xA0)
    version, recipients, encrypted = reader.children(envelope, 0x30)
    kind, algorithm, ciphertext = reader.children(encrypted, 0x30)
    parts = [reader.raw(version), indefinite(0x31, *map(reader.raw, reader.children(recipients, 0x31)))]
    octets = reader.value(ciphertext, 0x80)
    pieces = indefinite(0xA0, chunked(octets, 5)) if of_chunks else chunked(octets, 5, tag=0xA0)
    parts.append(indefinite(0x30, reader.raw(kind), reader.raw(algorithm), pieces))
    cms = indefinite(0x30, ber.oid(ENVELOPED), indefinite(0xA0, indefinite(0x30, *parts)))
    assert opened(cms) == ENTITY


# What is refused by name: public facts of the structure


TO_US_EC = crafted.by_issuer(holder("p256"))
UNKNOWN = ber.algorithm("1.2.3")
TRIPLE_DES = ber.algorithm("1.2.840.113549.3.7", ber.octet_string(b"v" * 8))
AES192_GCM = ber.algorithm("2.16.840.1.101.3.4.1.26", ber.NULL)
GCM_PARAMETERS = ber.sequence(ber.octet_string(b"n" * 12), ber.integer(16))
OAEP_UNKNOWN = ber.algorithm(OAEP, ber.sequence(ber.der(0xA0, UNKNOWN)))
OTHER_MASK = ber.algorithm(OAEP, ber.sequence(ber.der(0xA1, ber.algorithm("1.2.3", crafted.digest_algorithm("sha1")))))


@pytest.mark.parametrize(
    ("cms", "kind"),
    [
        (cbc([transported(KEY32)], algorithm=TRIPLE_DES), "rsa"),
        (cbc([transported(KEY32)], algorithm=AES192_GCM), "rsa"),
        (cbc([transported(KEY32, algorithm=UNKNOWN)]), "rsa"),
        (cbc([transported(KEY32, algorithm=OAEP_UNKNOWN)]), "rsa"),
        (cbc([agreement(b"", UNKNOWN, TO_US_EC, b"")]), "p256"),
        (cbc([agreement(b"", ber.algorithm(KDF["sha256"], UNKNOWN), TO_US_EC, b"")]), "p256"),
        (cbc([transported(KEY32)], algorithm=ber.algorithm(GCM[32], GCM_PARAMETERS)), "rsa"),
        (gcm([transported(KEY32)], oid=CBC[32], parameters=ber.octet_string(b"v" * 16)), "rsa"),
        (gcm([transported(KEY32)], tag_octets=8), "rsa"),
        (gcm([transported(KEY32)], nonce=b"n" * 8), "rsa"),
    ],
)
def test_algorithms_off_the_table_are_refused_by_name(cms: bytes, kind: Kind) -> None:
    assert failure(cms, kind).code is Code.ALGORITHM_REFUSED


def test_a_mask_that_is_made_otherwise_is_not_read() -> None:
    assert failure(cbc([transported(KEY32, algorithm=OTHER_MASK)]), "rsa").detail == "RSAES-OAEP-params"


@pytest.mark.parametrize("what", ["cbc", "v15"])
def test_old_encryption_ends_with_the_year_2028(what: str) -> None:
    last, after = datetime(2028, 12, 31, 23, 59, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    key: Kind = "p256" if what == "cbc" else "rsa"
    cms = cbc([agreed(KEY32)]) if what == "cbc" else gcm([transported(KEY32)])
    assert opened(cms, key, at=last) == ENTITY
    assert failure(cms, key, at=after).code is Code.ALGORITHM_REFUSED
    assert opened(gcm([agreed(KEY32)]), "p256", at=after) == ENTITY


# What fails alike


def uniform(cms: bytes, *kinds: Kind) -> None:
    error = failure(cms, *kinds)
    assert (error.code, error.detail) == (Code.DECRYPTION_FAILED, "")


def uniform_or_noise(cms: bytes, *kinds: Kind) -> None:
    """A random key opens one CBC text in 256 to noise, as its padding happens to be right."""
    outcome: object
    try:
        outcome = opened(cms, *kinds)
    except CmsError as error:
        outcome = error.code, error.detail
    assert outcome == (Code.DECRYPTION_FAILED, "") or (isinstance(outcome, bytes) and outcome != ENTITY)


@pytest.mark.parametrize("found", [b"", KEY16, KEY24, KEY32 + b"x", b"k" * 100, b"w" * 32])
def test_a_wrong_key_fails_like_a_wrong_content(found: bytes) -> None:
    algorithm, how = oaep("sha256", "sha256")
    for recipient in (transported(found), transported(found, algorithm=algorithm, how=how)):
        uniform(gcm([recipient]))
        uniform_or_noise(cbc([recipient]))
    if len(found) >= 16 and len(found) % 8 == 0:
        uniform(gcm([agreed(found)]), "p256")
        uniform_or_noise(cbc([agreed(found)]), "p256")


@pytest.mark.parametrize("encrypted", [b"", b"\0" * 256, b"\x01" * 256, b"\xff" * 256, b"x" * 255, b"x" * 257])
@pytest.mark.parametrize("algorithm", [ber.algorithm(RSA, ber.NULL), oaep("sha1", "sha1")[0]])
def test_wrong_padding_fails_like_a_wrong_content(encrypted: bytes, algorithm: bytes) -> None:
    uniform(gcm([transported_as(encrypted, algorithm)]))
    uniform_or_noise(cbc([transported_as(encrypted, algorithm)]))


def test_a_key_shorter_than_the_cipher_says_opens_nothing() -> None:
    lying = ber.algorithm(CBC[32], ber.octet_string(b"v" * 16))
    uniform_or_noise(cbc([transported(KEY16)], KEY16, algorithm=lying))


def test_a_key_that_cannot_be_had_is_found_out_only_by_the_content() -> None:
    private, curve = holder("rsa").key, holder("p256").key
    assert isinstance(private, rsa.RSAPrivateKey)
    assert isinstance(curve, ec.EllipticCurvePrivateKey)
    name = SignerIdentifier(issuer=None, serial=None, subject_key_id=b"")
    by_oaep = AlgorithmIdentifier(oid=OAEP, parameters=ber.sequence(), raw=b"")
    transport = KeyTransport(recipient=name, algorithm=by_oaep, encrypted_key=b"x" * 256)
    assert transported_key(transport, private, AT) == b""
    wrap = ber.algorithm(WRAP[32])
    by_ecdh = AlgorithmIdentifier(oid=KDF["sha256"], parameters=wrap, raw=b"")
    off_curve = KeyAgreement(
        recipient=name,
        algorithm=by_ecdh,
        encrypted_key=b"x" * 40,
        ephemeral_point=b"\x04" + b"\x01" * 64,
        user_keying_material=None,
    )
    assert agreed_key(off_curve, curve, AT) == b""


def test_wrong_v15_padding_gives_a_key_that_is_none_and_not_an_error() -> None:
    """The implicit rejection of OpenSSL 3.2: without it the time taken would tell of the padding."""
    private = holder("rsa").key
    assert isinstance(private, rsa.RSAPrivateKey)
    for first in range(1, 9):
        broken = bytes([0, first]) + b"x" * 254
        found = [private.decrypt(broken, padding.PKCS1v15()) for _ in range(2)]
        assert found[0] == found[1]


@pytest.mark.parametrize("point", [b"", b"\x04", b"\x00", b"\x04" + b"\x01" * 64, b"\x02" + b"\xff" * 32])
@pytest.mark.parametrize("wrapped", [b"", b"x" * 40, b"x" * 41])
def test_a_point_off_the_curve_or_a_wrong_wrap_fails_like_a_wrong_content(point: bytes, wrapped: bytes) -> None:
    algorithm = ber.algorithm(KDF["sha256"], ber.algorithm(WRAP[32]))
    uniform(gcm([agreement(point, algorithm, crafted.by_issuer(holder("p256")), wrapped)]), "p256")


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        b"x" * 15 + b"\0",
        b"x" * 15 + b"\x11",
        b"x" * 15 + b"\x02",
        b"\x10" * 15 + b"\x0f",
        b"x" * 16 + b"\xff" * 16,
    ],
)
def test_wrong_padding_of_cbc_fails_alike(padded: bytes) -> None:
    uniform(cbc([transported(KEY32)], padded=padded))


@pytest.mark.parametrize("cut", [lambda octets: octets[:-1], lambda octets: octets + b"x"], ids=["short", "long"])
def test_a_ciphertext_that_is_not_of_whole_blocks_fails_alike(cut: Callable[[bytes], bytes]) -> None:
    reader = ber.Reader(cbc([transported(KEY32)]))
    envelope = reader.only_child(reader.children(reader.root(), 0x30)[1], 0xA0)
    version, recipients, encrypted = reader.children(envelope, 0x30)
    kind, algorithm, ciphertext = reader.children(encrypted, 0x30)
    other = ber.der(0x80, cut(reader.value(ciphertext, 0x80)))
    parts = ber.sequence(reader.raw(kind), reader.raw(algorithm), other)
    body = ber.sequence(reader.raw(version), reader.raw(recipients), parts)
    uniform(ber.sequence(ber.oid(ENVELOPED), ber.der(0xA0, body)))


def test_no_octet_of_a_gcm_tag_may_change() -> None:
    cms = gcm([transported(KEY32)])
    for position in range(len(cms) - 16, len(cms)):
        uniform(cms[:position] + bytes([cms[position] ^ 1]) + cms[position + 1 :])


def test_a_mail_to_others_cannot_be_opened() -> None:
    error = failure(encrypt(ENTITY, [holder("p384").der], legacy=False), "rsa", "p256")
    assert error.code is Code.DECRYPTION_FAILED


def test_without_keys_nothing_is_opened() -> None:
    with pytest.raises(CmsError):
        decrypt(encrypt(ENTITY, [holder("rsa").der], legacy=False), [], at=AT)


def test_a_key_of_the_wrong_kind_under_our_name_is_no_recipient() -> None:
    named_for_rsa = agreed(KEY32, rid=crafted.by_issuer(holder("rsa")))
    assert failure(cbc([named_for_rsa]), "rsa").code is Code.DECRYPTION_FAILED


@pytest.mark.parametrize(
    "cms",
    [
        b"",
        b"rubbish",
        sign(ENTITY, signing_key("p256"), at=AT, detached=False),
        cbc([transported(KEY32)]) + b"\0",
        cbc([]),
        cbc([transported(KEY32)] * 257),
        cbc([transported(KEY32)], content=crafted.SIGNED_DATA),
        cbc([transported(KEY32)], algorithm=ber.algorithm(CBC[32])),
        cbc([transported(KEY32)], algorithm=ber.algorithm(CBC[32], ber.octet_string(b"short"))),
        gcm([transported(KEY32)], parameters=ber.sequence()),
        gcm([transported(KEY32)], parameters=ber.octet_string(b"n" * 12)),
        gcm([transported(KEY32)], parameters=ber.sequence(ber.octet_string(b"n" * 12), ber.integer(15))),
    ],
)
def test_what_is_no_envelope_for_us_cannot_be_opened(cms: bytes) -> None:
    assert failure(cms).code is Code.DECRYPTION_FAILED


def test_the_key_used_is_the_one_that_the_certificate_names() -> None:
    mismatched = DecryptionKey(certificate=holder("rsa").der, private_key=decryption_key("p256").private_key)
    with pytest.raises(CmsError):
        decrypt(encrypt(ENTITY, [holder("rsa").der], legacy=True), [mismatched], at=AT)


# What we do not encrypt to


@pytest.mark.parametrize("kind", ["ed25519", "rsa-1024", "p192"])
def test_keys_that_cannot_or_must_not_be_encrypted_to_are_refused(kind: Kind) -> None:
    with pytest.raises(CmsError) as caught:
        encrypt(ENTITY, [holder("rsa").der, holder(kind).der], legacy=False)
    assert caught.value.code is Code.KEY_TOO_WEAK


def test_rubbish_cannot_be_encrypted_to() -> None:
    with pytest.raises(CmsError) as caught:
        encrypt(ENTITY, [b"rubbish"], legacy=False)
    assert caught.value.code is Code.CERTIFICATE_UNREADABLE


def test_nobody_to_encrypt_to_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError):
        encrypt(ENTITY, [], legacy=False)


def test_a_recipient_given_twice_is_written_once() -> None:
    once = encrypt(ENTITY, [holder("rsa").der], legacy=False)
    twice = encrypt(ENTITY, [holder("rsa").der] * 2, legacy=False)
    assert len(once) == len(twice)


def test_two_envelopes_share_nothing() -> None:
    one, two = (encrypt(ENTITY, [holder("rsa").der], legacy=False) for _ in range(2))
    assert one[-16:] != two[-16:]
