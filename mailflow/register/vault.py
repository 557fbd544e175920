"""Sealing: what the database holds of persons can only be read with keys that it does not hold.

Every intake and every request has a content key of its own. It is kept wrapped by a master key; deleting it erases
all that was sealed under it. Look-ups go through keyed tokens, which tell nothing without the look-up key.
Which master key wraps new content keys is in the database (`masters`), so that all workers change over at once.
"""

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailflow.errors import MailflowError, Misconfigured

KEY_BYTES = 32
NONCE_BYTES = 12


class SealBroken(MailflowError):
    """A sealed value was altered, lies where it does not belong, or its master key is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentKey:
    """A content key in use. Its octets never show in a traceback or a log."""

    id: str
    octets: bytes = field(repr=False)
    cipher: AESGCM


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A content key as the database keeps it."""

    id: str
    master: str
    """Which master key it is wrapped by."""
    wrapped: bytes


class Vault:
    """The keys that the operator keeps apart from the database.

    `master_keys`: by their names, 32 octets each. `first` names the one that a new register begins with. `read_again`
    finds those that were added since, when one is needed that was not given. `lookup_key`: 32 octets at least; it
    cannot be changed without making every token anew.
    """

    __slots__ = ("_lookup_key", "_masters", "_read_again", "first")

    def __init__(
        self,
        master_keys: Mapping[str, bytes],
        first: str,
        lookup_key: bytes,
        read_again: Callable[[], Mapping[str, bytes]] = dict,
    ) -> None:
        """Raises Misconfigured when a key is too short or the first one is missing."""
        if first not in master_keys:
            raise Misconfigured(f"there is no master key named {first!r}")
        if len(lookup_key) < KEY_BYTES:
            raise Misconfigured(f"the look-up key has at least {KEY_BYTES} octets")
        self._masters = _ciphers(master_keys)
        self._read_again = read_again
        self._lookup_key = lookup_key
        self.first = first

    @classmethod
    def closed(cls) -> "Vault":
        """Without any key, of somebody who may look but not into what is sealed."""
        made = cls.__new__(cls)
        made._masters, made._read_again, made._lookup_key, made.first = {}, dict, b"", ""
        return made

    @property
    def is_closed(self) -> bool:
        """It seals and opens nothing, and makes no tokens."""
        return not self._masters

    def new_key(self) -> ContentKey:
        """A fresh content key. Raises Misconfigured when the vault is closed."""
        self.require_open()
        octets = os.urandom(KEY_BYTES)
        return ContentKey(id=os.urandom(16).hex(), octets=octets, cipher=AESGCM(octets))

    def wrap(self, key: ContentKey, master: str) -> WrappedKey:
        """A content key as it is kept. Raises Misconfigured when that master key cannot be had."""
        wrapped = _encrypt(self._master(master), key.octets, f"content_key.wrapped:{key.id}")
        return WrappedKey(id=key.id, master=master, wrapped=wrapped)

    def unwrap(self, kept: WrappedKey) -> ContentKey:
        """Raises Misconfigured when its master key cannot be had, SealBroken when it does not open."""
        octets = _decrypt(self._master(kept.master), kept.wrapped, f"content_key.wrapped:{kept.id}")
        return ContentKey(id=kept.id, octets=octets, cipher=AESGCM(octets))

    def has(self, master: str) -> bool:
        """Whether that master key can be had."""
        if master not in self._masters:
            self._masters |= _ciphers(self._read_again())
        return master in self._masters

    def seal(self, key: ContentKey, plaintext: bytes, context: str) -> bytes:
        """Encrypt under a content key. `context` names table, column and row: elsewhere it will not open."""
        return _encrypt(key.cipher, plaintext, context)

    def open(self, key: ContentKey, sealed: bytes, context: str) -> bytes:
        """What was sealed in this context. Raises SealBroken."""
        return _decrypt(key.cipher, sealed, context)

    def token(self, kind: str, value: str) -> str:
        """A keyed digest (HMAC-SHA-256, hex) of `value`; equal values of two kinds have unlike tokens."""
        return self._digest(kind, value).hex()

    def short_token(self, kind: str, value: str) -> int:
        """The same cut to 64 bits, as a signed integer: for look-ups that check what they find."""
        return int.from_bytes(self._digest(kind, value)[:8], signed=True)

    def _master(self, name: str) -> AESGCM:
        self.require_open()
        if not self.has(name):
            raise Misconfigured(f"the master key named {name!r} is needed and was not given")
        return self._masters[name]

    def require_open(self) -> None:
        """Raises Misconfigured when the vault is closed."""
        if self.is_closed:
            raise Misconfigured("this wants the keys of the register, whose files this user may not read")

    def _digest(self, kind: str, value: str) -> bytes:
        self.require_open()
        return hmac.digest(self._lookup_key, f"{kind}\0{value}".encode(), "sha256")


def _ciphers(master_keys: Mapping[str, bytes]) -> dict[str, AESGCM]:
    if any(len(key) != KEY_BYTES for key in master_keys.values()):
        raise Misconfigured(f"a master key has {KEY_BYTES} octets")
    return {name: AESGCM(key) for name, key in master_keys.items()}


def _encrypt(cipher: AESGCM, plaintext: bytes, context: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, context.encode())


def _decrypt(cipher: AESGCM, sealed: bytes, context: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        raise SealBroken(f"a sealed value does not open: {context.partition(':')[0]}") from None
