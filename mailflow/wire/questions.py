"""`GES` files from their bytes, and the `RGE` files that answer them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from mailflow.core.anomalies import Anomaly, Code, catalogue
from mailflow.core.calendar import PARIS
from mailflow.core.inquiry import Question, QuestionFile, QuestionReceipt, RequestStatus, Situation, StatusAnswer
from mailflow.core.model import Environment
from mailflow.core.numbers import DeskCode
from mailflow.errors import MailflowError
from mailflow.wire.codec import EXTENSION, read, to_bytes, write
from mailflow.wire.envelope import AnomalyElement, anomaly_elements
from mailflow.wire.management import (
    MANAGEMENT,
    AnswerElement,
    ManagementFile,
    ManagementHeader,
    ManagementType,
    QuestionElement,
    StatusElement,
)
from mailflow.wire.names import FileNameError, parse_question_name, parse_request_name, speakable_name
from mailflow.wire.reader import CLOCK_AHEAD_MAX, FileLimits, bounded
from mailflow.wire.writer import STATES
from mailflow.wire.xml import XmlLimits, XmlRefused, parse_document
from mailflow.wire.xsd import extension_validator

QUESTION_ANOMALIES_MAX = 5
"""How many anomalies of one question are told."""
_TAG = f"{{{EXTENSION}}}{MANAGEMENT}"
_AT_ROOT = f"/{MANAGEMENT}"
_IN_QUESTION = re.compile(rf"{_AT_ROOT}/listeQuestion/question\[([0-9]+)\]")
_ANSWER_LIMITS = XmlLimits(bytes_max=64 << 20, nodes_max=2_000_000)


class NotAnAnswer(MailflowError, ValueError):
    """The document is no `RGE` file."""


def read_questions(name: str, content: bytes, *, limits: FileLimits, now: datetime) -> QuestionFile:
    """What the file asks, with all that reading found. Never raises, whatever the bytes.

    `name` is the one inside the signed part; `now`, an aware instant, tells what is dated in the future.
    """
    faults: list[Anomaly] = []
    desk = _desk_of(name)
    if desk is None:
        faults.append(Anomaly(code=Code.FILE_NAME_WRONG))
    questions = _read(content, limits, now, faults)
    return QuestionFile(
        name=name,
        desk=desk or DeskCode(""),
        digest=sha256(content).hexdigest(),
        questions=questions,
        anomalies=bounded(faults, _AT_ROOT),
    )


def _read(content: bytes, limits: FileLimits, now: datetime, faults: list[Anomaly]) -> tuple[Question, ...]:
    try:
        root = parse_document(content, XmlLimits(bytes_max=limits.file_bytes_max, nodes_max=limits.nodes_max), _TAG)
    except XmlRefused as refused:
        faults.append(refused.anomaly)
        return ()
    document, found = read(root, ManagementFile, _AT_ROOT)
    header = document.header or ManagementHeader()
    if header.file_type == ManagementType.ROLL_OVER:
        # What else is in it we cannot judge: whatever we said of it would be wrong.
        faults.append(Anomaly(code=Code.ROLL_OVER_NOT_OFFERED, path=f"{_AT_ROOT}/entete/typeFichier"))
        return ()
    if header.file_type != ManagementType.STATUS:
        faults.append(Anomaly(code=Code.FILE_TYPE_UNKNOWN, path=f"{_AT_ROOT}/entete/typeFichier"))
    if header.dated_at is None or header.dated_at > now + CLOCK_AHEAD_MAX:
        faults.append(Anomaly(code=Code.FILE_DATE_WRONG, path=f"{_AT_ROOT}/entete/dateFichier"))
    by_question = _grouped(found)
    faults += by_question.pop(0, [])
    if not document.questions:
        faults.append(Anomaly(code=Code.FILE_WITHOUT_REQUEST, path=_AT_ROOT))
    elif len(document.questions) > limits.requests_max:
        faults.append(Anomaly(code=Code.XML_LIMITS_EXCEEDED, path=_AT_ROOT))
        return ()
    if not found and not extension_validator().validate(root):
        # Codec and schema come from one shape, so this is a second lock on the same door.
        faults.append(Anomaly(code=Code.XML_NOT_VALID, path=_AT_ROOT))
    return tuple(
        _question(element, f"{_AT_ROOT}/listeQuestion/question[{number}]", by_question.get(number, []))
        for number, element in enumerate(document.questions, start=1)
    )


def _grouped(faults: Iterable[Anomaly]) -> dict[int, list[Anomaly]]:
    """The faults by the number of the question that they lie in; 0 for the file as a whole."""
    groups: dict[int, list[Anomaly]] = {}
    for fault in faults:
        found = _IN_QUESTION.match(fault.path)
        groups.setdefault(int(found[1]) if found else 0, []).append(fault)
    return groups


def _question(element: QuestionElement, path: str, faults: list[Anomaly]) -> Question:
    asks_by_number = bool(element.number) or element.holder is not None
    ways = [bool(element.file_name), asks_by_number, bool(element.reference)]
    if not faults and (ways.count(True) != 1 or element.answer is not None):
        faults.append(Anomaly(code=Code.QUESTION_UNCLEAR, path=path))
    elif not faults and asks_by_number:
        missing = [name for name, given in (("numUnique", element.number), ("titulaire", element.holder)) if not given]
        faults += [Anomaly(code=Code.VALUE_MISSING, path=f"{path}/{name}") for name in missing]
    elif not faults and element.file_name and not _is_request_name(element.file_name):
        faults.append(Anomaly(code=Code.FILE_NAME_WRONG, path=f"{path}/fichier"))
    return Question(
        file_name=element.file_name or None,
        number=element.number or None,
        holder=element.holder,
        reference=element.reference or None,
        anomalies=bounded(faults, path, QUESTION_ANOMALIES_MAX),
    )


def _desk_of(name: str) -> DeskCode | None:
    try:
        return parse_question_name(name).desk
    except FileNameError:
        return None


def _is_request_name(name: str) -> bool:
    try:
        parse_request_name(name)
    except FileNameError:
        return False
    return True


# The answer


def write_answers(receipt: QuestionReceipt, *, environment: Environment) -> bytes:
    """The `RGE` document for one file; valid against the published schema. The same bytes for the same receipt.

    It is the model written again: a value that the model could not hold is not repeated, its anomaly is.
    """
    file = receipt.file
    answers: Sequence[StatusAnswer | None] = receipt.answers or [None] * len(file.questions)
    document = ManagementFile(
        environment=environment,
        answered_file=speakable_name(file.name),
        answered_digest=file.digest,
        header=ManagementHeader(file_type=ManagementType.ANSWER, dated_at=_second(receipt.answered_at)),
        anomalies=anomaly_elements(receipt.anomalies),
        questions=tuple(_answered(question, answer) for question, answer in zip(file.questions, answers, strict=True)),
    )
    return to_bytes(write(document, MANAGEMENT, EXTENSION))


def _answered(question: Question, answer: StatusAnswer | None) -> QuestionElement:
    return QuestionElement(
        file_name=question.file_name,
        number=question.number,
        holder=question.holder,
        reference=question.reference,
        answer=answer and _answer_element(answer),
    )


def _answer_element(answer: StatusAnswer) -> AnswerElement:
    since = _second(answer.since) if answer.since else None
    decided = answer.situation is Situation.DECIDED
    return AnswerElement(
        situation=answer.situation,
        received_at=None if decided else since,
        decided_at=since if decided else None,
        digest=answer.digest,
        registered=answer.registered,
        refused=answer.refused,
        requests=tuple(map(_status_element, answer.requests)),
        anomalies=_told_before(answer.anomalies) if decided else anomaly_elements(answer.anomalies),
    )


def _status_element(status: RequestStatus) -> StatusElement:
    return StatusElement(
        reference=status.reference,
        number=status.number,
        state=STATES[status.state] if status.state else None,
        expires_on=status.expires_on,
        operation=status.operation,
        operated_on=status.operated_on,
        anomalies=_told_before(status.anomalies),
    )


def _told_before(anomalies: Sequence[Anomaly]) -> tuple[AnomalyElement, ...]:
    """Without the sentences, which the `RET` has: a file may have thousands."""
    entries = catalogue()
    return tuple(AnomalyElement(code=a.code, path=a.path or None, severity=entries[a.code].severity) for a in anomalies)


def _second(at: datetime) -> datetime:
    return at.astimezone(PARIS).replace(microsecond=0)


# A desk's side


def write_questions(questions: Sequence[QuestionElement], at: datetime) -> bytes:
    """A `GES` file that asks these. For the desk's side: the reference client, samples, tests."""
    header = ManagementHeader(file_type=ManagementType.STATUS, dated_at=_second(at))
    return to_bytes(write(ManagementFile(header=header, questions=tuple(questions)), MANAGEMENT, EXTENSION))


