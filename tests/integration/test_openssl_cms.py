"""Both ways against `openssl cms`: what it writes we read, what we write it reads, and it refuses what it must."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailflow.core.anomalies import Code
from mailflow.demo.certificates import Identity, Kind
from mailflow.mail.cms import (
    CmsError,
    ContentType,
    content_type,
    decrypt,
    encrypt,
    load_decryption_key,
    load_signing_key,
    multipart_signed,
    opaque_signed,
    sign,
    verify,
)
from tests.support.keys import KINDS, decryption_key, holder, signing_key
from tests.support.pki import AT, shared_pki

ENTITY = b"Content-Type: text/plain\r\n\r\nbonjour\r\n" + b"0123456789abcdef\r\n" * 2000
RSA_AND_CURVES: tuple[Kind, ...] = ("rsa", "p256", "p384", "p521")


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds the entity, every holder's files and the anchors."""
    (tmp_path / "entity").write_bytes(ENTITY)
    for kind in KINDS:
        holder(kind).write(tmp_path)
    pki = shared_pki()
    authorities: Sequence[Identity] = [pki.root.identity, pki.issuing_rsa.identity, pki.issuing_ec.identity]
    (tmp_path / "anchors.pem").write_bytes(b"".join(a.pem for a in authorities))
    return tmp_path


def written(folder: Path, *arguments: str) -> bytes:
    """What `openssl cms` makes of the entity."""
    done = openssl(folder, "cms", "-binary", "-in", "entity", "-outform", "DER", "-out", "cms.der", *arguments)
    assert done.returncode == 0, done.stderr
    return (folder / "cms.der").read_bytes()


def signed_by(folder: Path, kind: Kind, *arguments: str) -> bytes:
    digest = ["-md", "sha512"] if kind == "ed25519" and "-md" not in arguments else []
    keys = ["-signer", f"holder-{kind}.pem", "-inkey", f"holder-{kind}.key"]
    return written(folder, "-sign", *keys, *digest, *arguments)


def refusal(cms: bytes, detached: bytes | None = None) -> Code:
    with pytest.raises(CmsError) as caught:
        verify(cms, detached, enrolled=lambda _: [], at=AT)
    return caught.value.code


# What openssl signs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opaque", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-nosmimecap"],
        ["-keyid"],
        ["-md", "sha512"],
        ["-cades"],
        ["-certfile", "anchors.pem"],
    ],
    ids=" ".join,
)
def test_what_openssl_signs_is_proved(folder: Path, kind: Kind, opaque: bool, options: list[str]) -> None:
    cms = signed_by(folder, kind, *options, *(["-nodetach"] if opaque else []))
    mail = verify(cms, None if opaque else ENTITY, enrolled=lambda _: [], at=AT)
    assert mail.content == ENTITY
    assert [s.certificate for s in mail.signers] == [holder(kind).der]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["-stream", "-indef"])
def test_what_openssl_streams_is_proved(folder: Path, kind: Kind, option: str) -> None:
    cms = signed_by(folder, kind, "-nodetach", option)
    assert cms[1] == 0x80  # indefinite length, so BER
    assert verify(cms, None, enrolled=lambda _: [], at=AT).content == ENTITY


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("salt", ["", "digest", "max", "auto", "100"])
def test_what_openssl_signs_with_pss_is_proved(folder: Path, digest: str, salt: str) -> None:
    options = ["-keyopt", "rsa_padding_mode:pss", "-md", digest]
    options += ["-keyopt", f"rsa_pss_saltlen:{salt}"] if salt else []
    mail = verify(signed_by(folder, "rsa", *options), ENTITY, enrolled=lambda _: [], at=AT)
    assert mail.signers[0].signature_algorithm == "rsa-pss"


def test_two_signers_of_openssl_are_both_proved(folder: Path) -> None:
    cms = signed_by(folder, "rsa", "-signer", "holder-p384.pem", "-inkey", "holder-p384.key", "-md", "sha384")
    mail = verify(cms, ENTITY, enrolled=lambda _: [], at=AT)
    assert {s.certificate for s in mail.signers} == {holder("rsa").der, holder("p384").der}


def test_a_signature_of_openssl_without_certificates_is_proved_by_the_enrolled(folder: Path) -> None:
    cms = signed_by(folder, "p256", "-nocerts")
    assert refusal(cms, ENTITY) is Code.SIGNER_CERTIFICATE_MISSING
    mail = verify(cms, ENTITY, enrolled=lambda _: [holder("p256").der], at=AT)
    assert mail.signers[0].certificate == holder("p256").der


