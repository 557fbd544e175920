"""Heads of the journal, signed with the service's own key, as one CMS structure that proves itself."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.chain import Head, read_head
from mailflow.core.service_keys import ServiceKey
from mailflow.mail import cms


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNotary:
    """Reads key and certificate when they are needed: who only looks needs no key, and a new key wants no restart."""

    signs: Callable[[Collection[ServiceKey], datetime], cms.KeyPair]
    """The key that signs then, with its certificate."""
    known: Callable[[], Collection[bytes]]
    """The certificate and former ones, DER: what was signed with them is believed. Never the database says which."""

    def sign(self, document: bytes, at: datetime, keys: Collection[ServiceKey] = ()) -> bytes:
        """See `core.chain.Notary`."""
        key = cms.open_signing_key(self.signs(keys, at))
        return cms.sign(document, key, at=at, detached=False)

    def open(self, signed: bytes, at: datetime) -> Head | None:
        """See `core.chain.Notary`."""
        known = self.known()
        try:
            proven = cms.verify(signed, None, enrolled=lambda _: (), at=at)
            ours = all(signer.certificate in known for signer in proven.signers)
            return read_head(proven.content) if ours else None
        except (cms.CmsError, ValueError):
            return None
