"""What we write: DER that others read, with our own clock, in MIME entities of the right form."""

import pickle
from datetime import UTC, datetime
from email import message_from_bytes

import asn1crypto.tsp  # noqa: F401  names the attribute of the certificate
import pytest
from asn1crypto import cms as oracle
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448
from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Kind
from mailflow.errors import Misconfigured
from mailflow.mail.cms import (
    CmsError,
    ContentType,
    content_type,
    decrypt,
    encrypt,
    enveloped_entity,
    load_decryption_key,
    load_signing_key,
    multipart_signed,
    opaque_signed,
    sign,
    verify,
)
from tests.support.keys import KINDS, decryption_key, holder, signing_key
from tests.support.pki import AT, shared_pki

ENTITY = "Content-Type: text/plain; charset=utf-8\r\n\r\nvoilà\r\n".encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detached", [True, False])
def test_asn1crypto_reads_what_we_sign(kind: Kind, detached: bool) -> None:
    der = sign(ENTITY, signing_key(kind), at=AT, detached=detached)
    info = oracle.ContentInfo.load(der, strict=True)
    assert info.dump(force=True) == der
    signed = info["content"]
    signer = signed["signer_infos"][0]
    values = {a["type"].native: a["values"][0] for a in signer["signed_attrs"]}
    assert set(values) == {
        "content_type", "signing_time", "message_digest", "signing_certificate_v2", "cms_algorithm_protection",
    }  # fmt: skip
    assert values["signing_time"].native == AT
    assert signer["sid"].chosen["serial_number"].native == holder(kind).certificate.serial_number
    content = signed["encap_content_info"]["content"].native
    assert content == (None if detached else ENTITY)


@pytest.mark.parametrize("legacy", [True, False])
def test_asn1crypto_reads_what_we_encrypt(legacy: bool) -> None:
    der = encrypt(ENTITY, [holder("rsa").der, holder("p256").der], legacy=legacy)
    info = oracle.ContentInfo.load(der, strict=True)
    envelope = info["content"]
    assert {r.name for r in envelope["recipient_infos"]} == {"ktri", "kari"}
    assert envelope["version"].native == ("v2" if legacy else "v0")
    key_transport = next(r.chosen for r in envelope["recipient_infos"] if r.name == "ktri")
    names = {True: "rsaes_pkcs1v15", False: "rsaes_oaep"}
    assert key_transport["key_encryption_algorithm"]["algorithm"].native == names[legacy]


def test_rsa_signs_with_pss_when_asked_or_when_v15_is_no_longer_permitted() -> None:
    later = datetime(2031, 1, 1, tzinfo=UTC)
    for key, at in ((signing_key("rsa", pss=True), AT), (signing_key("rsa-3072"), later)):
        mail = verify(sign(ENTITY, key, at=at, detached=False), None, enrolled=lambda _: [], at=at)
        assert mail.signers[0].signature_algorithm == "rsa-pss"


def test_the_chain_goes_along_and_each_certificate_once() -> None:
    authority = shared_pki().issuing_rsa.identity
    own = holder("rsa")
    key = load_signing_key(own.key_pem, own.pem + authority.pem + own.pem)
    mail = verify(sign(ENTITY, key, at=AT, detached=False), None, enrolled=lambda _: [], at=AT)
    assert sorted(mail.certificates) == sorted([own.der, authority.der])


@given(st.binary(max_size=2000), st.sampled_from(KINDS), st.booleans())
def test_whatever_is_signed_is_proved_and_nothing_else(content: bytes, kind: Kind, detached: bool) -> None:
    der = sign(content, signing_key(kind), at=AT, detached=detached)
    mail = verify(der, content if detached else None, enrolled=lambda _: [], at=AT)
    assert mail.content == content
    if detached:
        with pytest.raises(CmsError) as caught:
            verify(der, content + b"\0", enrolled=lambda _: [], at=AT)
        assert caught.value.code is Code.CONTENT_ALTERED


@pytest.mark.parametrize("kind", KINDS)
def test_multipart_signed_has_its_two_parts_and_proves_the_first(kind: Kind) -> None:
    raw = multipart_signed(ENTITY, signing_key(kind), at=AT, boundary="=_frontiere")
    message = message_from_bytes(raw)
    assert message.get_content_type() == "multipart/signed"
    assert message.get_param("protocol") == "application/pkcs7-signature"
    micalg = {"rsa": "sha-256", "p256": "sha-256", "p384": "sha-384", "p521": "sha-512", "ed25519": "sha-512"}
    assert message.get_param("micalg") == micalg[kind]
    _, _, second = message.walk()
    _, _, rest = raw.partition(b"\r\n--=_frontiere\r\n")
    signed, _, _ = rest.partition(b"\r\n--=_frontiere\r\n")
    signature = second.get_payload(decode=True)
    assert isinstance(signature, bytes)
    assert verify(signature, signed, enrolled=lambda _: [], at=AT).content == ENTITY
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_an_opaque_signature_proves_its_entity() -> None:
    message = message_from_bytes(opaque_signed(ENTITY, signing_key("p256"), at=AT))
    assert message.get_content_type() == "application/pkcs7-mime"
    assert message.get_param("smime-type") == "signed-data"
    der = message.get_payload(decode=True)
    assert isinstance(der, bytes)
    assert verify(der, None, enrolled=lambda _: [], at=AT).content == ENTITY


