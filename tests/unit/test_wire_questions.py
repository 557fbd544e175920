"""`GES` files: whatever the bytes, every fault is named by code and path; an `RGE` is the `GES` with its answers."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.inquiry import Question, QuestionFile, QuestionReceipt, RequestStatus, Situation, StatusAnswer
from mailflow.core.model import Environment, Operation, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.core.order import Holder
from mailflow.wire.codec import EXTENSION, read, to_bytes, write
from mailflow.wire.management import MANAGEMENT, ManagementFile, QuestionElement
from mailflow.wire.questions import (
    QUESTION_ANOMALIES_MAX,
    NotAnAnswer,
    read_answers,
    read_questions,
    read_told_numbers,
    write_answers,
    write_questions,
)
from mailflow.wire.reader import FileLimits
from mailflow.wire.samples import sample_files
from mailflow.wire.xsd import extension_validator
from tests.support.requests import LIMITS, RECEIVED_AT, TEXTS

NAME = "GES59123-202601151030-000001.xml"
DEM = "DEM59123-202601151030-000001.xml"
NUMBER = UniqueNumber("059012600004259123")
HOLDER = Holder(surname="Durand", born_on=date(1990, 2, 28))
LIST = "/gestion/listeQuestion"
FIRST = f"{LIST}/question[1]"
BY_FILE = QuestionElement(file_name=DEM)
BY_NUMBER = QuestionElement(number=NUMBER, holder=HOLDER)
BY_REFERENCE = QuestionElement(reference="D-1")
(SAMPLE,) = (content for name, content in sample_files().items() if "/GES" in name)


def asking(*questions: QuestionElement) -> bytes:
    return write_questions(questions, RECEIVED_AT)


def file_of(content: bytes, name: str = NAME, limits: FileLimits = LIMITS) -> QuestionFile:
    return read_questions(name, content, limits=limits, now=RECEIVED_AT)


def named(file: QuestionFile) -> set[tuple[Code, str]]:
    found = [*file.anomalies, *(anomaly for question in file.questions for anomaly in question.anomalies)]
    return {(anomaly.code, anomaly.path) for anomaly in found}


def test_what_is_asked_is_read() -> None:
    content = asking(BY_FILE, BY_NUMBER, BY_REFERENCE)
    assert file_of(content) == QuestionFile(
        name=NAME,
        desk=file_of(content).desk,
        digest=sha256(content).hexdigest(),
        questions=(Question(file_name=DEM), Question(number=NUMBER, holder=HOLDER), Question(reference="D-1")),
    )
    assert file_of(content).desk == "59123"


# Faults

FAULTS = {
    "nothing asked": (asking(), {(Code.FILE_WITHOUT_REQUEST, "/gestion")}),
    "an empty question": (asking(QuestionElement()), {(Code.QUESTION_UNCLEAR, FIRST)}),
    "two things in one": (asking(QuestionElement(file_name=DEM, reference="D-1")), {(Code.QUESTION_UNCLEAR, FIRST)}),
    "a number alone": (asking(QuestionElement(number=NUMBER)), {(Code.VALUE_MISSING, f"{FIRST}/titulaire")}),
    "a holder alone": (asking(QuestionElement(holder=HOLDER)), {(Code.VALUE_MISSING, f"{FIRST}/numUnique")}),
    "no file name": (asking(QuestionElement(file_name="DEM.xml")), {(Code.FILE_NAME_WRONG, f"{FIRST}/fichier")}),
    "after an answer": (
        asking(QuestionElement(file_name=DEM.replace("DEM", "RET"))),
        {(Code.FILE_NAME_WRONG, f"{FIRST}/fichier")},
    ),
    "no kind": (
        asking(BY_FILE).replace(b"etat", b"autre"),
        {(Code.FILE_TYPE_UNKNOWN, "/gestion/entete/typeFichier")},
    ),
    "an answer for a question": (
        asking(BY_FILE).replace(b"etat", b"RGE"),
        {(Code.FILE_TYPE_UNKNOWN, "/gestion/entete/typeFichier")},
    ),
    "in the future": (
        write_questions([BY_FILE], RECEIVED_AT + timedelta(minutes=6)),
        {(Code.FILE_DATE_WRONG, "/gestion/entete/dateFichier")},
    ),
    "an unknown element": (
        asking(BY_FILE).replace(b"mf:fichier>", b"mf:surprise>"),
        {(Code.XML_NOT_VALID, f"{FIRST}/*[1]")},
    ),
    "an unknown element of the whole": (
        asking(BY_FILE).replace(b"</mf:gestion>", b"<mf:autre/></mf:gestion>"),
        {(Code.XML_NOT_VALID, "/gestion/*[3]")},
    ),
    "a request file": (b"<interfaceNuu xmlns='http://nuu.application.i2/'/>", {(Code.XML_NOT_VALID, "/*")}),
    "no namespace": (b"<gestion/>", {(Code.XML_NOT_VALID, "/*")}),
    "no XML": (b"PK", {(Code.XML_NOT_WELL_FORMED, "")}),
    "entities": (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', {(Code.XML_DOCTYPE, "")}),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_named_with_its_path(case: str) -> None:
    content, faults = FAULTS[case]
    assert named(file_of(content)) == faults


def test_a_change_of_certificate_is_refused_whatever_else_is_in_the_file() -> None:
    content = asking(BY_FILE).replace(b">etat<", b">certificat<").replace(b"listeQuestion", b"certificats")
    assert named(file_of(content)) == {(Code.ROLL_OVER_NOT_OFFERED, "/gestion/entete/typeFichier")}


def test_a_faulty_question_does_not_keep_the_others_from_being_asked() -> None:
    faulty, good = file_of(asking(QuestionElement(), BY_FILE)).questions
    assert faulty.blocked
    assert good == Question(file_name=DEM)


def test_questions_and_their_faults_are_bounded() -> None:
    limits = replace(LIMITS, requests_max=2)
    assert named(file_of(asking(BY_FILE, BY_FILE), limits=limits)) == set()
    many = file_of(asking(BY_FILE, BY_FILE, BY_FILE), limits=limits)
    assert (named(many), many.questions) == ({(Code.XML_LIMITS_EXCEEDED, "/gestion")}, ())
    wild = asking(BY_FILE).replace(b"<mf:fichier>", b"<mf:a/>" * 50 + b"<mf:fichier>")
    (question,) = file_of(wild).questions
    assert len(question.anomalies) == QUESTION_ANOMALIES_MAX + 1
    assert question.anomalies[-1].code is Code.MORE_ANOMALIES


@pytest.mark.parametrize("name", ["GES.xml", "ges59123-202601151030-000001.xml", DEM, "GES59123-202601151030.xml"])
def test_a_wrong_name_is_told_beside_what_the_file_asks(name: str) -> None:
    file = file_of(asking(BY_FILE), name)
    assert named(file) == {(Code.FILE_NAME_WRONG, "")}
    assert (file.desk, len(file.questions)) == ("", 1)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_give_a_file(content: bytes) -> None:
    file = file_of(content)
    assert file.anomalies
    assert file.questions == ()
    assert write_answers(QuestionReceipt(file=file, answered_at=RECEIVED_AT), environment=Environment.SCHOOL)


@given(st.data())
@settings(max_examples=150)
def test_a_file_that_was_damaged_anywhere_is_answered_by_a_valid_document(data: st.DataObject) -> None:
    content = bytearray(asking(BY_FILE, BY_NUMBER, BY_REFERENCE))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 30))
        content[start : start + length] = data.draw(st.binary(max_size=10) | st.just(b"<") | st.just(b"\xc3\xa9"))
    file = file_of(bytes(content))
    assert all(path in ("", "/*") or path.startswith("/gestion") for _, path in named(file))
    answered = write_answers(QuestionReceipt(file=file, answered_at=RECEIVED_AT), environment=Environment.SCHOOL)
    assert extension_validator().validate(etree.fromstring(answered)), extension_validator().error_log


def questions() -> st.SearchStrategy[QuestionElement]:
    holders = st.builds(Holder, surname=st.none() | TEXTS, born_on=st.none() | st.dates(), company_name=TEXTS)
    return st.builds(
        QuestionElement,
        file_name=st.none() | TEXTS,
        number=st.none() | TEXTS,
        holder=st.none() | holders,
        reference=st.none() | TEXTS,
    )


@given(st.lists(questions(), max_size=5))
def test_a_document_that_was_read_is_written_again_the_same(asked: list[QuestionElement]) -> None:
    content = asking(*asked)
    document, faults = read(etree.fromstring(content), ManagementFile, "/gestion")
    assert faults == ()
    assert to_bytes(write(document, MANAGEMENT, EXTENSION)) == content


NAMES = ["gestion", "question", "fichier", "numUnique", "titulaire", "nom", "dateNaissance", "reference", "situation"]
VALUES = st.sampled_from(["", " ", "x" * 64, "x" * 65, "x" * 1001, "2024-02-29", "2023-02-29"]) | TEXTS


def mutate(data: st.DataObject, root: etree._Element) -> None:
    """One thing below the root is changed: a value, or where and how often elements stand."""
    draw = data.draw
    element = draw(st.sampled_from(list(root.iter())))
    parent = element.getparent()
    if parent is None:
        return
    changes: dict[str, Callable[[], object]] = {
        "text": lambda: setattr(element, "text", draw(VALUES)),
        "delete": lambda: parent.remove(element),
        "repeat": lambda: parent.insert(draw(st.integers(0, len(parent))), deepcopy(element)),
        "move": lambda: parent.insert(draw(st.integers(0, len(parent))), element),
        "rename": lambda: setattr(element, "tag", f"{{{EXTENSION}}}{draw(st.sampled_from(NAMES))}"),
        "attribute": lambda: element.set(draw(st.sampled_from(["code", f"{{{EXTENSION}}}chemin"])), draw(VALUES)),
    }
    changes[draw(st.sampled_from(sorted(changes)))]()


@given(st.data())
@settings(max_examples=200)
def test_the_codec_and_the_schema_agree(data: st.DataObject) -> None:
    """A valid document is changed in one to three places: both accept it, or neither."""
    root = etree.fromstring(SAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, root)
    root = etree.fromstring(etree.tostring(root))
    _, faults = read(root, ManagementFile, "/gestion")
    assert (faults == ()) == extension_validator().validate(root), (faults, extension_validator().error_log)


# The answer


def receipt(*answers: StatusAnswer) -> QuestionReceipt:
    asked = asking(BY_FILE, BY_NUMBER, BY_REFERENCE)
    return QuestionReceipt(file=file_of(asked), answered_at=RECEIVED_AT, answers=answers)


def test_what_is_answered_is_read_by_the_desk() -> None:
    status = RequestStatus(
        number=NUMBER,
        state=RequestState.DEREGISTERED,
        operation=Operation.DEREGISTRATION,
        operated_on=date(2026, 1, 14),
    )
    refused = RequestStatus(reference="D-2", anomalies=(Anomaly(code=Code.REQUEST_EXISTS, path="/x", number=NUMBER),))
    answers = receipt(
        StatusAnswer(
            situation=Situation.DECIDED, since=RECEIVED_AT, registered=1, refused=1, requests=(status, refused)
        ),
        StatusAnswer(anomalies=(Anomaly(code=Code.QUESTION_UNKNOWN),)),
        StatusAnswer(requests=(status,)),
    )
    content = write_answers(answers, environment=Environment.SCHOOL)
    assert extension_validator().validate(etree.fromstring(content)), extension_validator().error_log
    told = read_answers(content)
    assert (told.environment, told.answered_file, told.answered_digest) == ("ecole", NAME, answers.file.digest)
    by_file, by_number, by_reference = (question.answer for question in told.questions)
    assert by_file
    assert (by_file.situation, by_file.decided_at, by_file.received_at) == ("decide", RECEIVED_AT, None)
    assert (by_file.registered, by_file.refused) == (1, 1)
    assert [(one.number, one.reference, one.state) for one in by_file.requests] == [
        (NUMBER, None, "radiee"),
        (None, "D-2", None),
    ]
    assert [anomaly.number for anomaly in by_file.requests[1].anomalies] == [None], "a number is not told twice"
    assert by_number
    assert [anomaly.code for anomaly in by_number.anomalies] == [Code.QUESTION_UNKNOWN]
    assert by_reference
    assert by_reference.requests[0].operated_on == date(2026, 1, 14)


def test_what_waits_says_since_when() -> None:
    since = datetime(2026, 1, 15, 8, 0, 0, 123456, tzinfo=UTC)
    content = write_answers(
        receipt(StatusAnswer(situation=Situation.WAITING, since=since), StatusAnswer(), StatusAnswer()),
        environment=Environment.SCHOOL,
    )
    answer = read_answers(content).questions[0].answer
    assert answer
    assert (answer.situation, answer.received_at, answer.decided_at) == (
        "en_attente",
        since.replace(microsecond=0),
        None,
    )


def test_which_numbers_were_told_can_be_read_after_a_loss() -> None:
    known, refused = RequestStatus(number=NUMBER, reference="D-1"), RequestStatus(reference="D-2")
    decided = StatusAnswer(situation=Situation.DECIDED, since=RECEIVED_AT, digest="ab", requests=(refused, known))
    answers = receipt(decided, StatusAnswer(requests=(known,)), StatusAnswer(requests=(known,)))
    told = read_told_numbers(write_answers(answers, environment=Environment.SCHOOL))
    assert told.desk == answers.file.desk
    assert told.by_file == (("ab", 1, NUMBER),)
    (asked,) = (question.reference for question in answers.file.questions if question.reference)
    assert told.by_reference == ((asked, NUMBER),)
    assert told.named == (NUMBER,)


@pytest.mark.parametrize("content", [b"", b"<a/>", asking(BY_FILE)])
def test_what_is_no_answer_is_not_read_as_one(content: bytes) -> None:
    for reads in (read_answers, read_told_numbers):
        with pytest.raises(NotAnAnswer):
            reads(content)
