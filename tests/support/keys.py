"""Keys of the shared PKI as the mail door loads them, made once a run."""

from functools import cache

from mailflow.demo.certificates import Identity, Kind
from mailflow.mail.cms import DecryptionKey, KeyPair, PemKey, SigningKey, load_decryption_key, load_signing_key
from mailflow.mail.notary import ServiceNotary
from tests.support.pki import shared_pki

KINDS: tuple[Kind, ...] = ("rsa", "p256", "p384", "p521", "ed25519")


@cache
def holder(kind: Kind, name: str = "holder") -> Identity:
    """A holder that signs, and decrypts where its key can."""
    return shared_pki().issue(f"{name}-{kind}", kind=kind)


@cache
def signing_key(kind: Kind, *, pss: bool = False) -> SigningKey:
    """The holder's key, sent along without a chain."""
    return load_signing_key(holder(kind).key_pem, holder(kind).pem, pss=pss)


@cache
def decryption_key(kind: Kind) -> DecryptionKey:
    """The holder's key. Not for Ed25519, which only signs."""
    return load_decryption_key(holder(kind).key_pem, holder(kind).pem)


def notary(name: str, *, former: str | None = None) -> ServiceNotary:
    """A service of that name, that signs heads of its journal; once it had another one."""
    return ServiceNotary(
        signs=lambda keys, at: KeyPair(key=PemKey(holder("p256", name).key_pem), certificates=holder("p256", name).pem),
        known=lambda: [holder("p256", one).der for one in (name, former) if one],
    )