def test_a_key_for_pss_only_signs_and_is_proved(folder: Path) -> None:
    make = [
        *("req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes"),
        *("-keyout", "pss.key", "-out", "pss.pem", "-subj", "/CN=pss", "-days", "10"),
    ]
    assert openssl(folder, *make).returncode == 0
    signer = ["-sign", "-signer", "pss.pem", "-inkey", "pss.key"]
    # Unasked, openssl says PKCS #1 v1.5 with this key, which is not permitted to the key.
    assert refusal(written(folder, *signer), ENTITY) is Code.ALGORITHM_REFUSED
    cms = written(folder, *signer, "-keyopt", "rsa_padding_mode:pss")
    assert verify(cms, ENTITY, enrolled=lambda _: [], at=AT).signers[0].signature_algorithm == "rsa-pss"
    key = load_signing_key((folder / "pss.key").read_bytes(), (folder / "pss.pem").read_bytes())
    ours = sign(ENTITY, key, at=AT, detached=True)
    assert verify(ours, ENTITY, enrolled=lambda _: [], at=AT).signers[0].signature_algorithm == "rsa-pss"
    with pytest.raises(CmsError) as caught:
        encrypt(ENTITY, [key.certificate], legacy=True)
    assert caught.value.code is Code.KEY_TOO_WEAK


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-noattr"], Code.NO_SIGNED_ATTRIBUTES),
        (["-md", "sha1"], Code.ALGORITHM_REFUSED),
        (["-md", "md5"], Code.ALGORITHM_REFUSED),
        (["-md", "sha224"], Code.ALGORITHM_REFUSED),
        (["-md", "sha3-256"], Code.ALGORITHM_REFUSED),
        (["-econtent_type", "1.2.3.4"], Code.CONTENT_TYPE_WRONG),
        (["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_mgf1_md:sha1"], Code.ALGORITHM_REFUSED),
        (["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:8"], Code.ALGORITHM_REFUSED),
    ],
)
def test_what_openssl_signs_against_the_table_is_refused(folder: Path, options: list[str], code: Code) -> None:
    assert refusal(signed_by(folder, "rsa", *options), ENTITY) is code


# What openssl encrypts


def encrypted_by(folder: Path, kinds: Sequence[Kind], *options: str) -> bytes:
    recipients = [word for kind in kinds for word in ("-recip", f"holder-{kind}.pem", *_keyopt(kind, options))]
    plain = [o for o in options if not o.startswith("keyopt:")]
    return written(folder, "-encrypt", *plain, *recipients)


def _keyopt(kind: Kind, options: Sequence[str]) -> list[str]:
    wanted = [o.removeprefix("keyopt:") for o in options if o.startswith("keyopt:")]
    fits = [o for o in wanted if o.startswith("rsa_") == (kind == "rsa")]
    return [word for option in fits for word in ("-keyopt", option)]


@pytest.mark.parametrize("kind", RSA_AND_CURVES)
@pytest.mark.parametrize("cipher", ["-aes128", "-aes-192-cbc", "-aes256", "-aes-128-gcm", "-aes-256-gcm"])
@pytest.mark.parametrize("options", [[], ["-stream"], ["-keyid"]], ids=" ".join)
def test_what_openssl_encrypts_is_opened(folder: Path, kind: Kind, cipher: str, options: list[str]) -> None:
    cms = encrypted_by(folder, [kind], cipher, *options)
    assert decrypt(cms, [decryption_key(kind)], at=AT) == ENTITY


