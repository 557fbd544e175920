"""How each process of the pool makes its judge and its composer: what crosses the border to it, the keys included.

A process imports what this module needs, and nothing of the register or of the servers' libraries: half the memory.
"""

from dataclasses import dataclass, field

from mailflow.mail import cms
from mailflow.mail.composer import Composer
from mailflow.mail.judge import Judge, JudgeLimits
from mailflow.mail.letter import Letterhead
from mailflow.mail.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeJudge:
    """Makes a judge inside a process of the pool: picklable, holds the keys as they were read."""

    decryption: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    """Private key and certificate, both PEM."""
    limits: JudgeLimits
    own_addresses: frozenset[str]
    own_domain: str

    def __call__(self, trust: Trust) -> Judge:
        """Raises Misconfigured when a key does not fit its certificate."""
        return Judge(
            trust=trust,
            keys=tuple(cms.load_decryption_key(*pair) for pair in self.decryption),
            limits=self.limits,
            own_addresses=self.own_addresses,
            own_domain=self.own_domain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeComposer:
    """Makes a composer inside a process of the pool, likewise."""

    signing_key: bytes = field(repr=False)
    signing_certificates: bytes
    """The certificate and its chain, PEM."""
    archive: bytes | None
    letterhead: Letterhead
    mail_bytes_max: int

    def __call__(self, trust: Trust) -> Composer:
        """Raises Misconfigured when the key does not fit the certificate."""
        return Composer(
            trust=trust,
            signing_key=cms.load_signing_key(self.signing_key, self.signing_certificates),
            archive=self.archive,
            letterhead=self.letterhead,
            mail_bytes_max=self.mail_bytes_max,
        )
