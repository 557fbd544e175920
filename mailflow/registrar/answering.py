"""How files and requests stand, for desks that ask. A use case beside `submit`, for every door; it writes nothing.

What a desk may not know gives one and the same anomaly: another desk's file, a number that does not
exist or is another holder's, a request that it neither created nor may consult, a reference that nothing is bound to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import TypeAdapter

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.calendar import legal_day
from mailflow.core.form import HousingRequest
from mailflow.core.inquiry import (
    Inquiry,
    Question,
    QuestionFile,
    QuestionReceipt,
    RequestStatus,
    Situation,
    StatusAnswer,
)
from mailflow.core.model import EnrolledSender, Mandate, RequestState, Right
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.core.order import holds
from mailflow.register import Transaction, files, requests, statuses
from mailflow.register.requests import KnownReference, StoredRequest
from mailflow.register.statuses import AwaitedFile, DecidedFile, Name, StandingRequest
from mailflow.registrar.rights import desk_refusal, mandates_for
from mailflow.registrar.work import Terms, may, require_current
from mailflow.wire.names import parse_request_name

RECEIPTS_BYTES_MAX = 4 * 1024 * 1024
"""Of kept outcomes that one inquiry is told, but at least one file's: else a small mail could have a huge answer."""
_NOTHING = StatusAnswer(anomalies=(Anomaly(code=Code.QUESTION_UNKNOWN),))


