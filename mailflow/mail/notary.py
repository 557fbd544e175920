"""Heads of the journal, signed with the service's own key, as one CMS structure that proves itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.chain import OpenedHead, read_head
from mailflow.mail import cms, pem


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNotary:
    """Reads key and certificate when they are needed: who only looks needs no key, and a new key wants no restart."""

    key: Callable[[], bytes]
    """Private key, PEM."""
    certificates: Callable[[], bytes]
    """The certificate and its chain, PEM."""

    def sign(self, document: bytes, at: datetime) -> bytes:
        """See `core.chain.Notary`."""
        key = cms.load_signing_key(self.key(), self.certificates())
        return cms.sign(document, key, at=at, detached=False)

    def open(self, signed: bytes, at: datetime) -> OpenedHead | None:
        """See `core.chain.Notary`."""
        try:
            proven = cms.verify(signed, None, enrolled=lambda _: (), at=at)
            return OpenedHead(head=read_head(proven.content), certificate=proven.signers[0].certificate)
        except (cms.CmsError, ValueError):
            return None

    def certificate(self) -> bytes:
        """See `core.chain.Notary`."""
        return pem.read_der(self.certificates(), pem.CERTIFICATE)[0]
