"""What was decided about a mail, on record and by a replay, and where the two differ. Pure; codes and counts only.

What is on record may have been written by another version: of it only what is compared is read, and codes that this
version does not know are as good as others.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import TypeAdapter

from mailflow.core.anomalies import Anomaly, Code, catalogue
from mailflow.core.inquiry import QuestionFile
from mailflow.core.model import FileReceipt, Registered
from mailflow.wire.names import speakable_name


class Difference(StrEnum):
    """How an outcome of today compares with the one on record."""

    SAME = "same"
    NEWLY_REFUSED = "newly refused"
    NEWLY_ACCEPTED = "newly accepted"
    OTHER_ANOMALIES = "other anomalies"
    NOT_COMPARABLE = "not comparable"


class Doubt(StrEnum):
    """Why a difference may have nothing to do with rules or version: the register cannot be rebuilt so far back."""

    OPERATOR = "an operator decided"
    SPOILT = "what is kept of it does not open"
    NO_RECORD = "the answer is not on record"
    REVOCATION = "revocation cannot be told now"
    ERASED = "a request that counts was erased"
    RIVAL_ERASED = "a request that may count was erased"
    FILE_ERASED = "an earlier file that counts was erased"
    REFERENCE = "who had the reference was removed"
    HOMONYM = "a homonym was released"
    NIR = "NIR of that time are not kept"
    LAST_FILE = "files that changed nothing leave no date"


UNIQUENESS = "CTRL_UNI_"
"""How codes begin that are about other requests of a person."""

Finding = tuple[str, str]
"""Code and path of an anomaly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What has an outcome of its own: a mail, a file in it, a request in that."""

    file: str = ""
    """Its name as the interface has it, else nothing; empty for the mail."""
    place: int = 0
    """Of the file in the mail, from 1; 0 for the mail."""
    position: int = 0
    """Of the request in the file, from 1; 0 for the file."""
    desk: str = field(default="", compare=False)

    @property
    def is_request(self) -> bool:
        return self.position > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An outcome, as far as it is compared: whether it got a number, or was read; and what was said of it."""

    accepted: bool
    findings: frozenset[Finding]


