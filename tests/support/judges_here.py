"""What judges and composes as in production, in this very process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailflow.attestation import Attestation, typeset
from mailflow.mail.composer import Composer
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.trust import Trust, TrustMaterial


@dataclass(slots=True, kw_only=True)
class JudgesHere:
    """`Judges` without processes."""

    judge_of: Callable[[Trust], Judge]
    composer_of: Callable[[Trust], Composer]
    served: TrustMaterial | None = None
    _judge: Judge = field(init=False)
    _composer: Composer = field(init=False)

    async def serve(self, material: TrustMaterial) -> None:
        if material == self.served:
            return
        trust = Trust(material)
        self._judge, self._composer = self.judge_of(trust), self.composer_of(trust)
        self.served = material

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict]:
        return [self._judge.judge(mail, at) for mail in mails]

    async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
        return [self._judge.recognise(mail, at) for mail in mails]

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        return [typeset(attestation) for attestation in attestations]

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        return [self._composer.compose(composition, at) for composition in compositions]

    async def close(self) -> None:
        pass