def read_answers(content: bytes) -> ManagementFile:
    """What an `RGE` file of the service says. Raises NotAnAnswer."""
    try:
        root = parse_document(content, _ANSWER_LIMITS, _TAG)
    except XmlRefused:
        raise NotAnAnswer("the document cannot be read") from None
    document, _ = read(root, ManagementFile, _AT_ROOT)
    if document.header is None or document.header.file_type != ManagementType.ANSWER:
        raise NotAnAnswer("the document is no RGE file")
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldNumbers:
    """Which numbers an `RGE` file tells, and as whose."""

    desk: str
    by_file: tuple[tuple[str, int, str], ...] = ()
    """SHA-256 (hex) of the file, position of the request in it, number."""
    by_reference: tuple[tuple[str, str], ...] = ()
    """The desk's own reference, number."""
    named: tuple[str, ...] = ()
    """Those that the desk had asked after by number."""


def read_told_numbers(content: bytes) -> ToldNumbers:
    """Likewise. Raises NotAnAnswer."""
    document = read_answers(content)
    by_file, by_reference, named = list[tuple[str, int, str]](), list[tuple[str, str]](), list[str]()
    for question in document.questions:
        requests = question.answer.requests if question.answer else ()
        for position, number in ((position, one.number) for position, one in enumerate(requests)):
            if not number:
                continue
            if question.answer and question.answer.digest:
                by_file.append((question.answer.digest, position, number))
            elif question.reference:
                by_reference.append((question.reference, number))
            else:
                named.append(number)
    return ToldNumbers(
        desk=_desk_of(document.answered_file or "") or "",
        by_file=tuple(by_file),
        by_reference=tuple(by_reference),
        named=tuple(named),
    )
