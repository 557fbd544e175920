"""The service's own keys, from their files: those that the settings name, and those of the folder of rotated keys.

Which of them serve, and since when, the register knows (`core.service_keys`); what they are, only the files say.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailflow.core.service_keys import KeyUse, ServiceKey, present
from mailflow.errors import Misconfigured
from mailflow.mail import pem
from mailflow.mail.cms import KeyPair, KeySource, PemKey, ServiceKeys
from mailflow.mail.tokens import SCHEME, token_key
from mailflow.mail.trust_files import FileState, files_in, octets_of, read_pem_file, state_of

OTHERS_MAY_TOUCH = 0o027
"""Bits of a secret file's mode that nobody may have: group to write, others anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A private key and its certificate, each in a file."""

    use: KeyUse
    name: str
    """For people: how the settings or the folder call it."""
    key: Path
    certificate: Path
    chain: Path | None = None
    """What goes along with each signature, beside what follows the certificate in its own file."""

    @property
    def der(self) -> bytes:
        """The certificate. Raises Misconfigured."""
        return read_pem_file(self.certificate, pem.CERTIFICATE)[0]

    def pair(self) -> KeyPair:
        """To be worked with. Raises Misconfigured, also when others may read the private key."""
        files = (self.certificate, *([self.chain] if self.chain else []))
        return KeyPair(key=source_of(self.key), certificates=b"\n".join(map(octets_of, files)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Where the keys are. Read anew each time: a key that is replaced needs no restart."""

    signing: KeyFile
    decryption: tuple[KeyFile, ...]
    former: Path | None
    """Certificates of keys that once signed and are in no other file."""
    folder: Path
    """`signing-*.pem` and `decryption-*.pem`, each with its `.key` beside it."""
    clock: Callable[[], datetime]

    def state(self, keys: Iterable[ServiceKey]) -> tuple[str | FileState, ...]:
        """What tells that something is new: a file, or the time at which another key signs. Raises Misconfigured."""
        signs = present(keys, KeyUse.SIGNING, self.clock())
        files = sorted({file for one in self.all() for file in (one.key, one.certificate, one.chain) if file})
        return (signs.fingerprint if signs else "", *(state_of(file) for file in files if file.exists()))

    def read(self, keys: Iterable[ServiceKey]) -> ServiceKeys:
        """All that serve now. Raises Misconfigured when one cannot be used, or is to serve and has no file."""
        keys = tuple(keys)
        opening = {fingerprint(one.der): one for one in self.decryption}
        for key in keys:
            if key.use is KeyUse.DECRYPTION and key.retired_at is not None:
                opening.pop(key.fingerprint, None)
            elif key.use is KeyUse.DECRYPTION:
                opening[key.fingerprint] = self.of(key)
        return ServiceKeys(
            signing=self.signs(keys, self.clock()).pair(),
            decryption=tuple(file.pair() for file in opening.values()),
        )

    def signs(self, keys: Iterable[ServiceKey], at: datetime) -> KeyFile:
        """The key that signs at `at`. Raises Misconfigured."""
        key = present(keys, KeyUse.SIGNING, at)
        return self.of(key) if key else self.signing

    def opens(self, keys: Iterable[ServiceKey], at: datetime) -> KeyFile:
        """The key that desks are to encrypt to at `at`. Raises Misconfigured."""
        key = present(keys, KeyUse.DECRYPTION, at)
        return self.of(key) if key else self.decryption[0]

    def of(self, key: ServiceKey) -> KeyFile:
        """The files of a key on record. Raises Misconfigured when there are none."""
        for one in self.all():
            if one.use is key.use and fingerprint(one.der) == key.fingerprint:
                return one
        raise Misconfigured(f"{self.folder}: the {key.use} key {key.fingerprint} is in use and not there")

    def known_signing(self) -> tuple[bytes, ...]:
        """Certificates, in DER, of every key that signs, is to sign, or has signed. Raises Misconfigured."""
        ours = [one.der for one in self.all() if one.use is KeyUse.SIGNING]
        return (*ours, *(read_pem_file(self.former, pem.CERTIFICATE) if self.former else ()))

    def all(self) -> tuple[KeyFile, ...]:
        """Every key that there is a certificate of, whether it serves or not. Raises Misconfigured."""
        return (*self.named, *self._in_folder())

    @property
    def named(self) -> tuple[KeyFile, ...]:
        """Those of the settings."""
        return (self.signing, *self.decryption)

    def _in_folder(self) -> Iterator[KeyFile]:
        for use in KeyUse:
            for certificate in files_in(self.folder, f"{use}-*.pem", may_be_missing=True):
                key = certificate.with_suffix(".key")
                yield KeyFile(use=use, name=certificate.stem, key=key, certificate=certificate)


def source_of(file: Path, folder: Path | None = None) -> KeySource:
    """Of a private key's file: the key, or where in a token it is (`mail.tokens`). Raises Misconfigured.

    `folder` is where the file is to lie, when that is not where it lies.
    """
    octets = read_private(file)
    if not octets.startswith(SCHEME):
        return PemKey(octets)
    try:
        return token_key(octets.decode(), folder or file.parent, _pin)
    except (Misconfigured, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file}: {error}") from None


def _pin(file: Path) -> str:
    first, *_ = read_private(file).decode(errors="replace").splitlines() or [""]
    if not first:
        raise Misconfigured(f"{file}: should hold the PIN in its first line")
    return first


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate (hex)."""
    return hashlib.sha256(der).hexdigest()


def read_private(file: Path) -> bytes:
    """All of a file that must be closed to others. Raises Misconfigured."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            octets = opened.read()
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None
    if mode & OTHERS_MAY_TOUCH:
        raise Misconfigured(f"{file}: others may read or change it; chmod 600 it")
    return octets
