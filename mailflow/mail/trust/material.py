"""What trust is made from, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from mailflow.core.model import Directory, SenderCode
from mailflow.core.revocation import Fetched
from mailflow.errors import Misconfigured
from mailflow.mail.cms.keys import ServiceKeys
from mailflow.mail.trust.certificate import read
from mailflow.mail.trust.errors import TrustError
from mailflow.mail.trust.policy import HOUSE_POLICY, PathPolicy, SigningWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustMaterial:
    """All that is worked from, at one generation. Picklable; certificates and lists in DER."""

    directory: Directory
    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    window: SigningWindow
    policy: PathPolicy = HOUSE_POLICY
    policies: Mapping[SenderCode, PathPolicy] = field(default_factory=dict)
    """Of senders that have one of their own, instead of `policy`."""
    fetched: Fetched = field(default_factory=Fetched)
    """What the register keeps of revocation data, beside `crls`, which are of files."""
    keys: ServiceKeys = field(default=ServiceKeys(), repr=False)
    """Our own, which change with a generation as the rest does; no decision rests on them."""

    def policy_of(self, sender: SenderCode | None) -> PathPolicy:
        """What is demanded of the paths of a sender; None: of nobody in particular."""
        return self.policy if sender is None else self.policies.get(sender, self.policy)

    @property
    def lists(self) -> tuple[bytes, ...]:
        """Every revocation list, from wherever it is."""
        return (*self.crls, *self.fetched.lists)


def configured(ders: Sequence[bytes]) -> list[x509.Certificate]:
    """Anchors or intermediates, read. Raises Misconfigured."""
    try:
        return [read(der) for der in ders]
    except TrustError as error:
        raise Misconfigured(f"a certificate among the anchors or intermediates: {error}") from None
