"""Private keys that never leave their token (PKCS #11): a smart card, a hardware security module, SoftHSM.

Each process opens a session of its own. To the rest of the program these are keys like any others. What a sender
encrypted wrongly is the mail's fault, a token that is gone is nobody's: a session that fails is tried with something
of ours before a mail is blamed.
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed, encode_dss_signature

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail.cms import SigningPrivateKey

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")
SCHEME = b"pkcs11:"
PATH_ATTRIBUTES, QUERY_ATTRIBUTES = {"token", "object", "id", "type"}, {"module-path", "pin-source"}

_LOCK = threading.RLock()
_sessions: dict[tuple[str, str], Any] = {}
"""Of this process, by module and token: one login is for all its keys."""
_refused: set[tuple[str, str, str]] = set()
"""PINs that a token did not take: asked again and again it would lock itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Where a key is, and how to come to it (`cms.KeySource`)."""

    module: str
    """The library that speaks to the token."""
    token: str
    """Its label."""
    label: str | None
    id: bytes | None
    """Of the key, CKA_LABEL and CKA_ID: one of them at least."""
    pin: str = field(repr=False)

    def load(self) -> SigningPrivateKey:
        """Raises Misconfigured, and Unavailable when the token is not there."""
        with _LOCK:
            return self._answered(self._load)

    def _load(self) -> SigningPrivateKey:
        import pkcs11  # only who has a token has it

        session = self._session()
        wanted = {"label": self.label, "id": self.id}
        try:
            private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, **wanted)
            public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, **wanted)
        except (pkcs11.exceptions.NoSuchKey, pkcs11.exceptions.MultipleObjectsReturned):
            raise Misconfigured(f"token {self.token}: one key pair should be called so, private and public") from None
        if private.key_type is pkcs11.KeyType.RSA:
            return _RsaKey(self, private, _rsa_public(public))
        if private.key_type is pkcs11.KeyType.EC:
            return _EcKey(self, private, _ec_public(public))
        raise Misconfigured(f"token {self.token}: a key of a type that is not allowed")

    def _session(self) -> Any:
        import pkcs11

        where, asked = (self.module, self.token), (self.module, self.token, self.pin)
        if where in _sessions:
            return _sessions[where]
        if asked in _refused:
            raise Misconfigured(f"token {self.token}: refused this PIN before; it is not asked again")
        try:
            module = pkcs11.lib(self.module)
        except (RuntimeError, OSError):
            raise Misconfigured(f"{self.module}: is no PKCS #11 module that can be loaded") from None
        try:
            _sessions[where] = module.get_token(token_label=self.token).open(user_pin=self.pin)
        except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLocked, pkcs11.exceptions.PinInvalid):
            _refused.add(asked)
            raise Misconfigured(f"token {self.token}: the PIN is wrong, or locked") from None
        return _sessions[where]

    def _answered(self, ask: Callable[[], T]) -> T:
        """What the token says to what cannot be wrong. Raises Unavailable."""
        import pkcs11

        try:
            return ask()
        except pkcs11.exceptions.PKCS11Error as error:
            self._forget(error)
        except AttributeError:  # how the library says it
            raise Unavailable(f"token {self.token}: the key may not decrypt, derive or sign") from None

    def _forget(self, error: Exception) -> NoReturn:
        with contextlib.suppress(Exception):  # closed, the login ends, so that the next one can be another
            _sessions.pop((self.module, self.token)).close()
        raise Unavailable(f"token {self.token}: {type(error).__name__}") from None

    def work(self, ask: Callable[[], T], prove: Callable[[], object]) -> T:
        """What the token makes of what a stranger sent. Raises ValueError when the stranger is to blame.

        `prove` asks for the same of something of ours. Raises Unavailable when that fails too.
        """
        import pkcs11

        with _LOCK:
            try:
                return ask()
            except (pkcs11.exceptions.PKCS11Error, AttributeError):
                self._answered(prove)
                raise ValueError("refused by the token") from None

    def sign(self, ask: Callable[[], T]) -> T:
        """What the token signs of ours. Raises Unavailable."""
        with _LOCK:
            return self._answered(ask)


def token_key(uri: str, folder: Path, read_pin: Callable[[Path], str]) -> TokenKey:
    """From a PKCS #11 URI (RFC 7512): `pkcs11:token=T;object=KEY?module-path=/usr/lib/M.so&pin-source=FILE`.

    `pin-source` is a file, relative to `folder`; a PIN in the URI is refused. Raises Misconfigured.
    """
    path, _, query = uri.strip().removeprefix(SCHEME.decode()).partition("?")
    given = _attributes(path, ";", PATH_ATTRIBUTES)
    asked = _attributes(query, "&", QUERY_ATTRIBUTES)
    for name, known in (("token", given), ("module-path", asked), ("pin-source", asked)):
        if not known.get(name):
            raise Misconfigured(f"a PKCS #11 URI should say {name}")
    if not {"object", "id"} & given.keys() or given.get("type", "private") != "private":
        raise Misconfigured("a PKCS #11 URI should name a private key, by object or id")
    source = unquote(asked["pin-source"]).removeprefix("file:")
    return TokenKey(
        module=unquote(asked["module-path"]),
        token=unquote(given["token"]),
        label=unquote(given["object"]) if "object" in given else None,
        id=unquote_to_bytes(given["id"]) if "id" in given else None,
        pin=read_pin(folder / source),
    )


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise Misconfigured("a PKCS #11 URI should hold no PIN: name its file by pin-source")
        if not equals or name not in known or name in found or not re.fullmatch(r"[\x21-\x7e]*", value):
            raise Misconfigured(f"a PKCS #11 URI has {', '.join(sorted(known))}, each once; not {name[:40]!r}")
        found[name] = value
    return found


def _rsa_public(public: Any) -> rsa.RSAPublicKey:
    from pkcs11 import Attribute

    numbers = (public[Attribute.PUBLIC_EXPONENT], public[Attribute.MODULUS])
    return rsa.RSAPublicNumbers(*(int.from_bytes(number) for number in numbers)).public_key()


def _ec_public(public: Any) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from pkcs11.util.ec import encode_ec_public_key

    key = load_der_public_key(encode_ec_public_key(public))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Misconfigured("a curve that is not allowed")
    return key


class _Kept:
    """What a key in a token cannot do."""

    def private_numbers(self) -> NoReturn:
        raise NotImplementedError("the key does not leave its token")

    def private_bytes(self, *_: object) -> NoReturn:
        raise NotImplementedError("the key does not leave its token")

    def __copy__(self) -> NoReturn:
        raise NotImplementedError("each process loads its own")

    def __deepcopy__(self, memo: dict[Any, Any]) -> NoReturn:
        raise NotImplementedError("each process loads its own")


class _RsaKey(_Kept, rsa.RSAPrivateKey):
    def __init__(self, source: TokenKey, private: Any, public: rsa.RSAPublicKey) -> None:
        self._source, self._private, self._public = source, private, public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """Raises ValueError, and Unavailable."""
        return self._source.work(lambda: self._decrypted(ciphertext, padding), self._prove)

    def _decrypted(self, ciphertext: bytes, how: padding.AsymmetricPadding) -> bytes:
        from pkcs11 import MGF, Mechanism
        from pkcs11.exceptions import ArgumentsBad, MechanismInvalid, MechanismParamInvalid

        if not isinstance(how, padding.OAEP):
            return bytes(self._private.decrypt(ciphertext, mechanism=Mechanism.RSA_PKCS))
        digest, mask, label = how.algorithm, how.mgf._algorithm, how._label or b""
        if not label:  # SoftHSM does not take any
            parameters = (Mechanism[_mechanism(digest)], MGF[mask.name.upper()], None)
            with contextlib.suppress(ArgumentsBad, MechanismInvalid, MechanismParamInvalid):  # nor other digests
                opened = self._private.decrypt(
                    ciphertext, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameters
                )
                return bytes(opened)
        raw = bytes(self._private.decrypt(ciphertext, mechanism=Mechanism.RSA_X_509))
        return _unpadded(raw.rjust((self.key_size + 7) // 8, b"\0"), digest.name, mask.name, label)

    def _prove(self) -> None:
        """Raises PKCS11Error."""
        from pkcs11.exceptions import FunctionFailed, PKCS11Error

        known = os.urandom(16)
        for how in (padding.PKCS1v15(), padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)):
            try:
                if self._decrypted(self._public.encrypt(known, how), how) == known:
                    return
            except PKCS11Error:
                continue
        raise FunctionFailed

    def sign(
        self,
        data: Buffer,
        padding: padding.AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        """Raises Unavailable."""
        from pkcs11 import MGF, Mechanism

        assert isinstance(algorithm, hashes.HashAlgorithm)
        name = algorithm.name.upper()
        if padding.name != "EMSA-PSS":
            mechanism, parameters = Mechanism[f"{name}_RSA_PKCS"], None
        else:
            mechanism = Mechanism[f"{name}_RSA_PKCS_PSS"]
            parameters = (Mechanism[_mechanism(algorithm)], MGF[name], algorithm.digest_size)
        return self._source.sign(
            lambda: bytes(self._private.sign(data, mechanism=mechanism, mechanism_param=parameters))
        )


class _EcKey(_Kept, ec.EllipticCurvePrivateKey):
    def __init__(self, source: TokenKey, private: Any, public: ec.EllipticCurvePublicKey) -> None:
        self._source, self._private, self._public = source, private, public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Raises ValueError, and Unavailable."""
        assert isinstance(algorithm, ec.ECDH)
        return self._source.work(
            lambda: self._agreed(peer_public_key),
            lambda: self._agreed(ec.generate_private_key(self.curve).public_key()),
        )

    def _agreed(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from pkcs11 import KDF, Attribute, KeyType, Mechanism

        octets = (self.key_size + 7) // 8
        point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        secret = self._private.derive_key(
            KeyType.GENERIC_SECRET,
            octets * 8,
            mechanism=Mechanism.ECDH1_DERIVE,
            mechanism_param=(KDF.NULL, None, point),
            template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
        )
        return bytes(secret[Attribute.VALUE])

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Raises Unavailable."""
        from pkcs11 import Mechanism

        assert isinstance(signature_algorithm.algorithm, hashes.HashAlgorithm)
        digest = hashlib.new(signature_algorithm.algorithm.name, data).digest()
        raw = self._source.sign(lambda: bytes(self._private.sign(digest, mechanism=Mechanism.ECDSA)))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


def _mechanism(digest: hashes.HashAlgorithm) -> str:
    """The library's name: SHA_1, SHA256."""
    return {"sha1": "SHA_1"}.get(digest.name, digest.name.upper())


def _unpadded(padded: bytes, digest: str, mask: str, label: bytes) -> bytes:
    """EME-OAEP-DECODE (RFC 8017 section 7.1.2). Raises ValueError, the same whatever is wrong.

    Not in constant time: mails are judged by the chunk and failures answered by silence, so nobody sees how long.
    """
    size = hashlib.new(digest).digest_size
    seed = _xor(padded[1 : 1 + size], _masked(padded[1 + size :], size, mask))
    block = _xor(padded[1 + size :], _masked(seed, len(padded) - 1 - size, mask))
    rest = block[size:].lstrip(b"\0")
    if padded[:1] != b"\0" or block[:size] != hashlib.new(digest, label).digest() or rest[:1] != b"\x01":
        raise ValueError("refused")
    return rest[1:]


def _masked(seed: bytes, octets: int, mask: str) -> bytes:
    """MGF1 (RFC 8017, B.2.1)."""
    made = b""
    while len(made) < octets:
        counter = (len(made) // hashlib.new(mask).digest_size).to_bytes(4)
        made += hashlib.new(mask, seed + counter).digest()
    return made[:octets]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
