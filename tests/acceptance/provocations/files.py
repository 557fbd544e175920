"""What can be wrong with a file, and with questions; and what comes of a fault of ours."""

from collections.abc import Callable

from mailflow.core.anomalies import Code
from mailflow.wire.envelope import RequestElement
from mailflow.wire.management import QuestionElement
from mailflow.wire.questions import write_questions
from tests.acceptance.provocations.mails import once
from tests.acceptance.provocations.stage import Script, Stage, Story


def changed(old: bytes, new: bytes) -> Script:
    """A good file, in which the first of these became the second."""

    def write(stage: Stage) -> bytes:
        file = stage.file("CRE", *stage.requests(1))
        assert old in file
        return stage.send(file.replace(old, new))

    return once(write)


def named(name: str) -> Script:
    return once(lambda stage: stage.send(stage.file("CRE", *stage.requests(1)), name=name))


def name_again(stage: Stage) -> Story:
    name = stage.name()
    yield stage.send(stage.file("CRE", *stage.requests(1)), name=name)
    yield stage.send(stage.file("CRE", *stage.requests(1)), name=name)


def content_again(stage: Stage) -> Story:
    file = stage.file("CRE", *stage.requests(1))
    yield stage.send(file)
    yield stage.send(file)


def name_twice(stage: Stage) -> Story:
    name = stage.name()
    files = [(name, stage.file("CRE", *stage.requests(1))) for _ in range(2)]
    yield stage.signed(stage.parts(*files))


def reference_again(stage: Stage) -> Story:
    yield stage.create(stage.form(), reference="D-1")
    yield stage.create(stage.form(), reference="D-1")


def large_request(stage: Stage) -> bytes:
    dependants = [{"nom": "N" * 100, "prenom": "P" * 100}] * 100
    return stage.create(stage.form({"personnePhysique/listePersonneACharge": dependants}))


def asking(write: Callable[[Stage], tuple[QuestionElement, ...]]) -> Script:
    return once(lambda stage: stage.ask(write_questions(write(stage), stage.at)))


def asked_twice(stage: Stage) -> Story:
    name = stage.name()
    yield stage.send(stage.file("CRE", *stage.requests(1)), name=name)
    yield stage.ask(write_questions([QuestionElement(file_name=name)] * 2, stage.at))


def new_certificate(stage: Stage) -> bytes:
    content = write_questions([QuestionElement(reference="D-1")], stage.at)
    return stage.ask(content.replace(b">etat<", b">certificat<"))


STORIES: dict[Code, Script] = {
    Code.FILE_NAME_WRONG: named("DEMZ0001-202613151030-000001.xml"),
    Code.FILE_NAME_TAKEN: name_again,
    Code.FILE_CONTENT_KNOWN: content_again,
    Code.FILE_TOO_LARGE: once(large_request),
    Code.FILE_TYPE_UNKNOWN: changed(b">CRE<", b">XYZ<"),
    Code.FILE_TYPE_NOT_INBOUND: changed(b">CRE<", b">RET<"),
    Code.FILE_DATE_WRONG: changed(b"<tns:dateFichier>2026", b"<tns:dateFichier>2027"),
    Code.FILE_WITHOUT_REQUEST: once(lambda stage: stage.do("CRE")),
    Code.FILE_NAME_REPEATED: name_twice,
    Code.REFERENCE_TAKEN: reference_again,
    Code.XML_NOT_VALID: changed(b"<tns:pieceIdentite>", b"<tns:pieceIdentite><tns:surprise/>"),
    Code.XML_ENCODING: changed(b"encoding='UTF-8'", b"encoding='UTF-7'"),
    Code.XML_INCLUSION: changed(
        b"<tns:pieceIdentite>", b'<tns:pieceIdentite><i:include xmlns:i="http://www.w3.org/2001/XInclude"/>'
    ),
    Code.XML_LIMITS_EXCEEDED: changed(b"<tns:pieceIdentite>", b"<tns:pieceIdentite>" + b"<x>" * 300 + b"</x>" * 300),
    Code.TEXT_TOO_LONG: changed(b"<tns:prenom>", b"<tns:prenom>" + b"x" * 101),
    Code.NUMBER_GIVEN: once(
        lambda stage: stage.do("CRE", RequestElement(number="0590126000001Z0001", form=stage.form()))
    ),
    Code.QUESTION_UNKNOWN: asking(lambda _: (QuestionElement(reference="unheard of"),)),
    Code.QUESTION_UNCLEAR: asking(lambda _: (QuestionElement(reference="D-1", file_name="x"),)),
    Code.OUTCOMES_LEFT_OUT: asked_twice,
    Code.ROLL_OVER_NOT_OFFERED: once(new_certificate),
}
