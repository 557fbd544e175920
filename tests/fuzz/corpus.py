"""The mails that fuzzing begins from: every form that a signature comes in, by OpenSSL and by ourselves.

They are kept as files, because a finding is only worth something while what it began from stays the same. To make them
anew, with new keys that are then thrown away: `python -m tests.fuzz.corpus`.
"""

import subprocess
import tempfile
from base64 import b64encode
from functools import cache
from pathlib import Path

from mailflow.demo.certificates import Kind
from mailflow.mail.cms import multipart_signed, opaque_signed
from tests.support.keys import KINDS, holder, signing_key
from tests.support.pki import AT

FOLDER = Path(__file__).parent / "corpus"
ENTITY = (
    b'Content-Type: application/xml; name="DEMZ0001-202611250900-000001.xml"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<demandes>Chlo=C3=A9</demandes>\r\n"
)
HEAD = (
    b"From: logiciel@bailleur.example\r\nTo: service@example.test\r\nMessage-ID: <1@bailleur.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)
ENVELOPE = (
    b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
OPENSSL: dict[str, list[str]] = {
    "stream": ["-stream", "-nodetach"],
    "keyid": ["-keyid", "-nodetach"],
    "cades": ["-cades"],
    "pss": ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32"],
    "sha512": ["-md", "sha512", "-nosmimecap"],
}


@cache
def mails() -> dict[str, bytes]:
    """By name."""
    return {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}


def entity_of(mail: bytes) -> bytes:
    """The mail without the fields that only a mail has: what an envelope holds."""
    return mail[len(HEAD) - len(b"MIME-Version: 1.0\r\n") :]


def lines(der: bytes) -> bytes:
    """In base64, as the body of a mail."""
    text = b64encode(der)
    return b"".join(text[start : start + 76] + b"\r\n" for start in range(0, len(text), 76))


def _ours(kind: Kind) -> dict[str, bytes]:
    made = {
        f"detached-{kind}": HEAD + multipart_signed(ENTITY, signing_key(kind), at=AT, boundary="-=limite"),
        f"opaque-{kind}": HEAD + opaque_signed(ENTITY, signing_key(kind), at=AT),
    }
    if kind == "rsa":
        made["opaque-pss"] = HEAD + opaque_signed(ENTITY, signing_key(kind, pss=True), at=AT)
    return made


def _of_openssl(folder: Path, options: list[str]) -> bytes:
    (folder / "entity").write_bytes(ENTITY)
    holder("rsa").write(folder)
    command = ["openssl", "cms", "-sign", "-binary", "-crlfeol", "-in", "entity", "-out", "signed.eml"]
    keys = ["-signer", "holder-rsa.pem", "-inkey", "holder-rsa.key"]
    subprocess.run([*command, *keys, *options], cwd=folder, check=True, timeout=60)
    return HEAD.replace(b"MIME-Version: 1.0\r\n", b"") + (folder / "signed.eml").read_bytes()


def main() -> None:
    """Write them all."""
    made: dict[str, bytes] = {}
    for kind in KINDS:
        made |= _ours(kind)
    with tempfile.TemporaryDirectory() as folder:
        for name, options in OPENSSL.items():
            made[f"openssl-{name}"] = _of_openssl(Path(folder), options)
    FOLDER.mkdir(exist_ok=True)
    for name, mail in made.items():
        (FOLDER / f"{name}.eml").write_bytes(mail)


if __name__ == "__main__":
    main()
