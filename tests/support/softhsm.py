"""A token in software: SoftHSM, Debian's package `softhsm2`. Its library is loaded once in a process."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mailflow.demo.certificates import Identity

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN, PIN = "mailflow", "135790"


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token in a folder of its own, named in the environment of this process and of those that it starts."""

    folder: Path

    def __post_init__(self) -> None:
        tokens, settings = self.folder / "tokens", self.folder / "softhsm2.conf"
        tokens.mkdir()
        settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(settings)
        _util("--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", PIN)
        self.pin_file.write_text(PIN + "\n")
        self.pin_file.chmod(0o600)

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def put(self, identity: Identity) -> Path:
        """Have the token hold this key; a file that says where it is, to be named in the settings."""
        from pkcs11 import Attribute, ObjectClass, lib
        from pkcs11.util import ec, rsa

        key = load_pem_private_key(identity.key_pem, None)
        traditional = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key()
        if isinstance(key, RSAPrivateKey):
            octets = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
            halves = [rsa.decode_rsa_private_key(traditional), rsa.decode_rsa_public_key(octets)]
        else:
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            halves = [ec.decode_ec_private_key(traditional), ec.decode_ec_public_key(octets)]
            halves[0] |= {Attribute.DERIVE: True, Attribute.SIGN: True}
        with lib(str(MODULE)).get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
            for half, kind in zip(halves, (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY), strict=True):
                session.create_object(
                    half | {Attribute.CLASS: kind, Attribute.TOKEN: True, Attribute.LABEL: identity.name}
                )
        file = self.folder / f"{identity.name}.key"
        where = f"module-path={quote(str(MODULE), safe='/')}&pin-source={self.pin_file.name}"
        file.write_text(f"pkcs11:token={TOKEN};object={quote(identity.name)};type=private?{where}\n")
        file.chmod(0o600)
        return file


def _util(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