Outcomes = Mapping[Unit, Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One outcome, then and now."""

    unit: Unit
    difference: Difference
    gone: tuple[str, ...] = ()
    """Codes that are said no longer."""
    new: tuple[str, ...] = ()
    doubt: Doubt | None = None


# What is on record


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anomaly:
    code: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    number: str | None = None
    anomalies: tuple[_Anomaly, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    name: str
    desk: str = ""
    anomalies: tuple[_Anomaly, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    file: _Named
    anomalies: tuple[_Anomaly, ...] = ()
    outcomes: tuple[_Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    anomalies: tuple[_Anomaly, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked(_Named):
    questions: tuple[_Question, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _AskedFile:
    file: _Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    files: tuple[_File, ...] = ()
    questions: tuple[_AskedFile, ...] = ()
    anomalies: tuple[_Anomaly, ...] = ()


_REPLY = TypeAdapter(_Reply)


def on_record(reason: str | None, answer: bytes | None) -> Outcomes:
    """The outcomes that were ordered to be told; without an answer, why the mail was set aside."""
    if answer is None:
        return refused([reason or ""])
    reply = _REPLY.validate_json(answer)
    found = {Unit(): Seen(accepted=bool(reply.files or reply.questions), findings=_findings(reply.anomalies))}
    for place, file in enumerate(reply.files, 1):
        decided = [(bool(outcome.number), outcome.anomalies) for outcome in file.outcomes]
        found |= _of_file(place, file.file.name, file.file.desk, file.anomalies, decided)
    for place, asked in enumerate(reply.questions, len(reply.files) + 1):
        told = (*asked.file.anomalies, *(a for question in asked.file.questions for a in question.anomalies))
        found |= _of_file(place, asked.file.name, asked.file.desk, told, ())
    return found


def decided(
    anomalies: Iterable[Anomaly], receipts: Sequence[FileReceipt], questions: Sequence[QuestionFile]
) -> Outcomes:
    """The outcomes of a mail that was accepted now; of questions only how they were read."""
    found = {Unit(): Seen(accepted=bool(receipts or questions), findings=_findings(anomalies))}
    for place, receipt in enumerate(receipts, 1):
        told = [(isinstance(outcome, Registered), outcome.anomalies) for outcome in receipt.outcomes]
        found |= _of_file(place, receipt.file.name, receipt.file.desk, receipt.anomalies, told)
    for place, file in enumerate(questions, len(receipts) + 1):
        said = (*file.anomalies, *(a for question in file.questions for a in question.anomalies))
        found |= _of_file(place, file.name, file.desk, said, ())
    return found


def refused(codes: Iterable[str]) -> Outcomes:
    """The one outcome of a mail that was refused as a whole, or set aside."""
    return {Unit(): Seen(accepted=False, findings=frozenset((str(code), "") for code in codes))}


def _of_file(
    place: int,
    name: str,
    desk: str,
    anomalies: Iterable[Anomaly | _Anomaly],
    outcomes: Iterable[tuple[bool, Iterable[Anomaly | _Anomaly]]],
) -> dict[Unit, Seen]:
    findings = _findings(anomalies)
    unit = Unit(file=speakable_name(name) or "", place=place, desk=desk)
    found = {unit: Seen(accepted=not any(_blocks(code) for code, _ in findings), findings=findings)}
    for position, (accepted, said) in enumerate(outcomes, 1):
        of_request = Unit(file=unit.file, place=place, position=position, desk=desk)
        found[of_request] = Seen(accepted=accepted, findings=_findings(said))
    return found


def _findings(anomalies: Iterable[Anomaly | _Anomaly]) -> frozenset[Finding]:
    return frozenset((str(anomaly.code), anomaly.path) for anomaly in anomalies)


def _blocks(code: str) -> bool:
    return code not in set(Code) or Anomaly(code=Code(code)).blocks


# Compare


def compare(then: Outcomes, now: Outcomes, doubts: Mapping[Unit, Doubt]) -> list[Compared]:
    """Every outcome of a mail, then and now, in order.

    What has an outcome on one side only was refused on the other with the file, or the mail, that it came in.
    `doubts` say of which outcomes the surroundings could not be rebuilt; of those a difference says nothing.
    """
    units = sorted(then.keys() | now.keys(), key=lambda unit: (unit.place, unit.position))
    return [_compare(unit, _outcome(unit, then), _outcome(unit, now), doubts.get(unit)) for unit in units]


def _outcome(unit: Unit, outcomes: Outcomes) -> Seen:
    if unit in outcomes:
        return outcomes[unit]
    around = next((one for one in outcomes if (one.place, one.position) == (unit.place, 0)), Unit())
    return Seen(accepted=False, findings=outcomes[around].findings)


def _compare(unit: Unit, then: Seen, now: Seen, doubt: Doubt | None) -> Compared:
    if then == now:
        return Compared(unit=unit, difference=Difference.SAME)
    gone, new = _codes(then.findings - now.findings), _codes(now.findings - then.findings)
    doubt = next((_LOST[code] for code in gone if code in _LOST), _applicable(doubt, then, {*gone, *new}))
    if doubt is not None:
        difference = Difference.NOT_COMPARABLE
    elif then.accepted == now.accepted:
        difference = Difference.OTHER_ANOMALIES
    else:
        difference = Difference.NEWLY_REFUSED if then.accepted else Difference.NEWLY_ACCEPTED
    return Compared(unit=unit, difference=difference, gone=gone, new=new, doubt=doubt)


_LOST = {Code.FILE_OVERTAKEN.value: Doubt.LAST_FILE, Code.NIR_EXISTS.value: Doubt.NIR}
"""Codes that may be gone because what they rest on is not kept."""


def _applicable(doubt: Doubt | None, then: Seen, codes: Collection[str]) -> Doubt | None:
    """Only what was registered had bound a reference; homonyms, NIR and unknown rivals only concern uniqueness."""
    if doubt is Doubt.REFERENCE:
        return doubt if then.accepted else None
    if doubt in (Doubt.HOMONYM, Doubt.NIR, Doubt.RIVAL_ERASED):
        return doubt if any(code.startswith(UNIQUENESS) for code in codes) else None
    return doubt


def _codes(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(sorted({code for code, _ in findings}))


# Sum up


@dataclass(slots=True, kw_only=True)
class Summary:
    """What a replay came to. Requests are counted by desk, everything that has an outcome by code."""

    mails: int = 0
    mails_that_differ: int = 0
    requests: Counter[Difference] = field(default_factory=Counter)
    desks: dict[str, Counter[Difference]] = field(default_factory=lambda: defaultdict(Counter))
    codes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Of each code: how often it is `new` or `gone`, and of these how often that refuses or accepts what was not."""
    doubts: Counter[Doubt] = field(default_factory=Counter)

    def add(self, mail: Sequence[Compared]) -> None:
        """One mail more, with its outcomes."""
        self.mails += 1
        self.mails_that_differ += any(differs(one) for one in mail)
        for one in mail:
            if one.unit.is_request:
                self.requests[one.difference] += 1
                self.desks[one.unit.desk][one.difference] += 1
            if one.doubt is not None:
                self.doubts[one.doubt] += 1
                continue
            for change, codes in (("new", one.new), ("gone", one.gone)):
                for code in codes:
                    self.codes[code].update((change, one.difference.value))


def differs(one: Compared) -> bool:
    """Whether it is decided otherwise now, and that means something."""
    return one.difference not in (Difference.SAME, Difference.NOT_COMPARABLE)


def sentence(code: str) -> str:
    """What a code means; nothing for one that only another version knows."""
    return catalogue()[Code(code)].english if code in set(Code) else ""