@pytest.mark.parametrize(
    "options",
    [
        ["keyopt:rsa_padding_mode:oaep"],
        ["keyopt:rsa_padding_mode:oaep", "keyopt:rsa_oaep_md:sha256"],
        ["keyopt:rsa_padding_mode:oaep", "keyopt:rsa_oaep_md:sha512", "keyopt:rsa_mgf1_md:sha256"],
        ["keyopt:rsa_padding_mode:oaep", "keyopt:rsa_oaep_label:6c6162656c"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("cipher", ["-aes256", "-aes-256-gcm"])
def test_every_oaep_of_openssl_is_opened(folder: Path, options: list[str], cipher: str) -> None:
    cms = encrypted_by(folder, ["rsa"], cipher, *options)
    assert decrypt(cms, [decryption_key("rsa")], at=AT) == ENTITY


@pytest.mark.parametrize("kdf", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("wrap", ["-aes128-wrap", "-aes192-wrap", "-aes256-wrap"])
@pytest.mark.parametrize("cofactor", ["keyopt:ecdh_cofactor_mode:0", "keyopt:ecdh_cofactor_mode:1"])
def test_every_agreement_of_openssl_is_opened(folder: Path, kdf: str, wrap: str, cofactor: str) -> None:
    cms = encrypted_by(folder, ["p256"], "-aes256", wrap, f"keyopt:ecdh_kdf_md:{kdf}", cofactor)
    assert decrypt(cms, [decryption_key("p256")], at=AT) == ENTITY


@pytest.mark.parametrize("ours", RSA_AND_CURVES)
def test_ours_is_found_among_recipients_of_other_kinds(folder: Path, ours: Kind) -> None:
    others = ["-secretkey", "00" * 16, "-secretkeyid", "01", "-pwri_password", "x"]
    cms = encrypted_by(folder, RSA_AND_CURVES, "-aes256", *others)
    assert decrypt(cms, [decryption_key(ours)], at=AT) == ENTITY


def test_triple_des_of_openssl_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(CmsError) as caught:
        decrypt(encrypted_by(folder, ["rsa"], "-des3"), [decryption_key("rsa")], at=AT)
    assert (caught.value.code, caught.value.detail) == (Code.ALGORITHM_REFUSED, "1.2.840.113549.3.7")


def test_signed_then_encrypted_by_openssl_comes_back(folder: Path) -> None:
    (folder / "entity").write_bytes(ENTITY)
    inner = signed_by(folder, "p256", "-nodetach", "-stream")
    (folder / "entity").write_bytes(inner)
    cms = encrypted_by(folder, ["rsa"], "-aes-256-gcm", "-stream")
    assert content_type(cms) is ContentType.AUTH_ENVELOPED
    opened = decrypt(cms, [decryption_key("rsa")], at=AT)
    assert verify(opened, None, enrolled=lambda _: [], at=AT).content == ENTITY


# What we write


def verified_by_openssl(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    moment = str(int(AT.timestamp()))
    trust = ["-CAfile", "anchors.pem", "-attime", moment, "-purpose", "any"]
    return openssl(folder, "cms", "-verify", "-in", name, "-out", "out", *trust, *arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pss", [True, False])
@pytest.mark.parametrize("detached", [True, False])
def test_openssl_proves_what_we_sign(folder: Path, kind: Kind, pss: bool, detached: bool) -> None:
    der = sign(ENTITY, signing_key(kind, pss=pss), at=AT, detached=detached)
    (folder / "ours").write_bytes(der)
    content = ["-content", "entity"] if detached else []
    for extra in ([], ["-cades"]):
        done = verified_by_openssl(folder, "ours", "-binary", "-inform", "DER", *content, *extra)
        assert done.returncode == 0, done.stderr
        assert (folder / "out").read_bytes() == ENTITY
    (folder / "ours").write_bytes(der[:-1] + bytes([der[-1] ^ 1]))
    assert verified_by_openssl(folder, "ours", "-binary", "-inform", "DER", *content).returncode != 0


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_proves_our_mime_entities(folder: Path, kind: Kind) -> None:
    key = signing_key(kind)
    for raw in (multipart_signed(ENTITY, key, at=AT, boundary="=_b"), opaque_signed(ENTITY, key, at=AT)):
        (folder / "ours").write_bytes(raw)
        done = verified_by_openssl(folder, "ours", "-inform", "SMIME")
        assert done.returncode == 0, done.stderr
        assert (folder / "out").read_bytes() == ENTITY


@pytest.mark.parametrize("kind", RSA_AND_CURVES)
@pytest.mark.parametrize("legacy", [True, False])
def test_openssl_opens_what_we_encrypt_for_each_recipient(folder: Path, kind: Kind, legacy: bool) -> None:
    (folder / "ours").write_bytes(encrypt(ENTITY, [holder(k).der for k in RSA_AND_CURVES], legacy=legacy))
    keys = ["-recip", f"holder-{kind}.pem", "-inkey", f"holder-{kind}.key"]
    done = openssl(folder, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "ours", "-out", "out", *keys)
    assert done.returncode == 0, done.stderr
    assert (folder / "out").read_bytes() == ENTITY


def test_keys_written_by_openssl_are_loaded(folder: Path) -> None:
    make = [
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", "own.key", "-out", "own.pem", "-subj", "/CN=own", "-days", "10"),
    ]
    assert openssl(folder, *make).returncode == 0
    key = load_decryption_key((folder / "own.key").read_bytes(), (folder / "own.pem").read_bytes())
    assert decrypt(encrypt(ENTITY, [key.certificate], legacy=False), [key], at=datetime.now(UTC)) == ENTITY