@pytest.mark.parametrize(("legacy", "name"), [(True, "enveloped-data"), (False, "authEnveloped-data")])
def test_an_enveloped_entity_names_its_kind_and_opens(legacy: bool, name: str) -> None:
    raw = enveloped_entity(encrypt(ENTITY, [holder("rsa").der], legacy=legacy))
    message = message_from_bytes(raw)
    assert message.get_param("smime-type") == name
    assert message["Content-Disposition"] == 'attachment; filename="smime.p7m"'
    der = message.get_payload(decode=True)
    assert isinstance(der, bytes)
    assert decrypt(der, [decryption_key("rsa")], at=AT) == ENTITY
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("entity", [b"a\nb\r\n", b"a\rb\r\n", b"\n"])
def test_an_entity_that_is_not_canonical_is_not_signed(entity: bytes) -> None:
    with pytest.raises(ValueError):
        multipart_signed(entity, signing_key("p256"), at=AT, boundary="b")
    with pytest.raises(ValueError):
        opaque_signed(entity, signing_key("p256"), at=AT)


def test_a_boundary_that_occurs_in_the_entity_is_refused() -> None:
    with pytest.raises(ValueError):
        multipart_signed(b"x\r\n--b\r\n", signing_key("p256"), at=AT, boundary="b")


def test_the_kind_of_a_structure_is_told() -> None:
    assert content_type(sign(ENTITY, signing_key("p256"), at=AT, detached=True)) is ContentType.SIGNED
    assert content_type(bytes.fromhex("300f06092a864886f70d010701a0020400")) is ContentType.OTHER
    with pytest.raises(CmsError) as caught:
        content_type(b"rubbish")
    assert caught.value.code is Code.SIGNATURE_UNREADABLE


def test_keys_are_loaded_only_with_the_certificate_that_belongs_to_them() -> None:
    rsa, other = holder("rsa"), holder("p256")
    assert load_decryption_key(rsa.key_pem, rsa.pem).certificate == rsa.der
    ed25519 = holder("ed25519")
    for key_pem, certificate_pem in (
        (rsa.key_pem, other.pem),
        (rsa.key_pem, b"rubbish"),
        (b"rubbish", rsa.pem),
        (rsa.pem, rsa.pem),
        (holder("rsa-1024").key_pem, holder("rsa-1024").pem),
    ):
        with pytest.raises(Misconfigured):
            load_signing_key(key_pem, certificate_pem)
        with pytest.raises(Misconfigured):
            load_decryption_key(key_pem, certificate_pem)
    with pytest.raises(Misconfigured):
        load_decryption_key(ed25519.key_pem, ed25519.pem)


def test_a_kind_of_key_that_nobody_may_use_is_refused() -> None:
    octets = ed448.Ed448PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Misconfigured, match="type that is not allowed"):
        load_signing_key(octets, holder("rsa").pem)


def test_a_refusal_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(CmsError(Code.KEY_TOO_WEAK, "RSA 1024 bits")))
    assert (error.code, error.detail) == (Code.KEY_TOO_WEAK, "RSA 1024 bits")
    assert str(error) == "KEY_TOO_WEAK (RSA 1024 bits)"


def test_base64_is_written_in_lines_of_76_and_files_have_their_usual_names() -> None:
    opaque, detached = (
        opaque_signed(ENTITY * 9, signing_key("p256"), at=AT),
        multipart_signed(ENTITY, signing_key("p256"), at=AT, boundary="outer"),
    )
    for entity, name in ((opaque, b"smime.p7m"), (detached, b"smime.p7s")):
        lines = entity.rpartition(b"\r\n\r\n")[2].removesuffix(b"--outer--\r\n").split(b"\r\n")[:-1]
        assert {len(line) for line in lines[:-1]} == {76}
        assert 0 < len(lines[-1]) <= 76
        assert entity.count(b'name="' + name + b'"') == 2


@pytest.mark.parametrize(("kind", "version"), [("rsa", "v0"), ("p256", "v2")])
def test_an_envelope_says_the_version_that_its_recipients_want(kind: Kind, version: str) -> None:
    legacy = oracle.ContentInfo.load(encrypt(ENTITY, [holder(kind).der], legacy=True), strict=True)["content"]
    modern = oracle.ContentInfo.load(encrypt(ENTITY, [holder(kind).der], legacy=False), strict=True)["content"]
    assert (legacy["version"].native, modern["version"].native) == (version, "v0")
    for envelope in (legacy, modern):
        (info,) = envelope["recipient_infos"]
        assert info.chosen["version"].native == {"rsa": "v0", "p256": "v3"}[kind]


def test_rsa_signs_as_most_programs_read_it_unless_pss_is_asked_for() -> None:
    key = load_signing_key(holder("rsa").key_pem, holder("rsa").pem)
    signed = verify(sign(ENTITY, key, at=AT, detached=False), None, enrolled=lambda _: [], at=AT)
    assert signed.signers[0].signature_algorithm.startswith("rsa-pkcs1v15")
