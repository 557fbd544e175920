"""The evidence of accepted mails, verified again from the register alone: each mail, each failure by its name.

That the journal itself is whole is for `mailflow audit`; here each entry that names evidence is held against its link.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mailflow.core.anomalies import Code
from mailflow.core.evidence import Evidence
from mailflow.mail.judge import Judge, Unjudged
from mailflow.mail.model import Step, VerifiedMail
from mailflow.mail.reproving import Named, UnusableBasis, is_acceptance, judge_again, read_basis, trust_of
from mailflow.mail.trust import Trust
from mailflow.register import Register, Transaction, evidence, queues
from mailflow.register.evidence import Acceptance, Period
from mailflow.register.vault import SealBroken

PAGE = 200
"""Mails that are looked at in one view of the register."""
BASES_MAX = 256
"""Bases that are remembered, rebuilt."""


class Fault(StrEnum):
    """What can be wrong with the evidence of a mail."""

    MISSING = "evidence missing"
    """The journal names evidence that is not there, or cannot be read."""
    ALTERED = "evidence altered"
    """It is not what the journal names: signature, instants, or what it rests on."""
    NOT_IN_JOURNAL = "not in the journal"
    """There is evidence that no entry names."""
    ENTRY_ALTERED = "journal entry altered"
    """The entry is not what was sealed."""
    EXHIBIT_MISSING = "exhibit missing"
    """A certificate, revocation list, enrolment, policy or verdict that it names is not there."""
    EXHIBIT_ALTERED = "exhibit altered"
    """One of them is not what its digest says."""
    VERDICT = "verdict"
    """The verdict on record is no acceptance."""
    NOT_PROVEN = "not proven"
    """Judged again, the mail would not be accepted: the step that failed is told."""
    CONTENT_ALTERED = "content altered"
    """The mail that is kept is not the one that was accepted."""
    CONTENT_MISSING = "content missing"
    """The mail is gone, and no entry of the journal says that it was erased."""


class Content(StrEnum):
    """What was done about the mail itself."""

    VERIFIED = "verified"
    """It is here, and its signed content is the one whose digest was signed."""
    PURGED = "purged"
    """It was erased: verified without."""
    NOT_OPENED = "not opened"
    """It is here, and no key at hand opens it: verified without."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure."""

    fault: Fault
    detail: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}" if self.detail else self.fault.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One mail, verified again."""

    intake: int
    decided_at: str = ""
    sealed: bool = True
    """Its entry in the journal is sealed: else it is of the last minute, or nothing seals."""
    content: Content = Content.NOT_OPENED
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    evidence: Evidence | None = None
    signed: bytes | None = field(default=None, repr=False)
    """The signed content, when it is here and right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """What mails rest on, of then."""

    named: Named
    trust: Trust
    judge: Judge | None
    """Opens kept mails; None when there are no keys."""


class Archive:
    """Verifies mails again. Remembers what they share."""

    def __init__(self, register: Register, judge: Callable[[Trust], Judge] | None) -> None:
        """`judge` makes what opens kept mails; None: there are no keys, so contents are not looked at."""
        self._register = register
        self._judge = judge
        self._bases: dict[bytes, _Basis | tuple[Finding, ...]] = {}
        self._checklists: dict[bytes, tuple[Finding, ...]] = {}

    async def check(self, period: Period, intakes: Sequence[int]) -> AsyncIterator[Checked]:
        """Mails decided in that period, or these of them, as they were decided. Raises Unavailable, Misconfigured."""
        after = 0
        while True:
            async with self._register.read() as tx:
                page, after = await evidence.acceptances(tx, period, intakes, after, PAGE)
                ids = [one.intake for one in page]
                kept, erased = await evidence.of_intakes(tx, ids), await evidence.erased(tx, ids)
                for one in page:
                    yield await self._check(tx, one, kept.get(one.intake), is_erased=one.intake in erased)
            if not after:
                break
        async with self._register.read() as tx:
            unannounced = await evidence.unannounced(tx, period, intakes)
        for intake in unannounced:
            yield Checked(intake=intake, findings=(Finding(Fault.NOT_IN_JOURNAL, ""),))

    async def _check(self, tx: Transaction, said: Acceptance, kept: Evidence | None, *, is_erased: bool) -> Checked:
        findings = [] if said.intact is not False else [Finding(Fault.ENTRY_ALTERED, f"entry {said.entry}")]
        seen = Checked(intake=said.intake, decided_at=said.decided_at, sealed=said.intact is not None, evidence=kept)
        if kept is None:
            findings.append(Finding(Fault.MISSING, f"named by entry {said.entry}"))
            return replace(seen, findings=tuple(findings))
        if kept.digest != said.digest:
            findings.append(Finding(Fault.ALTERED, f"entry {said.entry} names another digest"))
        findings += await self._of_checklist(tx, kept.checklist)
        basis = await self._of_basis(tx, kept.basis)
        if not isinstance(basis, _Basis):
            return replace(seen, findings=(*findings, *basis))
        steps = judge_again(kept, basis.named, basis.trust)
        if not steps[-1].passed:
            findings.append(Finding(Fault.NOT_PROVEN, f"{steps[-1].name}: {steps[-1].detail}"))
        content, signed, wrong = await _of_content(tx, kept, basis.judge, is_erased=is_erased)
        return replace(seen, content=content, steps=steps, findings=(*findings, *wrong), signed=signed)

    async def _of_basis(self, tx: Transaction, digest: bytes) -> _Basis | tuple[Finding, ...]:
        """What is missing or altered of it, if anything is."""
        known = self._bases.get(digest)
        if known is None:
            if len(self._bases) >= BASES_MAX:
                self._bases.clear()
            known = self._bases[digest] = await self._rebuilt(tx, digest)
        return known

    async def _of_checklist(self, tx: Transaction, digest: bytes) -> tuple[Finding, ...]:
        known = self._checklists.get(digest)
        if known is None:
            contents, findings = await _exhibits(tx, {digest: "verdict"})
            if not findings and not is_acceptance(contents[digest]):
                findings = (Finding(Fault.VERDICT, "the verdict on record is no acceptance"),)
            known = self._checklists[digest] = findings
        return known

    async def _rebuilt(self, tx: Transaction, digest: bytes) -> _Basis | tuple[Finding, ...]:
        contents, findings = await _exhibits(tx, {digest: "basis"})
        if findings:
            return findings
        try:
            named = read_basis(contents[digest])
            exhibits, findings = await _exhibits(tx, roles(named))
            if findings:
                return findings
            trust = trust_of(named, exhibits)
        except UnusableBasis as error:
            return (Finding(Fault.NOT_PROVEN, str(error)),)
        return _Basis(named=named, trust=trust, judge=self._judge(trust) if self._judge else None)


async def _of_content(
    tx: Transaction, kept: Evidence, judge: Judge | None, *, is_erased: bool
) -> tuple[Content, bytes | None, Iterable[Finding]]:
    """What was done about the mail itself, its signed content when it is here and right, and what is wrong with it."""
    if is_erased:
        return Content.PURGED, None, ()
    if judge is None or tx.vault.is_closed:
        return Content.NOT_OPENED, None, ()
    try:
        raw = await queues.raw(tx, kept.intake)
    except SealBroken:
        return Content.NOT_OPENED, None, [Finding(Fault.CONTENT_ALTERED, "its seal is broken")]
    if raw is None:
        return Content.NOT_OPENED, None, [Finding(Fault.CONTENT_MISSING, "")]
    again = judge.signed_again(Unjudged(intake=kept.intake, raw=raw, received_at=kept.received_at))
    if again is Code.DECRYPTION_FAILED:
        return Content.NOT_OPENED, None, ()
    if not isinstance(again, VerifiedMail):
        return Content.NOT_OPENED, None, [Finding(Fault.CONTENT_ALTERED, again.value)]
    if again.signature != kept.signature:
        return Content.NOT_OPENED, None, [Finding(Fault.CONTENT_ALTERED, "it has another signature")]
    return Content.VERIFIED, again.content, ()


def roles(named: Named) -> Mapping[bytes, str]:
    """What each exhibit is to the verdict."""
    return {
        **dict.fromkeys(named.revocations, "revocation list"),
        **dict.fromkeys(named.answers, "OCSP answer"),
        **dict.fromkeys(named.certificates, "certificate"),
        named.enrolment: "enrolment",
        named.policy: "policy",
    }


async def _exhibits(tx: Transaction, wanted: Mapping[bytes, str]) -> tuple[Mapping[bytes, bytes], tuple[Finding, ...]]:
    """The contents, and what is missing or altered, by role and digest."""
    contents = await evidence.exhibits(tx, wanted.keys())
    findings = [
        Finding(fault, f"{role} {digest.hex()}")
        for digest, role in wanted.items()
        for fault in [_fault(digest, contents.get(digest))]
        if fault is not None
    ]
    return contents, tuple(findings)


def _fault(digest: bytes, content: bytes | None) -> Fault | None:
    if content is None:
        return Fault.EXHIBIT_MISSING
    return None if hashlib.sha256(content).digest() == digest else Fault.EXHIBIT_ALTERED
