"""Keys in a token (PKCS #11): they decrypt and sign as those in files do, and their failures blame nobody's mail."""

import shutil
from dataclasses import replace
from pathlib import Path

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pkcs11.exceptions import DeviceRemoved

from mailflow.core.model import Environment
from mailflow.demo.certificates import Identity, Kind
from mailflow.demo.installation import Installation
from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import cms, tokens
from mailflow.mail.cms import CmsError, KeyPair, ServiceKeys
from mailflow.mail.judge import Unjudged
from mailflow.mail.key_files import source_of
from mailflow.mail.letter import Letterhead
from mailflow.mail.makers import MakeComposer, MakeJudge
from mailflow.mail.model import Accepted
from mailflow.mail.pool import Pool, PoolLimits
from mailflow.mail.tokens import TokenKey
from tests.integration.test_cli import DONE, Run, installation, pki, run, software, template
from tests.simulation.chance import chance_of
from tests.support.available import require
from tests.support.judging import JUDGED_AT, LIMITS, RECEIVED_AT, SERVICE, a_mail, dem_part, everybody
from tests.support.keys import holder
from tests.support.pki import AT, shared_pki
from tests.support.softhsm import MODULE, PIN, TOKEN, SoftToken

__all__ = ["installation", "pki", "run", "software", "template"]
ENTITY = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
KINDS: tuple[Kind, ...] = ("rsa", "p256", "p384", "p521")


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    require("softhsm")
    return SoftToken(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(scope="session")
def files(token: SoftToken) -> dict[str, Path]:
    """Where the key of each kind is; put there before the library looks."""
    return {kind: token.put(holder(kind)) for kind in KINDS} | {"service": token.put(shared_pki().service_ec)}


def pair(file: Path, identity: Identity) -> KeyPair:
    return KeyPair(key=source_of(file), certificates=identity.pem)


@pytest.mark.parametrize("legacy", [False, True], ids=["present", "legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_decrypts_what_was_encrypted_to_its_certificate(files: dict[str, Path], kind: Kind, legacy: bool) -> None:
    key = cms.open_decryption_key(pair(files[kind], holder(kind)))
    envelope = cms.encrypt(ENTITY, [holder(kind).der], legacy=legacy)
    assert cms.decrypt(envelope, [key], at=AT) == ENTITY


@pytest.mark.parametrize("label", [None, b"a label"])
@pytest.mark.parametrize("mask", [hashes.SHA1(), hashes.SHA256(), hashes.SHA512()], ids=lambda one: str(one.name))
@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()], ids=lambda one: str(one.name))
def test_oaep_of_whatever_digests_is_opened(
    files: dict[str, Path], digest: hashes.HashAlgorithm, mask: hashes.HashAlgorithm, label: bytes | None
) -> None:
    """SoftHSM knows those with SHA-1 alone; the rest is unpadded by us."""
    key = source_of(files["rsa"]).load()
    assert isinstance(key, rsa.RSAPrivateKey)
    how = padding.OAEP(padding.MGF1(mask), digest, label)
    sealed = key.public_key().encrypt(b"k" * 32, how)
    assert key.decrypt(sealed, how) == b"k" * 32
    for wrong in (bytes([sealed[0] ^ 1, *sealed[1:]]), bytes(len(sealed)), sealed[:-1]):
        with pytest.raises(ValueError):
            key.decrypt(wrong, how)
    with pytest.raises(ValueError):
        key.decrypt(sealed, padding.OAEP(padding.MGF1(mask), digest, b"another"))


@pytest.mark.parametrize(("kind", "pss"), [("rsa", False), ("rsa", True), *((kind, False) for kind in KINDS[1:])])
def test_what_it_signs_is_proven_by_its_certificate(files: dict[str, Path], kind: Kind, pss: bool) -> None:
    key = cms.open_signing_key(pair(files[kind], holder(kind)), pss=pss)
    signed = cms.sign(ENTITY, key, at=AT, detached=False)
    proven = cms.verify(signed, None, enrolled=lambda _: [holder(kind).der], at=AT)
    assert proven.content == ENTITY


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_a_mail_that_does_not_open_is_refused_as_with_a_key_in_a_file(files: dict[str, Path], kind: Kind) -> None:
    """Also with v1.5, where the token tells a wrong padding by an error; and it works on."""
    for legacy in (False, True):
        envelope = cms.encrypt(ENTITY, [holder(kind).der], legacy=legacy)
        for at in range(len(envelope) // 10, len(envelope), len(envelope) // 10):
            altered = envelope[:at] + bytes([envelope[at] ^ 0x10]) + envelope[at + 1 :]
            ends = []
            for source in (source_of(files[kind]), cms.PemKey(holder(kind).key_pem)):
                key = cms.open_decryption_key(KeyPair(key=source, certificates=holder(kind).pem))
                try:
                    # What stands in for a content key that cannot be had opens one in 256 mails of the old kind.
                    with chance_of(at):
                        ends.append(cms.decrypt(altered, [key], at=AT))
                except CmsError as error:
                    ends.append(error.code.encode())
            assert ends[0] == ends[1], at


def test_a_token_that_is_gone_is_unavailable_and_no_mail_is_to_blame(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def decrypt(self, *_: object, **__: object) -> bytes:
            raise DeviceRemoved

        sign = derive_key = decrypt

    for kind in ("rsa", "p256"):
        key = cms.open_decryption_key(pair(files[kind], holder(kind)))
        signing = cms.open_signing_key(pair(files[kind], holder(kind)))
        envelope = cms.encrypt(ENTITY, [holder(kind).der], legacy=False)
        for one in (key, signing):
            monkeypatch.setattr(one.private_key, "_private", Gone())
        with pytest.raises(Unavailable, match="token mailflow: "):
            cms.decrypt(envelope, [key], at=AT)
        assert not tokens._sessions, "another is opened the next time"
        with pytest.raises(Unavailable, match="token mailflow: DeviceRemoved"):
            cms.sign(ENTITY, signing, at=AT, detached=False)
        monkeypatch.setattr(key.private_key, "_private", object())
        with pytest.raises(Unavailable, match="the key may not decrypt, derive or sign"):
            cms.decrypt(envelope, [key], at=AT)
        fresh = cms.open_decryption_key(pair(files[kind], holder(kind)))
        assert cms.decrypt(envelope, [fresh], at=AT) == ENTITY


def test_a_token_that_is_not_there_is_unavailable(files: dict[str, Path]) -> None:
    with pytest.raises(Unavailable, match="token nobody: NoSuchToken"):
        TokenKey(module=str(MODULE), token="nobody", label="x", id=None, pin=PIN).load()


def test_a_wrong_pin_is_tried_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token locks itself after a few."""
    monkeypatch.setattr(tokens, "_sessions", {})
    asked = []

    class Counting:
        def get_token(self, **_: object) -> "Counting":
            return self

        def open(self, user_pin: str) -> None:
            asked.append(user_pin)
            raise pkcs11.exceptions.PinIncorrect

    monkeypatch.setattr(pkcs11, "lib", lambda _: Counting())
    key = TokenKey(module="m", token="t", label="x", id=None, pin="0000")
    for said in ("the PIN is wrong, or locked", "it is not asked again"):
        with pytest.raises(Misconfigured, match=said):
            key.load()
    assert asked == ["0000"]


def test_what_is_no_key_pair_there_is_said(files: dict[str, Path]) -> None:
    with pytest.raises(Misconfigured, match="one key pair should be called so"):
        TokenKey(module=str(MODULE), token=TOKEN, label="nothing", id=None, pin=PIN).load()
    with pytest.raises(Misconfigured, match="is no PKCS #11 module"):
        TokenKey(module="/nowhere.so", token=TOKEN, label="nothing", id=None, pin=PIN).load()
    with pytest.raises(Misconfigured, match="do not belong together"):
        cms.open_signing_key(pair(files["p256"], holder("p384")))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("pkcs11:token=t;object=k?module-path=/m.so", "should say pin-source"),
        ("pkcs11:object=k?module-path=/m.so&pin-source=pin", "should say token"),
        ("pkcs11:token=t;object=k?pin-source=pin", "should say module-path"),
        ("pkcs11:token=t?module-path=/m.so&pin-source=pin", "by object or id"),
        ("pkcs11:token=t;object=k;type=public?module-path=/m.so&pin-source=pin", "should name a private key"),
        ("pkcs11:token=t;object=k?module-path=/m.so&pin-value=1234", "should hold no PIN"),
        ("pkcs11:token=t;token=u?module-path=/m.so&pin-source=pin", "each once"),
        ("pkcs11:token=t;slot-id=1?module-path=/m.so&pin-source=pin", "each once"),
        ("pkcs11:token=t;object=k?module-path=/m.so&pin-source=open", "others may read or change it"),
        ("pkcs11:token=t;object=k?module-path=/m.so&pin-source=empty", "should hold the PIN"),
    ],
)
def test_a_uri_that_says_too_little_or_too_much_is_refused(tmp_path: Path, uri: str, said: str) -> None:
    for name, content, mode in (("pin", "1234\n", 0o600), ("open", "1234\n", 0o644), ("empty", "\n", 0o600)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    file = tmp_path / "signing.key"
    file.write_text(uri)
    file.chmod(0o600)
    with pytest.raises(Misconfigured, match=said):
        source_of(file)


def test_a_uri_names_key_and_pin_as_rfc_7512_has_it(tmp_path: Path) -> None:
    (tmp_path / "my pin").write_text("12 34\n")
    (tmp_path / "my pin").chmod(0o400)
    file = tmp_path / "signing.key"
    file.write_text("pkcs11:token=The%20token;id=%01%ff;object=k%3b?pin-source=file:my%20pin&module-path=/m.so\n")
    file.chmod(0o600)
    assert source_of(file) == TokenKey(module="/m.so", token="The token", label="k;", id=b"\x01\xff", pin="12 34")
    assert "12 34" not in repr(source_of(file))


def test_a_key_in_a_token_becomes_the_next_one(
    files: dict[str, Path], token: SoftToken, run: Run, installation: Installation
) -> None:
    """Request and certificate are signed by the token too."""
    folder = installation.folder / "keys/service"
    shutil.copy(token.pin_file, folder)
    for use, kind in (("signing", "rsa"), ("decryption", "p256")):
        making = ("service-keys", "make", "--use", use, "--key", files[kind], "--why", "bought", "--apply")
        assert run(*making)[0] == DONE
        (request,) = folder.glob(f"{use}-*.csr")
        assert x509.load_pem_x509_csr(request.read_bytes()).is_signature_valid
        assert (
            run("service-keys", "stage", request.stem, "--from", "2026-01-01", "--why", "bought", "--apply")[0] == DONE
        )
    code, out, _ = run("check-config", "--offline")
    assert (code, "2 that decrypt" in out) == (DONE, True)


async def test_each_process_of_the_pool_has_a_session_of_its_own(files: dict[str, Path]) -> None:
    service = KeyPair(key=source_of(files["service"]), certificates=shared_pki().service_ec.pem)
    material = replace(everybody().material, keys=ServiceKeys(signing=service, decryption=(service,)))
    pool = Pool(
        PoolLimits(processes=2, task_seconds_max=30, memory_bytes_max=1 << 30),
        MakeJudge(limits=LIMITS, own_addresses=frozenset({SERVICE}), own_domain="service.example"),
        MakeComposer(
            archive=None,
            letterhead=Letterhead(name="S", address=SERVICE, contact="01", environment=Environment.PRODUCTION),
            mail_bytes_max=1 << 23,
        ),
    )
    try:
        await pool.serve(material)
        mails = [
            Unjudged(intake=n, raw=a_mail(dem_part(n, surname="Nom" + chr(97 + n))), received_at=RECEIVED_AT)
            for n in range(4)
        ]
        assert all(isinstance(one, Accepted) for one in await pool.judge(mails, JUDGED_AT))
    finally:
        await pool.close()
