"""How each process of the pool makes its judge and its composer. The keys come with the rest of what it works from.

A process imports what this module needs, and nothing of the register or of the servers' libraries: half the memory.
"""

from dataclasses import dataclass

from mailflow.errors import Misconfigured
from mailflow.mail import cms
from mailflow.mail.composer import Composer
from mailflow.mail.judge import Judge, JudgeLimits
from mailflow.mail.letter import Letterhead
from mailflow.mail.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeJudge:
    """Makes a judge inside a process of the pool: picklable."""

    limits: JudgeLimits
    own_addresses: frozenset[str]
    own_domain: str

    def __call__(self, trust: Trust) -> Judge:
        """Raises Misconfigured when a key does not fit its certificate, and Unavailable when one cannot be reached."""
        return Judge(
            trust=trust,
            keys=tuple(cms.open_decryption_key(pair) for pair in trust.material.keys.decryption),
            limits=self.limits,
            own_addresses=self.own_addresses,
            own_domain=self.own_domain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeComposer:
    """Makes a composer inside a process of the pool, likewise."""

    archive: bytes | None
    letterhead: Letterhead
    mail_bytes_max: int

    def __call__(self, trust: Trust) -> Composer:
        """Raises Misconfigured when the key does not fit the certificate, and Unavailable when it cannot be reached."""
        signing = trust.material.keys.signing
        if signing is None:
            raise Misconfigured("there is no key to sign with")
        return Composer(
            trust=trust,
            signing_key=cms.open_signing_key(signing),
            archive=self.archive,
            letterhead=self.letterhead,
            mail_bytes_max=self.mail_bytes_max,
        )