async def answer_questions(
    tx: Transaction, inquiries: Sequence[Inquiry], terms: Terms, at: datetime
) -> tuple[tuple[QuestionReceipt, ...], ...]:
    """One receipt for each file of each inquiry, in order, as things stand in this transaction, which may be a reading
    one. Raises Unavailable, and StaleDirectory when a sender was proven against enrolments that have changed since.
    """
    await require_current(tx, terms, [inquiry.submitter for inquiry in inquiries])
    senders = {sender.code: sender for sender in terms.directory.senders}
    asked = [
        [_open(file, senders[inquiry.submitter.sender], terms, legal_day(at)) for file in inquiry.files]
        for inquiry in inquiries
    ]
    known = await _look_up(tx, [one for group in asked for one in group if not one.blocked])
    return tuple([await _receipts(tx, group, known, at) for group in asked])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A file with what its sender may know."""

    file: QuestionFile
    anomalies: tuple[Anomaly, ...]
    mandates: Sequence[Mandate]
    """Of the sender, for the file's desk, that hold today."""

    @property
    def blocked(self) -> bool:
        return any(anomaly.blocks for anomaly in self.anomalies)

    @property
    def questions(self) -> Iterable[Question]:
        return (question for question in self.file.questions if not question.blocked)

    def name_of(self, question: Question) -> Name | None:
        """The file asked after, when it is one of the same desk."""
        own = question.file_name and parse_request_name(question.file_name).desk == self.file.desk
        return (self.file.desk, question.file_name) if question.file_name and own else None

    def may_know(self, request: StandingRequest) -> bool:
        """Of requests of its own desk, or where it may consult; in a territory for which the sender acts."""
        there = [mandate for mandate in self.mandates if mandate.territory == request.territory]
        return bool(there) and (request.desk == self.file.desk or may(there, Right.CONSULT))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the register knows of all that is asked, whoever may learn it."""

    decided: Mapping[Name, DecidedFile]
    awaited: Mapping[Name, AwaitedFile]
    references: Mapping[tuple[DeskCode, str], KnownReference]
    stored: Mapping[UniqueNumber, StoredRequest]
    """With content, to compare the holder."""
    standing: Mapping[UniqueNumber, StandingRequest]


def _open(file: QuestionFile, sender: EnrolledSender, terms: Terms, today: date) -> _Asked:
    anomalies = file.anomalies
    if Code.FILE_NAME_WRONG not in {anomaly.code for anomaly in anomalies}:
        refusal = desk_refusal(sender, file.desk, terms, today)
        anomalies += (Anomaly(code=refusal),) if refusal else ()
    return _Asked(file=file, anomalies=anomalies, mandates=mandates_for(sender, file.desk, today))


async def _look_up(tx: Transaction, asked: Sequence[_Asked]) -> _Known:
    questions = [(one, question) for one in asked for question in one.questions]
    names = {name for one, question in questions if (name := one.name_of(question))}
    decided = await statuses.decided(tx, names)
    references = await requests.known_references(
        tx, {(one.file.desk, question.reference) for one, question in questions if question.reference}
    )
    stored = await requests.find_all(tx, {question.number for _, question in questions if question.number})
    referred = {reference.number for reference in references.values() if reference.number}
    return _Known(
        decided=decided,
        awaited=await statuses.awaited(tx, names - decided.keys()),
        references=references,
        stored=stored,
        standing=await statuses.standing(tx, stored.keys() | referred),
    )


async def _receipts(
    tx: Transaction, group: Sequence[_Asked], known: _Known, at: datetime
) -> tuple[QuestionReceipt, ...]:
    details = await _details(tx, group, known)
    return tuple(
        QuestionReceipt(
            file=one.file,
            answered_at=at,
            answers=() if one.blocked else tuple([_answer(one, q, known, details) for q in one.file.questions]),
            anomalies=one.anomalies,
        )
        for one in group
    )


def _answer(asked: _Asked, question: Question, known: _Known, details: dict[Name, StatusAnswer]) -> StatusAnswer:
    """The answer to one question; `details` is told once."""
    if question.blocked:
        return StatusAnswer(anomalies=question.anomalies)
    if question.file_name:
        name = asked.name_of(question)
        if name is None:
            return _NOTHING
        return details.pop(name) if name in details else _of_file(name, known)
    if question.reference:
        reference = known.references.get((asked.file.desk, question.reference))
        request = reference and reference.number and known.standing.get(reference.number)
    else:
        request = _held(question, known)
    if not request or not asked.may_know(request):
        return _NOTHING
    return StatusAnswer(requests=(_status(request, question.reference),))


def _held(question: Question, known: _Known) -> StandingRequest | None:
    """The request of that number, if the holder is right; erased, it has none any more."""
    stored = known.stored.get(UniqueNumber(question.number or ""))
    if stored is None or stored.payload is None or question.holder is None:
        return None
    form = HousingRequest.model_validate_json(stored.payload)
    return known.standing.get(stored.number) if holds(question.holder, form) else None


def _of_file(name: Name, known: _Known) -> StatusAnswer:
    """How a file fares, without its requests."""
    if file := known.decided.get(name):
        left_out = (Anomaly(code=Code.OUTCOMES_LEFT_OUT),)
        return StatusAnswer(situation=Situation.DECIDED, since=file.settled_at, digest=file.digest, anomalies=left_out)
    if waits := known.awaited.get(name):
        situation = Situation.WITH_OPERATOR if waits.with_operator else Situation.WAITING
        return StatusAnswer(situation=situation, since=waits.received_at, digest=waits.digest)
    return StatusAnswer(situation=Situation.UNKNOWN)


def _status(request: StandingRequest, reference: str | None, anomalies: tuple[Anomaly, ...] = ()) -> RequestStatus:
    life = request.life
    return RequestStatus(
        number=request.number,
        reference=reference,
        state=life.state,
        expires_on=life.expires_on if life.state is RequestState.ACTIVE else None,
        operation=request.operation,
        operated_on=legal_day(request.operated_at),
        anomalies=anomalies,
    )


# What became of each request of a decided file: read from what was kept of it; the rest is not even built.


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptRequest:
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptFile:
    requests: tuple[_KeptRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptOutcome:
    number: UniqueNumber | None = None
    """None: refused."""
    anomalies: tuple[Anomaly, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    file: _KeptFile
    decided_at: datetime
    outcomes: tuple[_KeptOutcome, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()


_KEPT = TypeAdapter(_Kept)


async def _details(tx: Transaction, group: Sequence[_Asked], known: _Known) -> dict[Name, StatusAnswer]:
    """The whole answers on as many decided files as one inquiry may be told of, in the order in which it asks."""
    asked = [one.name_of(question) for one in group if not one.blocked for question in one.questions]
    wanted: list[Name] = []
    size = 0
    for name in dict.fromkeys(name for name in asked if name and name in known.decided):
        size += known.decided[name].receipt_bytes
        if wanted and size > RECEIPTS_BYTES_MAX:
            break
        wanted.append(name)
    stored = await files.by_name(tx, wanted) if wanted else {}
    kept = {name: _KEPT.validate_json(stored[name].receipt) for name in wanted if stored[name].receipt}
    numbers = {outcome.number for one in kept.values() for outcome in one.outcomes if outcome.number}
    standing = await statuses.standing(tx, numbers)
    return {name: _whole(one, known.decided[name], standing) for name, one in kept.items()}


def _whole(kept: _Kept, file: DecidedFile, standing: Mapping[UniqueNumber, StandingRequest]) -> StatusAnswer:
    told = []
    for position, outcome in enumerate(kept.outcomes):
        reference = kept.file.requests[position].reference if position < len(kept.file.requests) else None
        request = standing.get(outcome.number) if outcome.number else None
        told.append(
            _status(request, reference, outcome.anomalies)
            if request
            else RequestStatus(reference=reference, anomalies=outcome.anomalies)
        )
    registered = sum(outcome.number is not None for outcome in kept.outcomes)
    return StatusAnswer(
        situation=Situation.DECIDED,
        since=kept.decided_at,
        digest=file.digest,
        registered=registered,
        refused=len(kept.outcomes) - registered,
        requests=tuple(told),
        anomalies=kept.anomalies,
    )
